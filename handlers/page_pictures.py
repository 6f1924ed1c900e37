"""Pictures of pages and small ones of pictures: drawn on demand in the sandboxed child, and kept.

Of one picture there is one drawing at a time, whichever process asks. What cannot be drawn is kept,
too, as the reason, so that a hostile file costs its limits once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from handlers.parsing.parsed import PasswordNeeded, Source, Unreadable
from handlers.rendering.renderers import MEDIA_TYPE, RENDERERS
from handlers.sandbox import Sandbox
from storage.blobs import BlobMissing, Blobs
from storage.file_cache import FileCache

EDITION = 1
"""Of the drawings; a change of how pages are drawn gets another one."""

DRAW_S = 30.0


class NoPicture(Exception):
    """There is none of it; the text is a sentence for the user."""


class PagePictures:
    """Draws what `RENDERERS` knows; use it from one event loop."""

    def __init__(self, blobs: Blobs, cache: FileCache, sandbox: Sandbox) -> None:
        self._blobs = blobs
        self._cache = cache
        self._sandbox = sandbox
        self._drawing: dict[str, asyncio.Task[Path]] = {}

    async def path(self, sha256: str, media_type: str, *, page: int, width: int) -> Path:
        """A WebP file with the page, at most `width` pixels wide.

        Raises:
            NoPicture: This kind of file, or this file, has none.
            BlobMissing, BlobDamaged, BlobsUnavailable: The content cannot be had.
            Temporary: The child could not be started or was killed from outside.
        """
        if media_type not in RENDERERS:
            raise NoPicture("there are no pictures of files of this kind")
        name = name_of(sha256, page, width)
        kept = await asyncio.to_thread(self._kept, name)
        if kept is not None:
            return kept
        task = self._drawing.get(name)
        if task is None:
            task = asyncio.create_task(self._draw(name, sha256, media_type, page, width))
            self._drawing[name] = task
            task.add_done_callback(partial(self._drawn, name))
        return await asyncio.shield(task)  # others may wait for it, too

    async def aclose(self) -> None:
        """Leave what is being drawn, and end the child."""
        for task in list(self._drawing.values()):
            task.cancel()
        await asyncio.gather(*self._drawing.values(), return_exceptions=True)
        await self._sandbox.aclose()
        self._cache.close()

    def _drawn(self, name: str, task: asyncio.Task[Path]) -> None:
        del self._drawing[name]
        if not task.cancelled():
            task.exception()  # whoever waits is told

    async def _draw(self, name: str, sha256: str, media_type: str, page: int, width: int) -> Path:
        turn = self._cache.turn(name)
        await asyncio.to_thread(turn.__enter__)
        try:
            kept = await asyncio.to_thread(self._kept, name)
            if kept is not None:
                return kept
            path = await asyncio.to_thread(self._blobs.path, sha256)
            tools = {"page": str(page), "width": str(width)}
            sink = _Taken()
            try:
                await self._sandbox.read(
                    Source(path, media_type, tools=tools), progress=_ignore, check=_go_on, sink=sink
                )
                if not sink.content:
                    raise Unreadable("nothing was drawn")
            except (Unreadable, PasswordNeeded) as error:
                reason = str(error)
                await asyncio.to_thread(self._cache.put, _none(name), _writing(reason.encode()))
                raise NoPicture(reason) from error
            drawn = await asyncio.to_thread(self._cache.put, name, _writing(sink.content))
            if not await asyncio.to_thread(self._blobs.exists, sha256):  # deleted while it was drawn
                await asyncio.to_thread(self._cache.drop, name)
                raise BlobMissing(sha256)
            return drawn
        finally:
            turn.__exit__(None, None, None)

    def _kept(self, name: str) -> Path | None:
        kept = self._cache.get(name)
        if kept is None and (reason := self._cache.get(_none(name))) is not None:
            raise NoPicture(reason.read_text(encoding="utf-8"))
        return kept


class _Taken:
    """Keeps the one picture; a renderer sends nothing else."""

    def __init__(self) -> None:
        self.content = b""

    async def derive(self, name: str, media_type: str, content: bytes) -> None:
        if media_type == MEDIA_TYPE:
            self.content = content

    async def begin(self, filename: str) -> None:
        raise Unreadable("a picture has nothing inside")

    async def write(self, block: bytes) -> None:
        raise Unreadable("a picture has nothing inside")

    async def end(self) -> None:
        raise Unreadable("a picture has nothing inside")

    async def drop(self) -> None:
        raise Unreadable("a picture has nothing inside")

    async def refuse(self, filename: str) -> None:
        raise Unreadable("a picture has nothing inside")


def name_of(sha256: str, page: int, width: int) -> str:
    """By which a drawing is kept; another one has another name."""
    return f"{sha256}-{page}-{width}-{EDITION}"


def clearing(cache: FileCache) -> Callable[[str], None]:
    """Forgets every drawing of a content that is gone, by its hash."""

    def clear(sha256: str) -> None:
        cache.drop_all(f"{sha256}-")

    return clear


def _none(name: str) -> str:
    return f"{name}.none"


def _writing(content: bytes) -> Callable[[BinaryIO], None]:
    def write(file: BinaryIO) -> None:
        file.write(content)

    return write


async def _ignore(done: int, total: int, unit: str) -> None:
    """Nobody watches."""


async def _go_on() -> None:
    """The limits end it."""
