"""Untrusted files are read in a child process under limits, so that a hostile one costs only itself.

The child is started on the first file, serves one after the other, and is replaced after a
number of them, after any failure of its own, and when it is interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import struct
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import orjson

from handlers.job import Temporary
from handlers.parsing import wire
from handlers.parsing.parsed import DERIVED_BYTES, Line, Parsed, PasswordNeeded, Source, Unreadable
from handlers.parsing.readers import READERS

logger = logging.getLogger(__name__)

RECYCLE_AFTER = 100
"""Files after which a child is replaced: what leaks in it ends with it."""

START_S = 60.0
LOOK_EVERY_S = 1.0

OUTPUT_BYTES = 512 << 20
SCRATCH_BYTES = 1 << 30

_FRAME_BYTES = 64 << 10
"""Most that a frame takes which holds neither a block, nor a picture, nor the result."""

_ROOT = Path(__file__).resolve().parents[1]

Progress = Callable[[int, int, str], Awaitable[None]]
Check = Callable[[], Awaitable[None]]
T = TypeVar("T")


class Room(NamedTuple):
    """How many files and how many bytes may come out of one file; no files means that none is unpacked."""

    files: int
    bytes: int


NOTHING_INSIDE = Room(0, 0)


class Sink(Protocol):
    """Takes what is found inside a file while it is being read; one file ends before the next begins."""

    async def begin(self, filename: str) -> None: ...

    async def write(self, block: bytes) -> None: ...

    async def end(self) -> None:
        """The file is whole."""

    async def drop(self) -> None:
        """The file is not to be kept."""

    async def refuse(self, filename: str) -> None:
        """There is a file for which there was no room at all."""

    async def derive(self, name: str, media_type: str, content: bytes) -> None:
        """Something made from the file, to be shown with it."""


class _Child:
    """One running child and what it has done."""

    def __init__(self, process: Process, scratch: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.scratch = scratch
        self.stdin = process.stdin
        self.stdout = process.stdout
        self.files = 0

    async def header(self) -> tuple[bytes, int]:
        """The kind and the length of the next frame."""
        kind, length = wire.HEADER.unpack(await self.stdout.readexactly(wire.HEADER.size))
        return kind, length

    async def content(self, length: int) -> bytes:
        return await self.stdout.readexactly(length)

    async def end(self) -> int:
        """Kill it, if it still runs, and return how it ended."""
        if self.process.returncode is None:
            # Not `process.kill()`: it polls first, and where that finds the child dead, asyncio is
            # not told how it ended.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
        code = await self.process.wait()
        await asyncio.to_thread(shutil.rmtree, self.scratch, ignore_errors=True)
        return code


class Sandbox:
    """Reads one file at a time in a child process; use it from one event loop, close it with `aclose`.

    Args:
        memory_bytes: What reading one file may take on top of the reader itself.
        time_s: How long one file may take, in processor time and by the clock.
        output_bytes: Most that may be made of one file, its text and what is derived from it together.
            What is found inside does not count here.
        scratch_bytes: Most that a reader may write to temporary files.
        tools: Settings that readers are given; see `Source.tools`.
        readers: Module of each media type.
        recycle_after: Files that one child reads.
    """

    def __init__(
        self,
        *,
        memory_bytes: int,
        time_s: float,
        output_bytes: int = OUTPUT_BYTES,
        scratch_bytes: int = SCRATCH_BYTES,
        tools: Mapping[str, str] | None = None,
        readers: Mapping[str, str] = READERS,
        recycle_after: int = RECYCLE_AFTER,
    ) -> None:
        self._memory_bytes = memory_bytes
        self._time_s = time_s
        self._output_bytes = output_bytes
        self._scratch_bytes = scratch_bytes
        self._tools = dict(tools or {})
        self._readers = readers
        self._recycle_after = recycle_after
        self._child: _Child | None = None
        self._turn = asyncio.Lock()

    async def read(
        self, source: Source, *, progress: Progress, check: Check, sink: Sink, room: Room = NOTHING_INSIDE
    ) -> Parsed:
        """Read a file.

        Args:
            source: The file; its `tools` are added to those of the sandbox.
            progress: Awaited with how many of how many are done, and of what.
            check: Awaited about every second; what it raises ends the child and is passed on.
            sink: Takes what is found inside, as it comes. The child waits while it does, so no more than
                a block is held. What it has taken stands for nothing unless `read` returns.
            room: What may be found inside.

        Raises:
            Unreadable: The file is damaged, or broke a limit; the text says which.
            PasswordNeeded: The file is encrypted and the password does not open it.
            Temporary: The child could not be started or was killed from outside.
        """
        if source.media_type not in self._readers:
            raise Unreadable(f"there is no reader for files of the kind {source.media_type}")
        request = {
            "reader": self._readers[source.media_type],
            "path": str(source.path.absolute()),
            "media_type": source.media_type,
            "password": source.password,
            "filename": source.filename,
            "tools": self._tools | source.tools,
            "room": list(room),
        }
        async with self._turn:
            child = self._child or await self._start()
            self._child = None
            kept = False
            try:
                async with asyncio.timeout(self._time_s):
                    child.stdin.write(wire.frame(wire.REQUEST, orjson.dumps(request)))
                    answer = await _Reading(child, check, self._output_bytes, room).answer(progress, sink)
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
        scratch = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="casewire-reader-"))
        limits = (self._scratch_bytes, self._memory_bytes, self._time_s)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "handlers.parsing", str(scratch), *map(str, limits),
            stdin=PIPE, stdout=PIPE, stderr=DEVNULL, cwd="/",
            # Nothing of this process's environment: it may name databases and hold secrets.
            env={"PYTHONPATH": str(_ROOT), "LC_ALL": "C.UTF-8", "PATH": os.defpath, "TMPDIR": str(scratch)},
        )  # fmt: skip
        child = _Child(process, scratch)
        try:
            async with asyncio.timeout(START_S):
                await child.header()
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            code = await child.end()
            raise Temporary(f"the process that reads files did not start (exit code {code})") from error
        except BaseException:
            await child.end()
            raise
        logger.debug("A reader was started.", extra={"action": "sandbox.start", "pid": process.pid})
        return child

    def _crashed(self, code: int) -> Exception:
        number = -code
        if number == signal.SIGXCPU:
            return Unreadable(f"reading it takes longer than {self._time_s:g} seconds")
        if number == signal.SIGKILL:
            return Temporary("the process that reads files was killed, perhaps for lack of memory")
        how = signal.Signals(number).name if number > 0 else f"exit code {code}"
        logger.warning("A reader crashed on a file.", extra={"action": "sandbox.crash", "how": how})
        return Unreadable(f"the file made its reader crash ({how})")


class _Reading:
    """The frames that one file is answered with. The child is not trusted: whatever it sends is limited."""

    def __init__(self, child: _Child, check: Check, output_bytes: int, room: Room) -> None:
        self._child = child
        self._check = check
        self._output_bytes = output_bytes
        self._output_left = output_bytes
        self._files_left, self._bytes_left = room
        self._looked = time.monotonic()

    async def answer(self, progress: Progress, sink: Sink) -> Parsed | Exception:
        while True:
            kind, length = await self._awaited(self._child.header())
            match kind:
                case wire.PROGRESS:
                    await progress(*_understood(_progress, await self._content(length)))
                case wire.ATTACH if self._files_left:
                    self._files_left -= 1
                    await sink.begin((await self._content(length)).decode("utf-8", "replace"))
                    await self._attachment(sink)
                case wire.REFUSED:
                    await sink.refuse((await self._content(length)).decode("utf-8", "replace"))
                case wire.DERIVED:
                    content = await self._output(length, at_most=DERIVED_BYTES + _FRAME_BYTES)
                    await sink.derive(*_understood(_derived, content))
                case wire.ERROR:
                    return _understood(_failure, await self._content(length))
                case wire.RESULT:
                    content = await self._output(length, at_most=self._output_bytes)
                    return await asyncio.to_thread(_understood, _parsed, content)
                case _:
                    raise _nonsense()

    async def _attachment(self, sink: Sink) -> None:
        """The rest of a file that has begun."""
        while True:
            kind, length = await self._awaited(self._child.header())
            match kind:
                case wire.BLOCK if length <= min(wire.BLOCK_BYTES, self._bytes_left):
                    self._bytes_left -= length
                    await sink.write(await self._awaited(self._child.content(length)))
                case wire.ATTACHED if not length:
                    return await sink.end()
                case wire.DROPPED if not length:
                    return await sink.drop()
                case _:
                    raise _nonsense()

    async def _content(self, length: int) -> bytes:
        if length > _FRAME_BYTES:
            raise _nonsense()
        return await self._awaited(self._child.content(length))

    async def _output(self, length: int, *, at_most: int) -> bytes:
        if length > self._output_left:
            raise Unreadable(f"what is read from it takes more than {self._output_bytes >> 20} MiB")
        if length > at_most:
            raise _nonsense()
        self._output_left -= length
        return await self._awaited(self._child.content(length))

    async def _awaited(self, coming: Coroutine[Any, Any, T]) -> T:
        """What comes, looking about every second whether it is still wanted."""
        waiting = asyncio.ensure_future(coming)
        try:
            while not (await asyncio.wait({waiting}, timeout=LOOK_EVERY_S))[0] or self._due():
                await self._check()
        except BaseException:
            waiting.cancel()
            await asyncio.wait({waiting})
            raise
        return await waiting

    def _due(self) -> bool:
        now = time.monotonic()
        due = now - self._looked >= LOOK_EVERY_S
        if due:
            self._looked = now
        return due


def _nonsense() -> Unreadable:
    return Unreadable("the reader of this kind of file answered nonsense")


def _understood(decode: Callable[[bytes], T], content: bytes) -> T:
    try:
        return decode(content)
    except (ValueError, TypeError, KeyError, struct.error) as error:
        raise _nonsense() from error


def _progress(content: bytes) -> tuple[int, int, str]:
    done, total, unit = orjson.loads(content)
    return int(done), int(total), str(unit)


def _derived(content: bytes) -> tuple[str, str, bytes]:
    (length,) = wire.LABEL.unpack_from(content)
    start = wire.LABEL.size + length
    name, media_type = orjson.loads(content[wire.LABEL.size : start])
    return str(name), str(media_type), content[start:]


def _failure(content: bytes) -> Exception:
    said = orjson.loads(content)
    match said["kind"]:
        case "password":
            return PasswordNeeded(said["reason"])
        case "memory":
            return MemoryError()
    return Unreadable(said["reason"])


def _parsed(content: bytes) -> Parsed:
    fields = orjson.loads(content)
    return Parsed(
        text=fields["text"],
        pages=[(start, end) for start, end in fields["pages"]],
        lines=[Line(page, start, end, tuple(box)) for page, start, end, box in fields["lines"]],
        title=fields["title"],
        meta=fields["meta"],
    )
