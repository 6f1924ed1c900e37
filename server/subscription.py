"""One subscriber's bounded queue: passing messages give way before anything durable is lost."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from server.published import Published

QUEUE_BYTES = 4 * 2**20
QUEUE_MESSAGES = 2_000


class Slow(Exception):
    """Durable messages did not fit the queue: resume from the last offset that was read."""


class _Slot:
    """A place in the queue; empty once its message was dropped."""

    __slots__ = ("message",)

    def __init__(self, message: Published | None) -> None:
        self.message = message


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
        self._queue_bytes = queue_bytes
        self._queue_messages = queue_messages
        self._epoch: str = first["epoch"]
        self._offset: int = first["offset"]
        self._queue: deque[_Slot] = deque()
        self._passing: dict[str, dict[str, _Slot]] = {}
        self._bytes = 0
        self._ready = asyncio.Event()
        self._closed = False
        self._slow = False
        self.on_slow: Callable[[], None] | None = None

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Published:
        while True:
            if self._slow:
                raise Slow(f"the subscriber of {self.topic} reads too slowly")
            while self._queue:
                message = self._take()
                if message is not None:
                    return message
            if self._closed:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()

    @property
    def waiting(self) -> int:
        """How many messages are queued."""
        return len(self._queue)

    def close(self) -> None:
        """End the subscription; closing twice does nothing."""
        if not self._closed:
            self._closed = True
            self._ready.set()
            self._on_close(self)

    def offer(self, message: Published) -> None:
        """Queue a message of the topic, unless the subscriber has it already."""
        if self._slow or self._closed:
            return
        match message["type"]:
            case "entry":
                if message["epoch"] != self._epoch or message["offset"] <= self._offset:
                    return
                self._offset = message["offset"]
                # A later token or progress must not move in front of this entry.
                self._passing.pop(message["machine"], None)
            case "snapshot":
                # Even one of a smaller offset: the store has lost what came after it.
                self._epoch, self._offset = message["epoch"], message["offset"]
                self._drop_all()
            case _:
                if self._merged(message):
                    self._make_room()
                    return
        slot = _Slot(message)
        if message["type"] == "passing":
            self._passing.setdefault(message["machine"], {})[message["what"]] = slot
        self._queue.append(slot)
        self._bytes += message.size
        self._make_room()
        self._ready.set()

    def _take(self) -> Published | None:
        slot = self._queue.popleft()
        message = slot.message
        if message is None:
            return None
        self._bytes -= message.size
        if message["type"] == "passing":
            queued = self._passing.get(message["machine"], {})
            if queued.get(message["what"]) is slot:
                del queued[message["what"]]
                if not queued:
                    del self._passing[message["machine"]]
        return message

    def _merged(self, message: Published) -> bool:
        """Whether the message could take the place of one that still waits."""
        slot = self._passing.get(message["machine"], {}).get(message["what"])
        if slot is None or slot.message is None:
            return False
        new = _merge(slot.message, message)
        if new is None:
            return False
        self._bytes += new.size - slot.message.size
        slot.message = new
        return True

    def _make_room(self) -> None:
        """Keep to the bounds; a single message may be of any size."""
        if not self._is_full():
            return
        for slot in self._queue:
            message = slot.message
            # Tokens stay: a hole in the text would show.
            if message is not None and message["type"] == "passing" and message["what"] != "token":
                self._bytes -= message.size
                slot.message = None
        self._queue = deque(slot for slot in self._queue if slot.message is not None)
        if self._is_full():
            self._slow = True
            self._drop_all()
            self._ready.set()
            if self.on_slow is not None:
                self.on_slow()

    def _is_full(self) -> bool:
        return len(self._queue) > 1 and (
            self._bytes > self._queue_bytes or len(self._queue) > self._queue_messages
        )

    def _drop_all(self) -> None:
        self._queue.clear()
        self._passing.clear()
        self._bytes = 0


def _merge(old: Published, new: Published) -> Published | None:
    """One message that stands for both, or None where both are needed.

    The latest progress is all that counts. Pieces of one text are joined; another attempt writes
    the text anew.
    """
    if new["what"] != "token":
        return new
    before: dict[str, Any] = old["data"]
    after: dict[str, Any] = new["data"]
    if before["attempt"] != after["attempt"]:
        return new
    if before["position"] + len(before["text"]) != after["position"]:
        return None
    joined = {**after, "position": before["position"], "text": before["text"] + after["text"]}
    return Published({**new, "data": joined}, old.size + len(after["text"].encode()))
