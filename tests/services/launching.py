"""A server started for a test run: in a folder that is removed, on a loopback port, ended by its pid."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILT = ROOT / ".make" / "services"
"""What was built or fetched; a second run finds it."""

START_S = 240.0
STOP_S = 20.0
BUILD_S = 3600.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class NotToBeHad(Exception):
    """A server cannot be built or started here; the text says why and what to do."""


@dataclass(frozen=True)
class Started:
    """A server that answers.

    Attributes:
        variables: What tells the tests of it.
        version: Product and version, as the server itself says.
        pid: Of its process.
    """

    variables: Mapping[str, str]
    version: str
    pid: int


@dataclass(frozen=True)
class Running:
    """A process that may not answer yet."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait_until(self, answers: Callable[[], bool], what: str) -> None:
        """Wait until the server answers.

        Raises:
            NotToBeHad: It ended, or does not; the text holds the end of its log.
        """
        until = time.monotonic() + START_S
        while not answers():
            if self.process.poll() is not None:
                raise NotToBeHad(f"{what} ended at its start:\n{self._told()}")
            if time.monotonic() > until:
                raise NotToBeHad(f"{what} did not answer within {START_S:.0f} s:\n{self._told()}")
            time.sleep(0.2)

    def _told(self) -> str:
        return _last_lines(self.log.read_text(errors="replace"))


def tool(name: str, why: str) -> str:
    """Path of a program.

    Raises:
        NotToBeHad: The machine has none.
    """
    path = shutil.which(name)
    if path is None:
        raise NotToBeHad(f"{name} is missing, which {why}: install it")
    return path


def build(command: Sequence[str], what: str, *, more: Mapping[str, str] | None = None) -> str:
    """Run a build with low priority and return what it printed; if it is broken off, its compilers end, too.

    Raises:
        NotToBeHad: It failed; the text holds its last lines.
    """
    nice = ["nice", "-n", "10"] if shutil.which("nice") else []
    process = subprocess.Popen(
        [*nice, *command],
        env=os.environ | (more or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )
    try:
        printed, complained = process.communicate(timeout=BUILD_S)
    except subprocess.TimeoutExpired as error:
        raise NotToBeHad(f"{what} was not built within {BUILD_S:.0f} s") from error
    finally:
        if process.poll() is None:
            _stop(process)
    if process.returncode:
        raise NotToBeHad(f"{what} could not be built:\n{_last_lines(printed + complained)}")
    return printed


def free_port() -> int:
    """A loopback port that nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str], folder: Path, *, more: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A process with the folder as its home; whatever happens it and its children end with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | {"HOME": str(folder)} | (more or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )

    try:
        yield Running(process, log)
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """The session of the process is its own, so its group holds it and its children alone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end_with_parent() -> None:
    """Should the launcher itself be killed, the server is told to end, too."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _last_lines(text: str, count: int = 15) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-count:])
