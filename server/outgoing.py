"""Frames on their way to one socket, bounded in bytes: whoever has more to say waits.

Waiting here leaves messages in their `Subscription`, where passing ones are merged and a client
that stays too slow is found out.
"""

from __future__ import annotations

import asyncio
from collections import deque

OUTGOING_BYTES = 256 * 1024


class Outgoing:
    """Frames in the order in which they were put."""

    def __init__(self, limit_bytes: int = OUTGOING_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._changed = asyncio.Condition()

    async def put(self, frame: bytes) -> None:
        """Queue a frame once there is room; an empty queue has room for any."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: not self._frames or self._bytes + len(frame) <= self._limit_bytes
            )
            self._frames.append(frame)
            self._bytes += len(frame)
            self._changed.notify_all()

    async def get(self) -> bytes:
        """The next frame, once there is one."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._frames)
            frame = self._frames.popleft()
            self._bytes -= len(frame)
            self._changed.notify_all()
            return frame
