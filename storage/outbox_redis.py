"""Effects between their commit and their result, in Redis: outbox, awaited effects, leases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from storage.keys import shard_keys
from storage.machine_store import OutboxItem, Pending, shard_of_machine
from storage.redis_calls import RedisCalls
from storage.redis_client import cluster_of

GROUP = "dispatchers"
_GONE = 10
"""A consumer that holds nothing is forgotten when it has been silent for so many times `idle_s`."""
_SHORTEST_POLL_S, _LONGEST_POLL_S = 0.01, 0.16
_LONGEST_BLOCK_S = 2.0
"""Well below redis-py's read timeout of five seconds, which a longer block would run into."""


@dataclass(frozen=True)
class _Claimed:
    shard: int
    entry: bytes
    fields: dict[bytes, bytes]
    delivery: int = 1


class RedisOutbox(RedisCalls):
    """The part of `MachineStore` that dispatchers, workers and the sweeper use."""

    def __init__(self, redis: Redis, *, shards: int) -> None:
        super().__init__(redis)
        self._shards = shards
        self._outboxes = {shard_keys(shard).outbox: shard for shard in range(shards)}
        self._took_over_at: dict[str, float] = {}

    async def claim(self, consumer: str, *, count: int, block_s: float, idle_s: float) -> list[OutboxItem]:
        """See `MachineStore.claim`."""
        now = time.monotonic()
        if now - self._took_over_at.get(consumer, -idle_s) >= idle_s / 2:
            self._took_over_at[consumer] = now
            taken = await self._take_over(consumer, count, idle_s)
            if taken:
                return taken
        found = await self._read_new(consumer, count, block_s)
        return await self._items(
            [
                _Claimed(self._outboxes[stream.decode()], entry, fields)
                for stream, entries in found
                for entry, fields in entries
            ]
        )

    async def _read_new(self, consumer: str, count: int, block_s: float) -> Any:
        if cluster_of(self._redis) is not None:
            return await self._poll_new(consumer, count, min(block_s, _LONGEST_BLOCK_S))
        streams: dict[Any, Any] = dict.fromkeys(self._outboxes, ">")
        block_ms = max(1, round(min(block_s, _LONGEST_BLOCK_S) * 1000))
        while True:
            try:
                async with self._apart():
                    return await self._redis.xreadgroup(GROUP, consumer, streams, count=count, block=block_ms)
            except ResponseError as error:
                if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                    raise
            await self._make_groups()

    async def _poll_new(self, consumer: str, count: int, block_s: float) -> Any:
        """On a cluster, where no command may wait for streams of several slots: look now and then."""
        loop = asyncio.get_running_loop()
        end, pause_s = loop.time() + block_s, _SHORTEST_POLL_S
        while True:
            replies = await self._each(
                [
                    ("XREADGROUP", "GROUP", GROUP, consumer, "COUNT", count, "STREAMS", outbox, ">")
                    for outbox in self._outboxes
                ],
                failing=True,
            )
            refused = [reply for reply in replies if isinstance(reply, ResponseError)]
            found = [each for reply in replies if reply and reply not in refused for each in reply]
            for error in refused:
                if "NOGROUP" not in str(error):
                    raise error
            if refused:
                await self._make_groups()
            if found:
                return found
            if refused:
                continue
            if loop.time() >= end:
                return []
            await asyncio.sleep(min(pause_s, max(0.0, end - loop.time())))
            pause_s = min(2 * pause_s, _LONGEST_POLL_S)

    async def _make_groups(self) -> None:
        """Create what is missing; a Redis that was emptied has lost the groups, too."""
        for outbox in self._outboxes:
            try:
                async with self._apart():
                    await self._redis.xgroup_create(outbox, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    async def _take_over(self, consumer: str, count: int, idle_s: float) -> list[OutboxItem]:
        idle_ms = round(idle_s * 1000)
        try:
            replies = await self._each(
                [
                    ("XAUTOCLAIM", outbox, GROUP, consumer, idle_ms, "0-0", "COUNT", count)
                    for outbox in self._outboxes
                ]
            )
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            await self._make_groups()
            return []
        found: list[_Claimed] = []
        for (outbox, shard), reply in zip(self._outboxes.items(), replies, strict=True):
            for entry, fields in reply[1]:
                if entry is not None:
                    async with self._apart():
                        counted: Any = await self._redis.xpending_range(outbox, GROUP, entry, entry, 1)
                    delivery = counted[0]["times_delivered"] if counted else 1
                    found.append(_Claimed(shard, entry, fields, delivery))
            if any(entry is None for entry, _ in reply[1]):
                await self._forget_deleted(outbox, consumer, count)
            await self._run("drop_consumers", [outbox], [GROUP, idle_ms * _GONE])
        return await self._items(found)

    async def _items(self, claimed: Sequence[_Claimed]) -> list[OutboxItem]:
        """What was claimed; an awaited effect is read where it is pending.

        One that is pending no more has been answered or left behind since: nobody wants its
        result, so it leaves the outbox without being done.
        """
        awaited = [each for each in claimed if b"effect" not in each.fields]
        effects = await self._each(
            [("HGET", shard_keys(each.shard).pending, each.fields[b"id"]) for each in awaited]
        )
        known = dict(zip(((each.shard, each.entry) for each in awaited), effects, strict=True))
        items: list[OutboxItem] = []
        for each in claimed:
            effect = each.fields.get(b"effect") or known[each.shard, each.entry]
            if effect is None:
                await self._acknowledge(each.shard, each.entry.decode())
            else:
                items.append(
                    _effect(each.shard, each.entry.decode(), each.fields[b"id"], effect, each.delivery)
                )
        return items

    async def _forget_deleted(self, outbox: str, consumer: str, count: int) -> None:
        """Entries that were deleted but not acknowledged come from Redis 6.2 as (None, None), for ever."""
        async with self._apart():
            held: Any = await self._redis.xpending_range(
                outbox, GROUP, "-", "+", count, consumername=consumer
            )
        ids = [entry["message_id"] for entry in held]
        there = await self._each([("XRANGE", outbox, entry, entry) for entry in ids])
        await self._each(
            [("XACK", outbox, GROUP, entry) for entry, found in zip(ids, there, strict=True) if not found]
        )

    async def acknowledge(self, item: OutboxItem) -> None:
        """See `MachineStore.acknowledge`."""
        await self._acknowledge(item.shard, item.entry)

    async def _acknowledge(self, shard: int, entry: str) -> None:
        await self._run("acknowledge", [shard_keys(shard).outbox], [GROUP, entry])

    async def pending(self, *, older_than: float) -> list[Pending]:
        """See `MachineStore.pending`."""
        shards = [shard_keys(shard) for shard in range(self._shards)]
        old = await self._each([("ZRANGEBYSCORE", k.pending_at, "-inf", f"({older_than}") for k in shards])
        waiting = [(shard, k, ids) for shard, (k, ids) in enumerate(zip(shards, old, strict=True)) if ids]
        effects = await self._each([("HMGET", k.pending, *ids) for _, k, ids in waiting])
        tries = await self._each([("HMGET", k.tries, *ids) for _, k, ids in waiting])
        return [
            Pending(
                item=_effect(shard, "", effect_id, effect),
                since=orjson.loads(effect)["since"],
                tries=int(tried or 0),
            )
            for (shard, _, ids), of_shard, tried_of_shard in zip(waiting, effects, tries, strict=True)
            for effect_id, effect, tried in zip(ids, of_shard, tried_of_shard, strict=True)
            if effect is not None
        ]

    async def retry_pending(self, effect_id: str, *, at: float) -> int:
        """See `MachineStore.retry_pending`."""
        keys = shard_keys(shard_of_machine(effect_id.partition(":")[0]))
        count = await self._run("retry", [keys.pending, keys.pending_at, keys.tries], [effect_id, at])
        return int(count)

    async def is_pending(self, effect_id: str) -> bool:
        """See `MachineStore.is_pending`."""
        keys = shard_keys(shard_of_machine(effect_id.partition(":")[0]))
        return bool(await self._call(keys.pending, "HEXISTS", keys.pending, effect_id))

    async def take_lease(self, effect_id: str, holder: str, *, ttl_s: float) -> bool:
        """See `MachineStore.take_lease`."""
        return bool(await self._run("lease", [_lease(effect_id)], [holder, max(1, round(ttl_s * 1000))]))

    async def drop_lease(self, effect_id: str, holder: str) -> None:
        """See `MachineStore.drop_lease`."""
        await self._run("lease", [_lease(effect_id)], [holder, 0])

    async def leases(self, effect_ids: Sequence[str]) -> list[bool]:
        """See `MachineStore.leases`."""
        return [bool(held) for held in await self._each([("EXISTS", _lease(e)) for e in effect_ids])]


def _lease(effect_id: str) -> str:
    return shard_keys(shard_of_machine(effect_id.partition(":")[0])).lease(effect_id)


def _effect(shard: int, entry: str, effect_id: bytes, effect: bytes, delivery: int = 1) -> OutboxItem:
    known = orjson.loads(effect)
    return OutboxItem(
        shard=shard,
        entry=entry,
        effect_id=effect_id.decode(),
        name=known["name"],
        args=known["args"],
        queue=known["queue"],
        machine=known["machine"],
        topic=known["topic"],
        delivery=delivery,
        trace=known.get("trace", ""),
        behalf=known.get("behalf", ""),
    )
