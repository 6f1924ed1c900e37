"""Cases are prepared for their people when they have changed: what to read next, what could be asked.

Of many servers one does it, and only once a case has been quiet for a moment or has waited long enough.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.recommend import prepare_recommendations
from handlers.suggestions import prepare_suggestions
from machines.topics import case_of
from server.by_turns import Rest, by_turns
from storage.attended import Attended
from storage.machine_store import MachineStore
from storage.prepared import Prepared
from storage.recommending import Recommending
from storage.suggesting import Suggesting

logger = logging.getLogger(__name__)

EVERY_S = 3.0
QUIET_S = 4.0
"""How long nothing has happened in a case that is idle."""
PATIENCE_S = 60.0
"""In a case that never is, so long after the first change."""
AT_ONCE = 20
"""Cases of one round; others have their turn in the next one."""
_TURN = "prepared-0-turn"
"""A lease by which the servers agree on who does it, in the shape of an effect id of shard 0."""


@dataclass(frozen=True)
class Sources:
    """What is prepared, from what, and where it is kept."""

    recommending: Recommending
    suggesting: Suggesting
    attended: Attended
    prepared: Prepared


class Preparing:
    """Looks for cases that have changed every `every_s`.

    Args:
        holder: Unique to this life of this process.
        rest: See `by_turns`.
    """

    def __init__(
        self,
        store: MachineStore,
        sources: Sources,
        *,
        holder: str,
        every_s: float = EVERY_S,
        quiet_s: float = QUIET_S,
        rest: Rest | None = None,
    ) -> None:
        self._store = store
        self._sources = sources
        self._holder = holder
        self._every_s, self._quiet_s = every_s, quiet_s
        self._rest = rest
        self._looked_at = 0.0
        self._attention = 0
        self._changed: dict[str, tuple[float, float]] = {}
        """By case: when it changed first since it was prepared, and last."""

    async def run(self) -> None:
        """Look until cancelled.

        Raises:
            Unavailable, RedisError, SQLAlchemyError: A store does not answer.
        """
        await by_turns(
            self._store, _TURN, self._holder, self.look, every_s=self._every_s, missed=8, rest=self._rest
        )

    async def look(self) -> int:
        """Prepare what has changed and is quiet; returns how many cases that were."""
        await self._notice()
        now = time.time()
        due = [
            case
            for case, (first, last) in self._changed.items()
            if now - last >= self._quiet_s or now - first >= PATIENCE_S
        ]
        done = 0
        for case in sorted(due, key=lambda case: self._changed[case])[:AT_ONCE]:
            since = self._changed.pop(case)
            if await self._prepare(case):
                done += 1
            else:  # dropped while it was computed: evidence has gone, or somebody has read on
                self._changed.setdefault(case, (since[0], now))
        return done

    async def _notice(self) -> None:
        """Which cases have changed, by their logs and by what people looked at."""
        began = time.time()
        if not self._looked_at:  # what changed before is prepared, or will be wanted
            self._looked_at = began - PATIENCE_S
        # A little of what was seen is looked at again: clocks of several servers are not one.
        topics = await self._store.topics(changed_after=max(0.0, self._looked_at - self._quiet_s))
        for topic, at in topics:
            if (case := case_of(topic)) and at > self._looked_at - self._quiet_s:
                self._note(case, at)
        self._looked_at = began
        self._attention, attended = await self._sources.attended.since(self._attention)
        for case in attended:
            self._note(case, began)
        for case in await self._sources.prepared.wanted():
            self._note(case, began - PATIENCE_S)

    def _note(self, case: str, at: float) -> None:
        first, last = self._changed.get(case, (at, at))
        self._changed[case] = (min(first, at), max(last, at))

    async def _prepare(self, case: str) -> bool:
        sources = self._sources
        if not await sources.attended.exists(case):
            await sources.prepared.drop(case)
            return True
        await sources.prepared.tell_words_changed(case)
        ready = await prepare_recommendations(case, facts=sources.recommending, prepared=sources.prepared)
        return (
            await prepare_suggestions(case, suggesting=sources.suggesting, prepared=sources.prepared)
            and ready
        )


def preparing_of(
    store: MachineStore,
    redis: Redis,
    database: AsyncEngine,
    shards: int,
    *,
    holder: str,
    rest: Rest | None = None,
) -> Preparing:
    """Preparing with its stores."""
    sources = Sources(
        recommending=Recommending(database),
        suggesting=Suggesting(database),
        attended=Attended(database),
        prepared=Prepared(redis, shards=shards),
    )
    return Preparing(store, sources, holder=holder, rest=rest)
