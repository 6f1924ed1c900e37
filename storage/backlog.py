"""How much is on its way in Redis, and how late it is: outbox, journal, awaited effects, timers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from storage.keys import shard_keys
from storage.redis_calls import RedisCalls


@dataclass(frozen=True)
class Backlog:
    """Of all shards together.

    Attributes:
        outbox: Effects that have not reached their queue; the oldest waits for `outbox_s` seconds.
        journal: Entries that are not in Postgres yet, and for how long the oldest is not.
        awaited: Effects that have no result yet, queued and running.
        timers: Timers that are set.
        timers_due: Those that have fallen due, and by how much the earliest is late.
    """

    outbox: int
    outbox_s: float
    journal: int
    journal_s: float
    awaited: int
    timers: int
    timers_due: int
    timers_s: float


class Backlogs(RedisCalls):
    """Reads the backlog, a few commands a shard."""

    def __init__(self, redis: Redis, *, shards: int) -> None:
        super().__init__(redis)
        self._shards = [shard_keys(shard) for shard in range(shards)]

    async def read(self) -> Backlog:
        """As of now.

        Raises:
            Unavailable: Redis does not answer.
        """
        now = time.time()
        commands: list[tuple[Any, ...]] = []
        for keys in self._shards:
            commands += [
                ("XLEN", keys.outbox),
                ("XRANGE", keys.outbox, "-", "+", "COUNT", 1),
                ("XLEN", keys.journal),
                ("XRANGE", keys.journal, "-", "+", "COUNT", 1),
                ("HLEN", keys.pending),
                ("ZCARD", keys.timers),
                ("ZCOUNT", keys.timers, "-inf", now),
                ("ZRANGE", keys.timers, 0, 0, "WITHSCORES"),
            ]
        replies = await self._each(commands)
        outbox, outbox_first, journal, journal_first, awaited, timers, due, earliest = (
            replies[place::8] for place in range(8)
        )
        return Backlog(
            outbox=sum(outbox),
            outbox_s=_oldest_s(outbox_first, now),
            journal=sum(journal),
            journal_s=_oldest_s(journal_first, now),
            awaited=sum(awaited),
            timers=sum(timers),
            timers_due=sum(due),
            timers_s=max([0.0, *(now - float(found[0][1]) for found in earliest if found)]),
        )


def _oldest_s(firsts: list[list[tuple[bytes, Any]]], now: float) -> float:
    """Age of the oldest entry; a stream's ids begin with the milliseconds of their making."""
    ages = [now - int(found[0][0].partition(b"-")[0]) / 1000 for found in firsts if found]
    return max([0.0, *ages])
