"""A connection over which one batch of commands after another is answered."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as NoAnswer

from storage.taken_redis import Taken


@dataclass(slots=True)
class Call:
    """A command as it goes over the wire, and who waits for its reply."""

    packed: bytes
    reply: asyncio.Future[Any]


class Pipe(Taken):
    """One batch is under way at a time."""

    def __init__(self, connection: AbstractConnection) -> None:
        super().__init__(connection)
        self._calls: deque[Call] = deque()
        self._done: asyncio.Future[None] | None = None

    async def exchange(self, calls: deque[Call], limit_s: float | None) -> None:
        """Send commands and wait for all replies; calls leave with their reply.

        Args:
            limit_s: How long that may take; None for as long as it does.

        Raises:
            redis.ConnectionError: Redis did not answer those that are left.
            redis.TimeoutError: It did not do so in time.
            redis.InvalidResponse: It says what nobody understands.
        """
        if not self.usable:
            raise LostConnection("Redis has closed the connection")
        loop = asyncio.get_running_loop()
        self._calls = calls
        self._done = done = loop.create_future()
        self._transport.write(b"".join([call.packed for call in calls]))
        timer = None if limit_s is None else loop.call_later(limit_s, self._late, limit_s)
        try:
            await done
        finally:
            self._done = None
            if timer is not None:
                timer.cancel()

    def hear(self, reply: Any) -> None:
        """See `Taken`."""
        if self._done is None or self._done.done():
            raise LostConnection("Redis answered what nobody asked")
        waiting = self._calls.popleft().reply
        if not waiting.done():
            if isinstance(reply, ResponseError):
                waiting.set_exception(reply)
            else:
                waiting.set_result(reply)
        if not self._calls:
            self._done.set_result(None)

    def lost(self, error: Exception) -> None:
        """See `Taken`."""
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)

    def _late(self, limit_s: float) -> None:
        self._end(NoAnswer(f"no reply within {limit_s:g} s"))
