"""Lets one store beside PostgreSQL keep up: registered, filled once, and told what has changed since.

While the store does not answer its marks stay where they are; it is tried again after growing pauses, and
whatever uses PostgreSQL alone goes on.
"""

from __future__ import annotations

import logging
import time

from server.by_turns import by_turns
from server.metrics import tally
from storage.follow import Follower, StoreAway, StoreBesideError
from storage.machine_store import MachineStore
from storage.marks import Marks

logger = logging.getLogger(__name__)

EVERY_S = 0.5
MISSED = 60
ROUND_S = 5.0
"""A round ends after about so long: its turn must not run out under it."""
AT_ONCE = 200
PAUSES_S = (1.0, 30.0)
"""The first pause after a failure, and the longest."""


class KeepingUp:
    """Works for one follower; of many servers one does.

    Args:
        holder: Unique to this life of this process.
        pauses_s: The first pause after a failure, and the longest.
    """

    def __init__(
        self,
        store: MachineStore,
        marks: Marks,
        follower: Follower,
        *,
        holder: str,
        every_s: float = EVERY_S,
        pauses_s: tuple[float, float] = PAUSES_S,
    ) -> None:
        self._store = store
        self._marks = marks
        self._follower = follower
        self._holder = holder
        self._every_s = every_s
        self._first_pause_s, self._longest_pause_s = pauses_s
        self._pause_s = self._first_pause_s
        self._not_before = 0.0
        self._fitted = False

    async def run(self) -> None:
        """Keep up until cancelled.

        Raises:
            Unavailable, SQLAlchemyError: Redis or PostgreSQL does not answer.
        """
        self._fitted = False
        turn = f"{self._follower.name}-0-follow"
        await by_turns(self._store, turn, self._holder, self.round, every_s=self._every_s, missed=MISSED)

    async def round(self) -> None:
        """Do what is to be done, for a few seconds at most; nothing during the pause after a failure."""
        name = self._follower.name
        if time.monotonic() < self._not_before:
            return
        try:
            worked = await self._work()
        except StoreBesideError as error:
            tally.count("casewire_follower_failures", name)
            logger.warning(
                "A store beside PostgreSQL cannot follow; what it has to look at is kept.",
                extra={
                    "action": "follower.away" if isinstance(error, StoreAway) else "follower.unfit",
                    "follower": name,
                    "error": str(error),
                    "pause_s": self._pause_s,
                },
            )
            self._fitted = False
            self._not_before = time.monotonic() + self._pause_s
            self._pause_s = min(2 * self._pause_s, self._longest_pause_s)
            await self._marks.failed(name, str(error))
            return
        if worked:
            self._pause_s = self._first_pause_s
            await self._marks.succeeded(name)

    async def _work(self) -> bool:
        """Whether the store was asked anything."""
        follower, until = self._follower, time.monotonic() + ROUND_S
        phase = await self._marks.phase(follower.name)
        if phase is None:  # a server without this setting has started meanwhile
            await self._marks.register(follower)
            phase = "new"
        if phase == "new":
            if not await self._marks.is_known_to_all(follower.name):
                return False
            logger.info(
                "A store beside PostgreSQL is emptied and filled from the beginning.",
                extra={"action": "follower.fills", "follower": follower.name, "target": follower.target},
            )
            await follower.wipe()
            await self._marks.begin_marking(follower)
            phase = "marking"
        worked = not self._fitted
        if not self._fitted:
            await follower.check()
            self._fitted = True
        while True:
            if phase == "marking":
                await self._marks.mark_more(follower)
            marks = await self._marks.take(follower.name, AT_ONCE)
            if marks:
                await follower.apply(marks)
                await self._marks.done(follower.name, marks)
                tally.count("casewire_follower_marks_done", follower.name, by=len(marks))
                worked = True
            if phase == "filling" and await self._marks.settle(follower.name):
                logger.info(
                    "A store beside PostgreSQL holds everything.",
                    extra={"action": "follower.filled", "follower": follower.name},
                )
            now = await self._marks.phase(follower.name)
            if (not marks and now == phase) or time.monotonic() > until or now in (None, "new"):
                return worked
            phase = now
