"""Lets the files of imports leave Redis soon after they have come to rest, so that it holds thousands.

A file that is ready, has failed or asks for a password can still change, so its machine never ends.
Nothing is awaited of it, though, and PostgreSQL has its snapshot: it leaves, and comes back when an
event is sent to it (`Engine.send`).
"""

from __future__ import annotations

import asyncio
import time

from sqlalchemy.ext.asyncio import AsyncEngine

from server.by_turns import by_turns
from storage.archive import archived_revisions
from storage.machine_store import MachineStore

EVERY_S = 15.0
AFTER_S = 60.0
"""Without a change; pages that show the newest files have them for so long."""
_AT_ONCE = 200
_TURN = "resting-0-turn"
"""A lease by which the servers agree on who does it, in the shape of an effect id of shard 0."""


class Resting:
    """Looks at the topics of imports every `every_s`; of many servers one does.

    Args:
        holder: Unique to this life of this process.
    """

    def __init__(
        self,
        store: MachineStore,
        database: AsyncEngine,
        *,
        holder: str,
        every_s: float = EVERY_S,
        after_s: float = AFTER_S,
    ) -> None:
        self._store = store
        self._database = database
        self._holder = holder
        self._every_s = every_s
        self._after_s = after_s

    async def run(self) -> None:
        """Look until cancelled.

        Raises:
            Unavailable, SQLAlchemyError: A store does not answer.
        """
        await by_turns(self._store, _TURN, self._holder, self._round, every_s=self._every_s, missed=3)

    async def _round(self) -> None:
        for topic, _ in await self._store.topics():
            if topic.startswith("import:"):
                await self.look_at(topic)

    async def look_at(self, topic: str) -> int:
        """Let machines of a topic leave that have rested, or ended, for a while; returns how many."""
        live = await self._store.live_in(topic)
        ended = [snapshot.id for snapshot in await self._store.finished_in(topic, None, _AT_ONCE)]
        left = 0
        for at in range(0, len(live) + len(ended), _AT_ONCE):
            left += await self._let_leave([*live, *ended][at : at + _AT_ONCE])
        return left

    async def _let_leave(self, machines: list[str]) -> int:
        found = await asyncio.gather(*(self._store.load(machine) for machine in machines))
        before = time.time() - self._after_s
        quiet = [
            snapshot
            for snapshot in found
            if snapshot is not None
            and snapshot.updated_at < before
            and not snapshot.awaiting
            and not snapshot.timers
        ]
        async with self._database.connect() as connection:
            kept = await archived_revisions(connection, [snapshot.id for snapshot in quiet])
        left = 0
        for snapshot in quiet:
            if kept.get(snapshot.id) != snapshot.revision:
                continue  # PostgreSQL was away; it comes later
            if snapshot.terminated:
                await self._store.evict(snapshot.id)
                left += 1
            else:
                left += await self._store.rest(snapshot.id, snapshot.revision)
        return left
