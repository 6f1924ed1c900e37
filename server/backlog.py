"""Messages of one topic that wait for one reader: passing ones give way before anything durable is lost."""

from __future__ import annotations

from collections import deque
from typing import Any

from server.published import Published

QUEUE_BYTES = 4 * 2**20
QUEUE_MESSAGES = 2_000


class _Slot:
    """A place in the queue; empty once its message was dropped."""

    __slots__ = ("message",)

    def __init__(self, message: Published | None) -> None:
        self.message = message


class Backlog:
    """A queue bounded in bytes and messages that knows its reader's position in the topic.

    Attributes:
        position: Epoch and offset up to which the reader has, or will find here, every entry.
        bytes: What waits, about.
        slow: Durable messages did not fit: the reader has to resume from the last offset it read.
    """

    __slots__ = ("_limit_bytes", "_limit_messages", "_passing", "_queue", "bytes", "position", "slow")

    def __init__(
        self,
        position: tuple[str, int],
        *,
        limit_bytes: int = QUEUE_BYTES,
        limit_messages: int = QUEUE_MESSAGES,
    ) -> None:
        self.position = position
        self.slow = False
        self._limit_bytes = limit_bytes
        self._limit_messages = limit_messages
        self._queue: deque[_Slot] = deque()
        self._passing: dict[str, dict[str, _Slot]] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    def offer(self, message: Published) -> None:
        """Queue a message of the topic, unless the reader has it already."""
        if self.slow:
            return
        match message["type"]:
            case "entry":
                epoch, offset = self.position
                if message["epoch"] != epoch or message["offset"] <= offset:
                    return
                self.position = (epoch, message["offset"])
                # A later token or progress must not move in front of this entry.
                self._passing.pop(message["machine"], None)
            case "snapshot":
                # Even one of a smaller offset: the store has lost what came after it.
                self.position = (message["epoch"], message["offset"])
                self._drop_all()
            case _:
                if self._merged(message):
                    self._make_room()
                    return
        slot = _Slot(message)
        if message["type"] == "passing":
            self._passing.setdefault(message["machine"], {})[message["what"]] = slot
        self._queue.append(slot)
        self.bytes += message.size
        self._make_room()

    def take(self) -> Published | None:
        """The oldest message, which leaves the queue."""
        while self._queue:
            slot = self._queue.popleft()
            message = slot.message
            if message is None:
                continue
            self.bytes -= message.size
            if message["type"] == "passing":
                queued = self._passing.get(message["machine"], {})
                if queued.get(message["what"]) is slot:
                    del queued[message["what"]]
                    if not queued:
                        del self._passing[message["machine"]]
            return message
        return None

    def _merged(self, message: Published) -> bool:
        """Whether the message could take the place of one that still waits."""
        slot = self._passing.get(message["machine"], {}).get(message["what"])
        if slot is None or slot.message is None:
            return False
        new = _merge(slot.message, message)
        if new is None:
            return False
        self.bytes += new.size - slot.message.size
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
                self.bytes -= message.size
                slot.message = None
        self._queue = deque(slot for slot in self._queue if slot.message is not None)
        if self._is_full():
            self.slow = True
            self._drop_all()

    def _is_full(self) -> bool:
        return len(self._queue) > 1 and (
            self.bytes > self._limit_bytes or len(self._queue) > self._limit_messages
        )

    def _drop_all(self) -> None:
        self._queue.clear()
        self._passing.clear()
        self.bytes = 0


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
