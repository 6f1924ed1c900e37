"""The frames that a child answers one file with. The child is not trusted: whatever it sends is limited."""

from __future__ import annotations

import asyncio
import struct
import time
from asyncio import StreamReader
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, Protocol, TypeVar

import orjson

from handlers.parsing import wire
from handlers.parsing.parsed import DERIVED_BYTES, Line, Parsed, PasswordNeeded, Unreadable

LOOK_EVERY_S = 1.0

_FRAME_BYTES = 64 << 10
"""Most that a frame takes which holds neither a block, nor a picture, nor the result."""

Progress = Callable[[int, int, str], Awaitable[None]]
Check = Callable[[], Awaitable[None]]
T = TypeVar("T")


class Room(NamedTuple):
    """How many files and how many bytes may come out of one file; no files means that none is unpacked."""

    files: int
    bytes: int


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


class Reading:
    """One file being read.

    Args:
        frames: What the child sends.
        check: Awaited about every second; what it raises ends the reading.
        output_bytes: Most that the text, the facts and the pictures made of the file may take.
        room: What may be found inside.
        silence_s: Longest that the child may send nothing while it is listened to.
    """

    def __init__(
        self, frames: StreamReader, check: Check, output_bytes: int, room: Room, silence_s: float
    ) -> None:
        self._frames = frames
        self._check = check
        self._silence_s = silence_s
        self._output_bytes = output_bytes
        self._output_left = output_bytes
        self._files_left, self._bytes_left = room
        self._looked = time.monotonic()

    async def answer(self, progress: Progress, sink: Sink) -> Parsed | Exception:
        """Take frames until the file has been read, or could not be: then what the reader raised.

        Raises:
            Unreadable: The answer is too large, or none, or does not come.
            IncompleteReadError: The child ended.
        """
        while True:
            kind, length = await self._header()
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
            kind, length = await self._header()
            match kind:
                case wire.BLOCK if length <= min(wire.BLOCK_BYTES, self._bytes_left):
                    self._bytes_left -= length
                    await sink.write(await self._exactly(length))
                case wire.ATTACHED if not length:
                    return await sink.end()
                case wire.DROPPED if not length:
                    return await sink.drop()
                case _:
                    raise _nonsense()

    async def _header(self) -> tuple[bytes, int]:
        kind, length = wire.HEADER.unpack(await self._exactly(wire.HEADER.size))
        return kind, length

    async def _content(self, length: int) -> bytes:
        if length > _FRAME_BYTES:
            raise _nonsense()
        return await self._exactly(length)

    async def _output(self, length: int, *, at_most: int) -> bytes:
        if length > self._output_left:
            raise Unreadable(f"what is read from it takes more than {self._output_bytes >> 20} MiB")
        if length > at_most:
            raise _nonsense()
        self._output_left -= length
        return await self._exactly(length)

    async def _exactly(self, length: int) -> bytes:
        """So many bytes, looking about every second whether they are still wanted.

        What the parent itself takes to store things is not counted against the child.
        """
        coming: Coroutine[Any, Any, bytes] = self._frames.readexactly(length)
        waiting = asyncio.ensure_future(coming)
        until = time.monotonic() + self._silence_s
        try:
            while not (await asyncio.wait({waiting}, timeout=min(LOOK_EVERY_S, self._silence_s)))[0]:
                if time.monotonic() >= until:
                    raise stuck(self._silence_s)
                await self._look()
            if time.monotonic() - self._looked >= LOOK_EVERY_S:
                await self._look()
        except BaseException:
            waiting.cancel()
            await asyncio.wait({waiting})
            raise
        return await waiting

    async def _look(self) -> None:
        await self._check()
        self._looked = time.monotonic()


def stuck(silence_s: float) -> Unreadable:
    """For a file whose reader does not get on."""
    return Unreadable(f"reading it got no further for {silence_s:g} seconds")


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
            return PasswordNeeded(str(said["reason"]))
        case "memory":
            return MemoryError()
    return Unreadable(str(said["reason"]))


def _parsed(content: bytes) -> Parsed:
    fields = orjson.loads(content)
    return Parsed(
        text=fields["text"],
        pages=[(start, end) for start, end in fields["pages"]],
        lines=[Line(page, start, end, tuple(box)) for page, start, end, box in fields["lines"]],
        title=fields["title"],
        meta=fields["meta"],
    )
