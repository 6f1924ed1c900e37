"""Frames from one socket that wait to be answered: few at a time, in order, and never a flood."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from server.errors import Close, Closing
from server.follower import Line

WAITING_FRAMES = 32
WAITING_BYTES = 512 * 1024
"""Beyond either the socket is not read until frames before are answered."""
FRAMES_PER_S = 2_000
FRAMES_AT_ONCE = 20_000
"""Whoever sends so many, and from then on more than that many a second, is sent away."""


class ReadLine(Line, Protocol):
    """A line whose other direction can be held up."""

    @property
    def backed_up(self) -> bool:
        """Whether so much waits for the peer that its requests have to wait, too."""

    def hold(self) -> None:
        """Read nothing for now."""

    def read_on(self) -> None:
        """Read again."""


class Inbox:
    """A queue in front of whoever takes one frame at a time."""

    def __init__(self, line: ReadLine) -> None:
        self._line = line
        self._frames: deque[str | bytes] = deque()
        self._bytes = 0
        self._credit = float(FRAMES_AT_ONCE)
        self._counted = time.monotonic()

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: str | bytes) -> None:
        """Take a frame.

        Raises:
            Closing: It is one of a flood.
        """
        now = time.monotonic()
        self._credit = min(FRAMES_AT_ONCE, self._credit + (now - self._counted) * FRAMES_PER_S) - 1
        self._counted = now
        if self._credit < 0:
            raise Closing(Close.FLOOD)
        self._frames.append(frame)
        self._bytes += len(frame)
        if len(self._frames) >= WAITING_FRAMES or self._bytes >= WAITING_BYTES:
            self._line.hold()

    @property
    def can_work(self) -> bool:
        """Whether a frame waits, and its answer would not have to."""
        return bool(self._frames) and not self._line.backed_up

    async def work(self, receive: Callable[[str | bytes], Awaitable[None]]) -> None:
        """Hand on frame after frame while there is one."""
        while self.can_work:
            frame = self._frames.popleft()
            self._bytes -= len(frame)
            await receive(frame)
            if not self._frames:
                self._line.read_on()
            await asyncio.sleep(0)  # a flood from one socket leaves the others their turns

    def clear(self) -> None:
        """Forget what waits."""
        self._frames.clear()
        self._bytes = 0
