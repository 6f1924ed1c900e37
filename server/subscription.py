"""One subscriber of a topic as an asynchronous iterator, behind a bounded queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from server.backlog import QUEUE_BYTES, QUEUE_MESSAGES, Backlog
from server.published import Published


class Slow(Exception):
    """Durable messages did not fit the queue: resume from the last offset that was read."""


class Subscription:
    """What one subscriber of a topic gets: `first`, then the messages in order.

    Iterate it in one task. The iteration ends after `close`, and with `Slow` when the subscriber
    reads too slowly.

    Attributes:
        first: The answer to the subscription: `topic`, `epoch`, `offset` and either `recovered`
            true with the missed `entries` or `recovered` false with `machines` and `more`.
        on_slow: Called when the subscriber turns out too slow, which may not come back to iterate.
    """

    def __init__(
        self,
        topic: str,
        first: Published,
        *,
        on_close: Callable[[Subscription], None],
        queue_bytes: int = QUEUE_BYTES,
        queue_messages: int = QUEUE_MESSAGES,
    ) -> None:
        self.topic = topic
        self.first = first
        self._on_close = on_close
        self._backlog = Backlog(
            (first["epoch"], first["offset"]), limit_bytes=queue_bytes, limit_messages=queue_messages
        )
        self._ready = asyncio.Event()
        self._closed = False
        self.on_slow: Callable[[], None] | None = None

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Published:
        while True:
            if self._backlog.slow:
                raise Slow(f"the subscriber of {self.topic} reads too slowly")
            message = self._backlog.take()
            if message is not None:
                return message
            if self._closed:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()

    @property
    def waiting(self) -> int:
        """How many messages are queued."""
        return len(self._backlog)

    def close(self) -> None:
        """End the subscription; closing twice does nothing."""
        if not self._closed:
            self._closed = True
            self._ready.set()
            self._on_close(self)

    def offer(self, message: Published) -> None:
        """Queue a message of the topic, unless the subscriber has it already."""
        if self._closed:
            return
        self._backlog.offer(message)
        if len(self._backlog) or self._backlog.slow:
            self._ready.set()
        if self._backlog.slow and self.on_slow is not None:
            tell, self.on_slow = self.on_slow, None
            tell()
