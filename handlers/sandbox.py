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
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import orjson

from handlers.job import Temporary
from handlers.parsing import wire
from handlers.parsing.guards import Guards
from handlers.parsing.parsed import Parsed, Source, Unreadable
from handlers.parsing.readers import READERS
from handlers.reading import Check, Progress, Reading, Room, Sink, stuck
from handlers.scratch import Scratch, sweep

logger = logging.getLogger(__name__)

RECYCLE_AFTER = 100
"""Files after which a child is replaced: what leaks in it ends with it."""

START_S = 60.0

OUTPUT_BYTES = 512 << 20
SCRATCH_BYTES = 2 << 30

NOTHING_INSIDE = Room(0, 0)

_ROOT = Path(__file__).resolve().parents[1]


class _Child:
    """One running child, its folder, and what it has done."""

    def __init__(self, process: Process, scratch: Scratch) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.scratch = scratch
        self.stdin = process.stdin
        self.stdout = process.stdout
        self.guards: Guards = {}
        self.files = 0

    async def hello(self) -> None:
        _, length = wire.HEADER.unpack(await self.stdout.readexactly(wire.HEADER.size))
        self.guards = orjson.loads(await self.stdout.readexactly(length))

    async def end(self) -> int:
        """Kill it, if it still runs, and return how it ended."""
        if self.process.returncode is None:
            # Not `process.kill()`: it polls first, and where that finds the child dead, asyncio is
            # not told how it ended.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
        # asyncio waits for the end of the pipe, too, and does not read on by itself from a full one.
        while await self.stdout.read(wire.BLOCK_BYTES):
            pass
        return await self.process.wait()


class Sandbox:
    """Reads one file at a time in a child process; use it from one event loop, close it with `aclose`.

    Args:
        memory_bytes: What reading one file may take on top of the reader itself.
        time_s: How long its reader may go without telling of any progress, which it does after each page
            or message and with each block of what is found inside. Large files take long; none stands still.
        total_s: How long one file may take in all, however far it gets; by default as long as `time_s`.
        output_bytes: Most that may be made of one file, its text and what is derived from it together.
            What is found inside does not count here.
        scratch_bytes: Most that a reader may write to temporary files.
        folder: Where these are; on the file system of the evidence no file need be copied.
        tools: Settings that readers are given; see `Source.tools`.
        readers: Module of each media type.
        recycle_after: Files that one child reads.
    """

    def __init__(
        self,
        *,
        memory_bytes: int,
        time_s: float,
        total_s: float | None = None,
        output_bytes: int = OUTPUT_BYTES,
        scratch_bytes: int = SCRATCH_BYTES,
        folder: Path | None = None,
        tools: Mapping[str, str] | None = None,
        readers: Mapping[str, str] = READERS,
        recycle_after: int = RECYCLE_AFTER,
    ) -> None:
        self._memory_bytes = memory_bytes
        self._time_s = time_s
        self._total_s = time_s if total_s is None else total_s
        self._output_bytes = output_bytes
        self._scratch_bytes = scratch_bytes
        self._folder = folder or Path(tempfile.gettempdir())
        self._tools = dict(tools or {})
        self._readers = readers
        self._recycle_after = recycle_after
        self._child: _Child | None = None
        self._swept = False
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
        async with self._turn:
            child = self._child or await self._start()
            self._child = None
            kept = False
            try:
                async with asyncio.timeout(self._total_s) as clock:
                    answer = await self._answer(child, source, progress, check, sink, room)
                child.files += 1
                kept = child.files < self._recycle_after and not isinstance(answer, MemoryError)
            except TimeoutError as error:
                if not clock.expired():
                    raise
                raise Unreadable(f"reading it takes longer than {self._total_s:g} seconds") from error
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise self._crashed(await child.end()) from error
            finally:
                if kept:
                    self._child = child
                    await asyncio.to_thread(child.scratch.clear)
                else:
                    await self._end(child)
        if isinstance(answer, MemoryError):
            raise Unreadable(f"reading it needs more than {self._memory_bytes >> 20} MiB of memory")
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def guards(self) -> Guards:
        """What keeps a child from the network, from other files and from other processes.

        Raises:
            Temporary: The child could not be started.
        """
        async with self._turn:
            if self._child is None:
                self._child = await self._start()
            return self._child.guards

    async def aclose(self) -> None:
        """End the child."""
        async with self._turn:
            child, self._child = self._child, None
            if child is not None:
                await self._end(child)

    async def _answer(
        self, child: _Child, source: Source, progress: Progress, check: Check, sink: Sink, room: Room
    ) -> Parsed | Exception:
        try:
            path = await asyncio.to_thread(child.scratch.take, source.path)
        except OSError as error:
            raise Temporary(f"the file could not be handed to its reader ({error.strerror})") from error
        request = {
            "reader": self._readers[source.media_type],
            "path": str(path),
            "media_type": source.media_type,
            "password": source.password,
            "filename": source.filename,
            "tools": self._tools | source.tools,
            "room": list(room),
        }

        async def look() -> None:
            await check()
            if await asyncio.to_thread(child.scratch.excess, self._scratch_bytes):
                raise Unreadable(
                    f"reading it needs more than {self._scratch_bytes >> 20} MiB of temporary files"
                )

        child.stdin.write(wire.frame(wire.REQUEST, orjson.dumps(request)))
        reading = Reading(child.stdout, look, self._output_bytes, room, self._time_s)
        return await reading.answer(progress, sink)

    async def _start(self) -> _Child:
        scratch = await asyncio.to_thread(self._new_scratch)
        packages = {module.rpartition(".")[0] for module in self._readers.values()}
        specs = [find_spec(package) for package in packages]
        configuration = {
            "scratch": str(scratch.work),
            "scratch_bytes": self._scratch_bytes,
            "memory_bytes": self._memory_bytes,
            "time_s": self._time_s,
            "packages": sorted(packages),
            "readable": [
                str(scratch.source),
                *(place for spec in specs if spec for place in spec.submodule_search_locations or ()),
                *(tool for tool in self._tools.values() if os.path.isabs(tool)),
            ],
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-B", "-m", "handlers.parsing", orjson.dumps(configuration),
            stdin=PIPE, stdout=PIPE, stderr=DEVNULL, cwd="/",
            # Nothing of this process's environment: it may name databases and hold secrets.
            env={
                "PYTHONPATH": str(_ROOT), "LC_ALL": "C.UTF-8", "PATH": os.defpath, "HOME": str(scratch.work),
                "TMPDIR": str(scratch.work),
                # Its buffers for each core would take the memory that a file may take.
                "OPENBLAS_NUM_THREADS": "1",
            },
        )  # fmt: skip
        child = _Child(process, scratch)
        try:
            async with asyncio.timeout(START_S):
                await child.hello()
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            code = await self._end(child)
            raise Temporary(f"the process that reads files did not start (exit code {code})") from error
        except BaseException:
            await self._end(child)
            raise
        facts = {"action": "sandbox.start", "pid": process.pid, **child.guards}
        if all(child.guards.values()):
            logger.debug("A reader was started.", extra=facts)
        else:
            logger.warning("A reader was started without some of its guards.", extra=facts)
        return child

    def _new_scratch(self) -> Scratch:
        if not self._swept:
            self._swept = True
            sweep(self._folder)
        return Scratch(self._folder)

    async def _end(self, child: _Child) -> int:
        code = await child.end()
        await asyncio.to_thread(child.scratch.remove)
        return code

    def _crashed(self, code: int) -> Exception:
        number = -code
        if number == signal.SIGXCPU:
            return stuck(self._time_s)
        if number == signal.SIGKILL:
            return Temporary("the process that reads files was killed, perhaps for lack of memory")
        how = signal.Signals(number).name if number > 0 else f"exit code {code}"
        logger.warning("A reader crashed on a file.", extra={"action": "sandbox.crash", "how": how})
        return Unreadable(f"the file made its reader crash ({how})")
