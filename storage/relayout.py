"""The way machines lay in Redis in an earlier release becomes the present one, before anybody writes.

Then, a shard had the hashes `snapshots` and `revisions` (machine → JSON, machine → number), the sorted
sets `recent` and `recent:<kind>`, and a string `event:<machine>:<event id>` with `[offset, revision,
configuration]` for a day; `topics` and `live:<topic>` were sorted sets by time. All else lies as it did:
log, journal, timers, finished and awaited effects. An outbox may still name awaited effects in full, which
the outbox reads alike.

Every key moves by a script that finds it in its old form or does nothing, so that an interrupted run goes
on where it ended, and one that runs beside it, or behind, does not bring back what has changed since.
`topics` is the last of a shard to move, and so tells whether there is anything to do.
"""

from __future__ import annotations

import asyncio
import logging

import orjson
from redis.asyncio import Redis

from machines.snapshot import Snapshot
from storage.keys import shard_keys, topic_keys
from storage.machine_store_redis import REMEMBERED_S
from storage.packing_redis import digest_of, packed_configuration, packed_machine
from storage.redis_calls import RedisCalls

logger = logging.getLogger(__name__)

_AT_A_TIME = 200


async def relayout(redis: Redis, *, shards: int) -> int:
    """Bring what an earlier release left to the present form; return how many machines were moved.

    No server of that release may run any more. Costs one command a shard when there is nothing to do.

    Raises:
        Unavailable, redis.RedisError: Redis does not answer; the next run moves what is left.
    """
    moving = _Relayout(redis)
    old = await moving.old_shards(shards)
    if not old:
        return 0
    await moving.events()
    machines = sum([await moving.shard(shard) for shard in old])
    logger.info(
        "Machines were brought to the present form in Redis.",
        extra={"action": "machines.relaid", "machines": machines, "shards": len(old)},
    )
    return machines


class _Relayout(RedisCalls):
    async def old_shards(self, shards: int) -> list[int]:
        types = await self._each([("TYPE", shard_keys(shard).topics) for shard in range(shards)])
        return [shard for shard, found in enumerate(types) if found == b"zset"]

    async def events(self) -> None:
        """Of all shards: no list names them, so all of Redis is looked through, once."""
        names: list[bytes] = []
        async for name in self._redis.scan_iter(match="{*}:event:*", count=1000):
            names.append(name)
            if len(names) == _AT_A_TIME:
                await self._events(names)
                names = []
        await self._events(names)

    async def _events(self, names: list[bytes]) -> None:
        found = await self._each([("GET", name) for name in names])
        moves = zip(names, found, strict=True)
        await asyncio.gather(*(self._event(name, first) for name, first in moves if first is not None))

    async def _event(self, name: bytes, first: bytes) -> None:
        shard, _, machine, event_id = name.decode().split(":", 3)
        keys = shard_keys(int(shard[1:-1]))
        offset, revision, configuration = orjson.loads(first)
        packed = packed_configuration(configuration)
        outcome = b"%d %d %b" % (offset, revision, packed.remembered)
        await self._run(
            "relayout_event",
            [name.decode(), *keys.events_of(machine), keys.configurations],
            [digest_of(event_id), outcome, packed.remembered[1:], packed.kept, REMEMBERED_S],
        )

    async def shard(self, shard: int) -> int:
        """Move a shard's machines, then its topics; return how many machines this run moved."""
        keys, moved, cursor = shard_keys(shard), 0, -1
        snapshots, recent = f"{keys.prefix}:snapshots", f"{keys.prefix}:recent"
        while cursor:
            [(cursor, found)] = await self._each([("HSCAN", snapshots, max(cursor, 0), "COUNT", _AT_A_TIME)])
            machines = [Snapshot.from_json(orjson.loads(json)) for json in found.values()]
            moves = [
                self._run(
                    "relayout_machine",
                    [snapshots, f"{recent}:{machine.kind}", keys.machine + machine.id],
                    [machine.id, packed_machine(machine)],
                )
                for machine in machines
            ]
            moved += sum(await asyncio.gather(*moves))
        await self._run(
            "relayout_topics",
            [keys.topics, recent, f"{keys.prefix}:revisions"],
            [topic_keys(shard, "").position, topic_keys(shard, "").live],
        )
        return moved
