"""What is found inside a file goes into the blob store block by block, while it is being read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from storage.blobs import Blobs, BlobWriter


class Stored(NamedTuple):
    """A file from inside another, as a blob."""

    filename: str
    sha256: str
    bytes: int


class Derived(NamedTuple):
    """Something made from a file to be shown with it, as a blob."""

    name: str
    media_type: str
    sha256: str
    bytes: int


Need = Callable[[str], Awaitable[None]]
"""Told of every content that was stored, by its hash, so that it is not cleared as needed by nobody."""


class Inside:
    """The sink of one reading; `close` it afterwards.

    Attributes:
        stored: Whole files, in the order in which they came.
        derived: What was made from the file.
        refused: How many files there are for which there was no room at all.
    """

    def __init__(self, blobs: Blobs, need: Need) -> None:
        self.stored: list[Stored] = []
        self.derived: list[Derived] = []
        self.refused = 0
        self._blobs = blobs
        self._need = need
        self._filename = ""
        self._first = b""
        self._writer: BlobWriter | None = None

    async def begin(self, filename: str) -> None:
        self._filename, self._first = filename, b""

    async def write(self, block: bytes) -> None:
        if self._writer is None and not self._first:
            self._first = block  # most files are one block, and are written in one go
            return
        await asyncio.to_thread(self._append, block)

    async def end(self) -> None:
        sha256, size = await asyncio.to_thread(self._commit)
        await self._need(sha256)
        self.stored.append(Stored(self._filename, sha256, size))

    async def drop(self) -> None:
        await self.close()

    async def refuse(self, filename: str) -> None:
        self.refused += 1

    async def derive(self, name: str, media_type: str, content: bytes) -> None:
        await self.begin(name)
        await self.write(content)
        sha256, size = await asyncio.to_thread(self._commit)
        await self._need(sha256)
        self.derived.append(Derived(name, media_type, sha256, size))

    async def close(self) -> None:
        """Forget a file that has not come to its end."""
        writer, self._writer, self._first = self._writer, None, b""
        if writer is not None:
            await asyncio.to_thread(writer.abort)

    def _append(self, block: bytes) -> None:
        if self._writer is None:
            self._writer = self._blobs.open_writer()
            self._writer.write(self._first)
            self._first = b""
        self._writer.write(block)

    def _commit(self) -> tuple[str, int]:
        self._append(b"")
        writer, self._writer = self._writer, None
        assert writer is not None, "appending opens one"
        try:
            return writer.commit()
        finally:
            writer.abort()
