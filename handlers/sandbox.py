"""Untrusted files are read in a child process under limits, so that a hostile one costs only itself.

The child is started on the first file, serves one after the other, and is replaced after a
number of them, after any failure of its own, and when it is interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson

from handlers.job import Temporary
from handlers.parsing import wire
from handlers.parsing.parsed import Attachment, Line, Parsed, PasswordNeeded, Unreadable

logger = logging.getLogger(__name__)

RECYCLE_AFTER = 100
"""Files after which a child is replaced: what leaks in it ends with it."""

START_S = 60.0
LOOK_EVERY_S = 1.0

OUTPUT_BYTES = 512 << 20
"""Most that a child may answer for one file, attachments included."""

_ROOT = Path(__file__).resolve().parents[1]

Progress = Callable[[int, int], Awaitable[None]]
Check = Callable[[], Awaitable[None]]


class _Child:
    """One running child and what it has done."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.stdin = process.stdin
        self.stdout = process.stdout
        self.files = 0

    async def read(self, allowed_bytes: int) -> tuple[bytes, bytes]:
        kind, length = wire.HEADER.unpack(await self.stdout.readexactly(wire.HEADER.size))
        if length > allowed_bytes:
            raise Unreadable(f"the file unfolds to more than {OUTPUT_BYTES >> 20} MiB")
        return kind, await self.stdout.readexactly(length)

    async def end(self) -> int:
        """Kill it, if it still runs, and return how it ended."""
        if self.process.returncode is None:
            # Not `process.kill()`: it polls first, and where that finds the child dead, asyncio is
            # not told how it ended.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
        return await self.process.wait()


class Sandbox:
    """Reads one file at a time in a child process; use it from one event loop, close it with `aclose`.

    Args:
        memory_bytes: What reading one file may take on top of the reader itself.
        time_s: How long one file may take, in processor time and by the clock.
        recycle_after: Files that one child reads.
    """

    def __init__(self, *, memory_bytes: int, time_s: float, recycle_after: int = RECYCLE_AFTER) -> None:
        self._memory_bytes = memory_bytes
        self._time_s = time_s
        self._recycle_after = recycle_after
        self._child: _Child | None = None
        self._turn = asyncio.Lock()

    async def read(
        self, path: Path, media_type: str, password: str, *, progress: Progress, check: Check
    ) -> Parsed:
        """Read a file.

        Args:
            path: The file; it is only read.
            media_type: `application/pdf`, `message/rfc822`, `text/markdown` or `text/plain`.
            password: "" for none.
            progress: Awaited with pages done and pages in all.
            check: Awaited about every second; what it raises ends the child and is passed on.

        Raises:
            Unreadable: The file is damaged, or broke a limit; the text says which.
            PasswordNeeded: The file is encrypted and the password does not open it.
            Temporary: The child could not be started or was killed from outside.
        """
        request = {"path": str(path.absolute()), "media_type": media_type, "password": password}
        async with self._turn:
            child = self._child or await self._start()
            self._child = None
            kept = False
            try:
                async with asyncio.timeout(self._time_s):
                    child.stdin.write(wire.frame(wire.REQUEST, orjson.dumps(request)))
                    answer = await self._answer(child, progress, check)
                child.files += 1
                kept = child.files < self._recycle_after and not isinstance(answer, MemoryError)
            except TimeoutError as error:
                raise Unreadable(f"reading it takes longer than {self._time_s:g} seconds") from error
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise self._crashed(await child.end()) from error
            finally:
                if kept:
                    self._child = child
                else:
                    await child.end()
        if isinstance(answer, MemoryError):
            raise Unreadable(f"reading it needs more than {self._memory_bytes >> 20} MiB of memory")
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def aclose(self) -> None:
        """End the child."""
        async with self._turn:
            child, self._child = self._child, None
            if child is not None:
                await child.end()

    async def _start(self) -> _Child:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "handlers.parsing", str(self._memory_bytes), str(self._time_s),
            stdin=PIPE, stdout=PIPE, stderr=DEVNULL, cwd="/",
            # Nothing of this process's environment: it may name databases and hold secrets.
            env={"PYTHONPATH": str(_ROOT), "LC_ALL": "C.UTF-8", "PATH": os.defpath},
        )  # fmt: skip
        child = _Child(process)
        try:
            async with asyncio.timeout(START_S):
                await child.read(0)
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            code = await child.end()
            raise Temporary(f"the process that reads files did not start (exit code {code})") from error
        except BaseException:
            await child.end()
            raise
        logger.debug("A reader was started.", extra={"action": "sandbox.start", "pid": process.pid})
        return child

    async def _answer(self, child: _Child, progress: Progress, check: Check) -> Parsed | Exception:
        left = OUTPUT_BYTES
        while True:
            kind, content = await self._next(child, left, check)
            left -= len(content)
            match kind:
                case wire.PROGRESS:
                    done, total = orjson.loads(content)
                    await progress(done, total)
                case wire.ERROR:
                    return _failure(orjson.loads(content))
                case wire.RESULT:
                    fields = await asyncio.to_thread(orjson.loads, content)
                    files = []
                    for name in fields["attachments"]:
                        _, content = await self._next(child, left, check)
                        left -= len(content)
                        files.append(Attachment(name, content))
                    return _parsed(fields, files)
                case _:
                    raise Unreadable("the reader of this kind of file answered nonsense")

    async def _next(self, child: _Child, left: int, check: Check) -> tuple[bytes, bytes]:
        reading = asyncio.ensure_future(child.read(left))
        try:
            while not (await asyncio.wait({reading}, timeout=LOOK_EVERY_S))[0]:
                await check()
        except BaseException:
            reading.cancel()
            await asyncio.wait({reading})
            raise
        return await reading

    def _crashed(self, code: int) -> Exception:
        number = -code
        if number == signal.SIGXCPU:
            return Unreadable(f"reading it takes longer than {self._time_s:g} seconds")
        if number == signal.SIGKILL:
            return Temporary("the process that reads files was killed, perhaps for lack of memory")
        how = signal.Signals(number).name if number > 0 else f"exit code {code}"
        logger.warning("A reader crashed on a file.", extra={"action": "sandbox.crash", "how": how})
        return Unreadable(f"the file made its reader crash ({how})")


def _failure(said: dict[str, str]) -> Exception:
    match said["kind"]:
        case "password":
            return PasswordNeeded(said["reason"])
        case "memory":
            return MemoryError()
    return Unreadable(said["reason"])


def _parsed(fields: dict[str, Any], attachments: list[Attachment]) -> Parsed:
    return Parsed(
        text=fields["text"],
        pages=[(start, end) for start, end in fields["pages"]],
        lines=[Line(page, start, end, tuple(box)) for page, start, end, box in fields["lines"]],
        title=fields["title"],
        meta=fields["meta"],
        attachments=attachments,
    )
