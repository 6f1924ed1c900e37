"""What one process knows of a topic: its position, its newest entries, and who follows it here."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice

from server import watching
from server.audience import Audience
from server.published import Published, recovery_of
from server.subscription import Subscription

_HELD_BACK = 1_000
"""Entries kept while a position is being read; what falls out is a gap and comes from the log."""
_RECENT_BYTES = 2**20
_RECENT_ENTRIES = 1_000
_RECOVERIES = 16


class KnownTopic:
    """Where a topic stands, what of it is in memory, and who follows it here.

    Attributes:
        asked: Whether the listener was asked to join.
        epoch: Empty until the first read.
        offset: Of the last entry handed on.
        known: Whether the next entry can be handed on; else entries are held back.
        recent: The newest entries handed on, without gap, up to `offset`.
        snapshot: The state at an offset from which `recent` goes on.
        recoveries: First answers to those who come back from an offset, good until the next entry.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = False
        self.joined = asyncio.Event()
        self.reading = asyncio.Lock()
        self.epoch = ""
        self.offset = 0
        self.known = False
        self.held_back: deque[Published] = deque(maxlen=_HELD_BACK)
        self.recent: deque[Published] = deque()
        self.recent_bytes = 0
        self.snapshot: Published | None = None
        self.recoveries: dict[int, Published] = {}
        self.subscribers: set[Subscription] = set()
        self.audience: Audience | None = None
        self.arriving = 0

    def __len__(self) -> int:
        return len(self.subscribers) + (0 if self.audience is None else len(self.audience))

    @property
    def recent_from(self) -> int:
        """The offset after which every entry is in `recent`."""
        return self.offset - len(self.recent)

    def begin_at(self, epoch: str, offset: int) -> None:
        """Take a position that was read."""
        self.epoch, self.offset, self.known = epoch, offset, True
        self.recent.clear()
        self.recent_bytes = 0
        self.snapshot = None
        self.recoveries.clear()

    def after(self, first: Published) -> list[Published]:
        """What a subscriber has missed since its first answer, which `recent` reaches back to."""
        if first["epoch"] != self.epoch or first["offset"] >= self.offset:
            return []
        return self.since(first["offset"])

    def since(self, offset: int) -> list[Published]:
        """Recent entries after an offset that `recent` reaches back to."""
        return list(islice(self.recent, offset - self.recent_from, None))

    def hand_on(self, entry: Published) -> None:
        """Give the next entry to every subscriber."""
        self.offset = entry["offset"]
        self.recent.append(entry)
        self.recent_bytes += entry.size
        self.recoveries.clear()
        self._trim()
        self.offer(entry)

    def offer(self, message: Published) -> None:
        """Give a message to every subscriber."""
        watching.pushed(message, len(self))
        for subscriber in list(self.subscribers):
            subscriber.offer(message)
        if self.audience is not None:
            self.audience.position = (self.epoch, self.offset)
            self.audience.offer(message)

    def recovery(self, epoch: str, since: int, offset: int, entries: list[Published]) -> Published:
        """The first answer to whoever comes back from `since`; a crowd that does gets the same one."""
        made = recovery_of(self.name, epoch, offset, entries)
        if epoch == self.epoch and offset == self.offset:
            while len(self.recoveries) >= _RECOVERIES:
                del self.recoveries[next(iter(self.recoveries))]
            self.recoveries[since] = made
        return made

    def reach_back(self, epoch: str, entries: list[Published], after: int) -> None:
        """Keep entries older than `recent`, so that the next one to resume there needs no read."""
        older = entries[: self.recent_from - after]
        if epoch == self.epoch and self.recent_from - after == len(older):
            self.recent.extendleft(reversed(older))
            self.recent_bytes += sum(entry.size for entry in older)
            self._trim()

    def _trim(self) -> None:
        while self.recent_bytes > _RECENT_BYTES or len(self.recent) > _RECENT_ENTRIES:
            self.recent_bytes -= self.recent.popleft().size
        if self.snapshot is not None and self.snapshot["offset"] < self.recent_from:
            self.snapshot = None
