"""Who may step a machine in this process: one at a time, in the order of arrival."""

from __future__ import annotations

import asyncio
from collections import deque

LONGEST_QUEUE = 1000
"""Events of one machine that may wait in this process."""


class Turns:
    """A turn is taken at once, or waited for, and left in either case.

    A lock for each machine would do the same; this costs nothing to those who need not wait, which
    are nearly all.
    """

    def __init__(self) -> None:
        self._taken: dict[str, deque[asyncio.Future[None]] | None] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, machine: str) -> bool:
        """Take the turn if nobody has it; whether it was taken."""
        if machine in self._taken:
            return False
        self._taken[machine] = None
        return True

    def crowded(self, machine: str) -> bool:
        """Whether no more may wait."""
        waiting = self._taken.get(machine)
        if waiting is None or len(waiting) < LONGEST_QUEUE:
            return False
        return sum(not each.done() for each in waiting) >= LONGEST_QUEUE  # some may wait no longer

    async def wait(self, machine: str) -> None:
        """Take the turn after all those who wait for it already."""
        if self.take(machine):
            return
        waiting = self._taken[machine]
        if waiting is None:
            waiting = self._taken[machine] = deque()
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():  # it was handed over in the moment of the cancellation
                self.leave(machine)
            raise

    def leave(self, machine: str) -> None:
        """Hand the turn to whoever has waited longest."""
        waiting = self._taken[machine]
        while waiting:
            longest = waiting.popleft()
            if not longest.done():
                longest.set_result(None)
                return
        del self._taken[machine]
