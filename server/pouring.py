"""A sender's stream into a part, in constant memory, watched for as long as it lasts."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from server.ending import end
from server.errors import TooLarge
from storage.parts import PartWriter

BLOCK_BYTES = 1 << 20
"""Hashed and written at once, in a thread, while the next ones come in: two are in memory at most."""

Done = TypeVar("Done")


@dataclass(frozen=True)
class Sender:
    """Who sends, and whether they still may."""

    actor: str
    may: Callable[[], Awaitable[bool]]


class Inlet:
    """One stream into one writer.

    Args:
        digests: Hashes that go along with what is written.
        most: Bytes that may come; None for any number.
        too_large: The sentence for whoever sends more.
    """

    def __init__(
        self, writer: PartWriter, digests: list[hashlib._Hash], *, most: int | None, too_large: str
    ) -> None:
        self._writer = writer
        self._digests = digests
        self._most = most
        self._too_large = too_large
        self._block = bytearray()
        self._turn = asyncio.Lock()
        self._writing: asyncio.Future[None] | None = None
        self.taken = 0
        """Bytes that have come, written or not."""
        self.hashed = 0
        """Bytes that were written and hashed."""
        self.heard_at = time.monotonic()
        """When something came last."""

    async def pour(self, stream: AsyncIterator[bytes]) -> None:
        """Write all of the stream; where it breaks off, or this is cancelled, what had come by then.

        Raises:
            TooLarge: More has come than may; what had come before is written.
            NoRoom: The store is full.
            ClientDisconnect: The connection ended before the body did.
        """
        try:
            async for piece in stream:
                self.heard_at = time.monotonic()
                if self._most is not None and self.taken + len(piece) > self._most:
                    raise TooLarge(self._too_large, code="upload.too_large")
                self.taken += len(piece)
                self._block += piece
                if len(self._block) >= BLOCK_BYTES:
                    await self.flush()
        finally:
            await asyncio.shield(self._write_rest())

    async def flush(self) -> None:
        """Begin to write what has come, when what came before is written.

        Raises:
            NoRoom: That could not be written.
        """
        async with self._turn:
            if self._writing is not None:
                await self._writing
            if self._block:
                block, self._block = self._block, bytearray()
                self._writing = asyncio.ensure_future(asyncio.to_thread(self._put, block))

    async def _write_rest(self) -> None:
        await self.flush()
        if self._writing is not None:
            await self._writing

    def _put(self, block: bytearray) -> None:
        self._writer.write(block)
        for digest in self._digests:
            digest.update(block)
        self.hashed += len(block)


async def watched(work: Coroutine[Any, Any, Done], watch: Coroutine[Any, Any, None]) -> Done:
    """Do some work while a watch, which has no end, looks on; what the watch raises ends the work.

    Both have ended when this returns or raises.
    """
    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(watch)
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            watching.result()
        return await working
    finally:
        await end([working, watching])
