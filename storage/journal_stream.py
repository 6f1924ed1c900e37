"""Committed entries on their way from Redis to the custody chain, a stream a shard.

A commit appends to the stream in the same script; whoever has written an entry to Postgres takes
it out. So no entry is ever missing, and some may be read twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from storage.keys import shard_keys


@dataclass(frozen=True)
class Journaled:
    """An entry of a topic's log (JSON without epoch and offset); `id` is its place in the stream."""

    id: str
    topic: str
    entry: bytes


class JournalStream:
    """The streams of all shards. Every method raises `redis.RedisError`."""

    def __init__(self, redis: Redis, *, shards: int) -> None:
        # Any, since replies are typed for every option at once; here they are bytes.
        self._redis: Any = redis
        self.shards = shards

    async def lengths(self) -> dict[int, int]:
        """Shard → how many entries wait, for the shards where some do."""
        pipeline = self._redis.pipeline(transaction=False)
        for shard in range(self.shards):
            pipeline.xlen(shard_keys(shard).journal)
        return {shard: length for shard, length in enumerate(await pipeline.execute()) if length}

    async def read(self, shard: int, limit: int) -> list[Journaled]:
        """The oldest entries, in the order in which they were committed."""
        rows = await self._redis.xrange(shard_keys(shard).journal, count=limit)
        return [Journaled(i.decode(), f[b"topic"].decode(), f[b"entry"]) for i, f in rows]

    async def remove(self, shard: int, entries: list[Journaled]) -> None:
        """They have arrived."""
        if entries:
            await self._redis.xdel(shard_keys(shard).journal, *(entry.id for entry in entries))
