"""The open websockets of this process: counted by person, pinged in turn, sent elsewhere at a shutdown."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from server.errors import Close

PING_S = 20.0
"""A ping that is not answered when the next is due ends its connection."""
MOST_OF_ONE_PERSON = 200
"""Sockets of one person in one process; a browser has one for each page."""

_TURNS = 100
"""Into how many portions the sockets of one round of pings are divided."""
_LOOK_EVERY = 2
"""Rights are looked up unasked in every so many rounds: announcements can be lost."""


class Pinged(Protocol):
    """A socket as it is kept here.

    Attributes:
        answered: Whether the last ping was answered.
    """

    answered: bool

    def ping(self) -> None:
        """Ask for a sign of life."""

    def look(self) -> None:
        """Look at the rights again."""

    def end(self, code: Close) -> None:
        """Close it."""


class Sockets:
    """One timer for all: a socket is pinged, and found dead, when its turn comes."""

    def __init__(self) -> None:
        self._turns: dict[Pinged, tuple[float, int]] = {}
        """When each is due and in which round, the next one first."""
        self._of: Counter[str] = Counter()
        self._streams: set[asyncio.Future[Close]] = set()
        self._every_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._turns)

    @property
    def streams(self) -> int:
        """How many streams are open that are no sockets."""
        return len(self._streams)

    def has_room(self, person: str) -> bool:
        """Whether somebody may open another one."""
        return self._of[person] < MOST_OF_ONE_PERSON

    def add(self, line: Pinged, person: str, *, ping_s: float) -> None:
        """Take in an open socket; `ping_s` is the same for all."""
        self._of[person] += 1
        self._every_s = ping_s
        now = asyncio.get_running_loop().time()
        self._turns[line] = (now + ping_s, 1)
        self._wind()

    def remove(self, line: Pinged, person: str) -> None:
        """Forget one that is closed."""
        if self._turns.pop(line, None) is not None:
            self._forget(person)

    @contextmanager
    def stream(self, person: str) -> Iterator[asyncio.Future[Close]]:
        """Count a stream that is no socket; the future tells when and why it has to end."""
        end: asyncio.Future[Close] = asyncio.get_running_loop().create_future()
        self._of[person] += 1
        self._streams.add(end)
        try:
            yield end
        finally:
            self._streams.discard(end)
            self._forget(person)

    async def close_all(self, code: Close, *, within_s: float) -> None:
        """Have every socket close; a crowd is closed in portions, as far as the time reaches."""
        deadline = asyncio.get_running_loop().time() + within_s
        for end in self._streams:
            if not end.done():
                end.set_result(code)
        for number, line in enumerate(list(self._turns), start=1):
            line.end(code)
            if number % 500 == 0 and asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(0)

    def _forget(self, person: str) -> None:
        self._of[person] -= 1
        if not self._of[person]:
            del self._of[person]

    def _wind(self) -> None:
        if self._timer is None and self._turns:
            due, _ = next(iter(self._turns.values()))
            loop = asyncio.get_running_loop()
            at = max(due, loop.time() + self._every_s / _TURNS)
            self._timer = loop.call_at(at, self._turn)

    def _turn(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._turns:
            line, (due, number) = next(iter(self._turns.items()))
            if due > now:
                break
            if not line.answered:
                line.end(Close.NO_PONG)
                self._turns.pop(line, None)
                continue
            del self._turns[line]
            self._turns[line] = (now + self._every_s, number + 1)
            line.ping()
            if number % _LOOK_EVERY == 0:
                line.look()
        self._wind()
