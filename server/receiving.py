"""The bytes of one upload, from the sender's connection to the blob store, in constant memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from redis.asyncio import Redis
from starlette.requests import ClientDisconnect

from machines.snapshot import Snapshot
from machines.upload_actions import RECEIVE_SILENCE_S
from server.engine import Engine
from server.errors import Clash, Denied, Invalid, TooLarge
from storage.blobs import Blobs, BlobWriter

BLOCK_BYTES = 1 << 20
"""Hashed and written at once, in a thread."""

PROGRESS_S = 0.25
SIGN_OF_LIFE_S = 60.0
"""Between two `receiving_on`: well below the silence after which the machine pauses."""

LOCK_S = 30
CHECK_S = 1.0
"""Between two looks at whether the machine still waits, which also renew the lock."""

_RENEW = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


@dataclass(frozen=True)
class _Sender:
    """Who sends, what holds others off, and whether they still may."""

    actor: str
    key: str
    holder: str
    may: Callable[[], Awaitable[bool]]


class Receiving:
    """Receives contents for upload machines, one sender a machine at a time."""

    def __init__(self, engine: Engine, blobs: Blobs, redis: Redis, *, max_bytes: int) -> None:
        self._engine = engine
        self._blobs = blobs
        self._redis = redis
        self._max_bytes = max_bytes

    async def receive(
        self,
        upload: Snapshot,
        stream: AsyncIterator[bytes],
        declared: int | None,
        actor: str,
        *,
        may: Callable[[], Awaitable[bool]],
    ) -> tuple[str, int]:
        """Store the stream as the upload's content and tell the machine how it went.

        Args:
            declared: Content-Length, None where the sender gives none.
            may: Whether the sender still has the right; asked every second and after the last byte.

        Returns:
            SHA-256 and size in bytes; the content is on the disk for good.

        Raises:
            Clash: Somebody else is sending, or the upload does not wait for content.
            Denied: The sender's right has ended meanwhile; the machine is paused with that reason.
            TooLarge, Invalid: Too many bytes, or none; the machine has failed with that reason.
            ClientDisconnect: The connection was cut; the machine is paused and can be sent anew.
        """
        key, holder = f"receiving:{upload.id}", token_hex(8)
        if not await self._redis.set(key, holder, nx=True, ex=LOCK_S):
            raise Clash("this file is being sent on another connection", code="upload.busy")
        try:
            await self._expect(upload, actor)
            return await self._store(upload, stream, declared, _Sender(actor, key, holder, may))
        finally:
            await self._redis.eval(_RELEASE, 1, key, holder)

    async def _expect(self, upload: Snapshot, actor: str) -> None:
        current = await self._engine.load(upload.id)
        states = current.configuration if current else []
        if "paused" in states:
            await self._tell(upload, "resumed", {}, actor)
        elif "receiving" not in states:
            raise Clash("this upload does not wait for content", code="upload.not_receiving")

    async def _store(
        self,
        upload: Snapshot,
        stream: AsyncIterator[bytes],
        declared: int | None,
        sender: _Sender,
    ) -> tuple[str, int]:
        actor = sender.actor
        if declared is not None and declared > self._max_bytes:
            await self._refuse(upload, self._too_large(), actor)
        writer = await asyncio.to_thread(self._blobs.open_writer)
        try:
            received = await self._copy(upload, stream, declared, writer, sender)
            await self._check_right(upload, sender)
            if not received:
                await self._refuse(upload, Invalid("the file is empty", code="upload.empty"), actor)
            sha256, size = await asyncio.to_thread(writer.commit)
        except ClientDisconnect:
            await self._interrupted(upload, "the connection ended before the last byte", actor)
            raise
        except asyncio.CancelledError:
            reason = "the server stopped before the last byte"
            await asyncio.shield(self._interrupted(upload, reason, actor))
            raise
        finally:
            await asyncio.shield(asyncio.to_thread(writer.abort))
        await self._tell(upload, "received", {"sha256": sha256, "bytes": size}, actor)
        return sha256, size

    async def _copy(
        self,
        upload: Snapshot,
        stream: AsyncIterator[bytes],
        declared: int | None,
        writer: BlobWriter,
        sender: _Sender,
    ) -> int:
        actor = sender.actor
        total = declared or int(upload.context["bytes"])
        received, block = 0, bytearray()
        told = alive = checked = time.monotonic()
        async for piece in _until_silent(stream):
            received += len(piece)
            if received > self._max_bytes:
                await self._refuse(upload, self._too_large(), actor)
            block += piece
            if len(block) >= BLOCK_BYTES:
                await asyncio.to_thread(writer.write, bytes(block))
                block.clear()
            now = time.monotonic()
            if now - told >= PROGRESS_S:
                told = now
                progress = {"stage": "receiving", "done": received, "total": total, "unit": "bytes"}
                await self._engine.publish(upload.topic, upload.id, "progress", progress)
            if now - checked >= CHECK_S:
                checked = now
                await self._check(upload, sender)
                await self._check_right(upload, sender)
            if now - alive >= SIGN_OF_LIFE_S:
                alive = now
                await self._tell(upload, "receiving_on", {"received": received}, actor)
        if block:
            await asyncio.to_thread(writer.write, bytes(block))
        return received

    async def _check(self, upload: Snapshot, sender: _Sender) -> None:
        """Go on only while this is the sender and the machine waits for it."""
        current = await self._engine.load(upload.id)
        if current is None or "receiving" not in current.configuration:
            raise Clash("this upload does not wait for content any more", code="upload.not_receiving")
        if not await self._redis.eval(_RENEW, 1, sender.key, sender.holder, LOCK_S):
            raise Clash("this file is being sent on another connection", code="upload.busy")

    async def _check_right(self, upload: Snapshot, sender: _Sender) -> None:
        if not await sender.may():
            await self._interrupted(upload, "the sender's right to add to this case has ended", sender.actor)
            raise Denied("your right to add to this case has ended", code="access.ended")

    async def _refuse(self, upload: Snapshot, error: Invalid, actor: str) -> None:
        await self._tell(upload, "refused", {"reason": str(error)}, actor)
        raise error

    async def _interrupted(self, upload: Snapshot, reason: str, actor: str) -> None:
        current = await self._engine.load(upload.id)
        if current is not None and "receiving" in current.configuration:
            await self._tell(upload, "interrupted", {"reason": reason}, actor)

    async def _tell(self, upload: Snapshot, event: str, data: dict[str, Any], actor: str) -> None:
        await self._engine.send(upload.id, event, data, source="handler", actor=actor)

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the file is larger than {self._max_bytes} bytes, the most that is accepted",
            code="upload.too_large",
        )


async def _until_silent(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The stream's pieces; a sender who says nothing for too long counts as gone."""
    while True:
        try:
            async with asyncio.timeout(RECEIVE_SILENCE_S):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise ClientDisconnect from None
        yield piece
