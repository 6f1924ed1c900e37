"""A private server process that is started, watched, restarted after a crash and ended.

It runs in a session of its own, so that Ctrl-C at the terminal reaches the owner alone and the
services end after everything that uses them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from storage.system_user import SystemUser

logger = logging.getLogger(__name__)

_LOG_BYTES = 5_000_000
_LOOK_S = 0.05
_STEADY_S = 30.0
"""A process that lived this long is restarted at once; one that keeps falling waits longer each time."""
_LONGEST_WAIT_S = 5.0


class EmbeddedError(Exception):
    """An embedded service cannot run; the text says why and what to do."""


class NotReady(Exception):
    """The service does not answer yet."""


@dataclass(frozen=True)
class Program:
    """How one embedded service is run.

    Attributes:
        ping: Returns when the service answers; raises `NotReady` otherwise.
        end: Signal that ends it in good order, within `end_s`.
        kill: Signal that ends it at any price.
        account: User to run as; None keeps the present one.
    """

    name: str
    argv: Sequence[str]
    home: Path
    log: Path
    ping: Callable[[], Awaitable[None]]
    end: signal.Signals
    kill: signal.Signals
    account: SystemUser | None = None
    start_s: float = 60.0
    end_s: float = 30.0


class Supervised:
    """One running `Program`; `restarts` counts how often it had to be started again."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.restarts = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id, or None while it is down."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    async def start(self) -> None:
        """Start the process, wait until it answers, and watch it from now on.

        Raises:
            EmbeddedError: It ended, or did not answer in time; carries the end of its log.
        """
        self._spawn()
        try:
            await self._until_ready()
        except BaseException:
            await self._end()
            raise
        self._watch = asyncio.create_task(self._restart_when_dead(), name=f"watch {self.program.name}")

    async def stop(self) -> None:
        """End the process in good order and wait until it is gone."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
            self._watch = None
        await self._end()

    def _spawn(self) -> None:
        program = self.program
        account = program.account
        try:
            _roll(program.log)
            with open(program.log, "ab") as log:
                self._child = subprocess.Popen(
                    program.argv,
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    umask=0o077,
                    env=_environment(),
                    **(account.popen_arguments() if account is not None else {}),
                )
        except OSError as error:
            raise EmbeddedError(f"{program.name} cannot be started: {error}.") from error
        logger.info(
            "An embedded service was started.",
            extra={"action": "service.start", "service": program.name, "pid": self._child.pid},
        )

    async def _until_ready(self) -> None:
        program = self.program
        deadline = time.monotonic() + program.start_s
        while True:
            if self.pid is None:
                raise EmbeddedError(f"{program.name} ended while starting: {_tail(program.log)}")
            try:
                await asyncio.wait_for(program.ping(), 5.0)
                return
            except (NotReady, TimeoutError):
                if time.monotonic() > deadline:
                    raise EmbeddedError(
                        f"{program.name} does not answer after {program.start_s:.0f} s: {_tail(program.log)}"
                    ) from None
            await asyncio.sleep(_LOOK_S)

    async def _restart_when_dead(self) -> None:
        wait_s, since = _LOOK_S, time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_S)
            child = self._child
            if child is not None and child.poll() is None:
                continue
            code = child.returncode if child is not None else None
            logger.error(
                "An embedded service died and is started again.",
                extra={"action": "service.died", "service": self.program.name, "returncode": code},
            )
            wait_s = _LOOK_S if time.monotonic() - since > _STEADY_S else min(2 * wait_s, _LONGEST_WAIT_S)
            await asyncio.sleep(wait_s)
            since = time.monotonic()
            self.restarts += 1
            try:
                self._spawn()
                await self._until_ready()
            except EmbeddedError as error:
                logger.error(
                    "An embedded service did not come back.",
                    extra={"action": "service.down", "service": self.program.name, "reason": str(error)},
                )
                await self._end()

    async def _end(self) -> None:
        """End the child, whatever it is doing."""
        child = self._child
        if child is None or child.poll() is not None:
            return
        for sign, patience_s in ((self.program.end, self.program.end_s), (self.program.kill, 10.0)):
            child.send_signal(sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(child.wait, patience_s)
                return
        child.kill()
        await asyncio.to_thread(child.wait)


async def end_orphans(program: Program, names: Sequence[str]) -> int:
    """End servers that a killed owner left running on `program.home`; returns how many there were.

    To be called with the data folder locked, when no such server can be anybody's. A server is
    recognised by its name together with its working folder or command line, so neither a stale
    pid file nor a pid that now belongs to another program can mislead.

    Raises:
        EmbeddedError: One of them does not end.
    """
    found = list(_running_on(program.home, names))
    members = {process.pid for process in found}
    # The postmaster ends its own children; signalling them as well would look like their crash.
    leaders = [process for process in found if process.ppid() not in members]
    for process in leaders:
        logger.warning(
            "A service left behind by a killed server is ended.",
            extra={"action": "service.orphan", "service": program.name, "pid": process.pid},
        )
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(program.end)
    if alive := await _still_alive(found, program.end_s):
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        alive = await _still_alive(alive, 10.0)
    if alive:
        pids = ", ".join(str(process.pid) for process in alive)
        raise EmbeddedError(f"{program.name} still runs on {program.home} and does not end: stop {pids}.")
    return len(leaders)


async def _still_alive(processes: list[psutil.Process], patience_s: float) -> list[psutil.Process]:
    """Those of `processes` that outlive `patience_s`."""
    for _ in range(round(patience_s / _LOOK_S)):
        if not any(map(_lives, processes)):
            break
        await asyncio.sleep(_LOOK_S)
    return list(filter(_lives, processes))


def _lives(process: psutil.Process) -> bool:
    """A dead process stays a zombie where nobody reaps orphans, as in many containers."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _running_on(home: Path, names: Sequence[str]) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if not any(name in process.name() for name in names):
                continue
            if not _lives(process):
                continue
            if str(home) in process.cmdline() or process.cwd() == str(home):
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def _environment() -> dict[str, str]:
    """The owner's environment without what would redirect a server: PG*, and secrets of the settings."""
    kept = ("PATH", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C"}


def _roll(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".old.log"))


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:] if log.exists() else []
    return " / ".join(line.strip() for line in lines) or "it said nothing"
