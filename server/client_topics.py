"""Topics as a client knows them, and those who read along."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]

MOST_UNREAD = 10_000
"""Messages that may wait for a reader; a topic's log keeps as many."""


class Refused(Exception):
    """The server answered with an error.

    Attributes:
        code: Stable.
        temporary: Whether the same may succeed later.
        allowed: Events that the machine's state does allow, where the server told.
    """

    def __init__(
        self, code: str, message: str, temporary: bool = False, allowed: list[str] | None = None
    ) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.temporary = temporary
        self.allowed = allowed


class Behind(Exception):
    """A reader was too slow for its client: follow again, from its last position."""


@dataclass
class Topic:
    """A topic as this client knows it: a snapshot with every later entry applied."""

    name: str
    epoch: str = ""
    offset: int = 0
    machines: dict[str, Message] = field(default_factory=dict)

    def has(self, entry: Message) -> bool:
        """Whether an entry was applied before, which a repeated answer brings again."""
        return bool(entry["epoch"] == self.epoch and entry["offset"] <= self.offset)

    def take(self, message: Message) -> None:
        """Apply a snapshot, a recovery or an entry, in the order in which they came."""
        if "machines" in message:
            self.machines = {machine["machine"]: machine for machine in message["machines"]}
        for entry in message.get("entries", ()):
            if not self.has(entry):
                self._apply(entry)
        if message["type"] == "entry":
            self._apply(message)
        self.epoch, self.offset = message["epoch"], message["offset"]

    def _apply(self, entry: Message) -> None:
        if entry["gone"]:
            self.machines.pop(entry["machine"], None)
            return
        known = self.machines.get(entry["machine"], {"context": {}})
        context = {k: v for k, v in known["context"].items() if k not in entry["removed"]} | entry["context"]
        self.machines[entry["machine"]] = {
            "machine": entry["machine"],
            "kind": entry["kind"],
            "topic": self.name,
            "revision": entry["revision"],
            "configuration": entry["to"],
            "context": context,
            "allowed": entry["allowed"],
            "terminated": entry.get("terminated", False),
            "updated_at": entry["at"],
        }


class Reader:
    """Entries and snapshots of a topic on their way to one reader."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._waiting: deque[Message] = deque()
        self._ready = asyncio.Event()
        self._end: Exception | None = None

    def put(self, message: Message) -> None:
        """Add a message, unless the reader is too far behind."""
        if self._end is None:
            if len(self._waiting) >= MOST_UNREAD:
                self.end(Behind(f"more than {MOST_UNREAD} messages of {self.topic} were not read in time"))
                return
            self._waiting.append(message)
            self._ready.set()

    def end(self, why: Exception) -> None:
        """Raise `why` to the reader, once it has read what was there before."""
        if self._end is None:
            self._end = why
            self._ready.set()

    async def next(self) -> Message:
        """The next message.

        Raises:
            Refused: The right has ended.
            Behind: See there.
            ConnectionError: The server does not let this client come again.
        """
        while not self._waiting:
            if self._end is not None:
                raise self._end
            self._ready.clear()
            await self._ready.wait()
        return self._waiting.popleft()
