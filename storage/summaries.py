"""Summaries of conversations in Redis, by case and by what they sum up, for a day after the last one."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from storage.keys import tag
from storage.machine_store import shard_of

KEEP_S = 24 * 3600


class Summaries:
    """Texts that a language model wrote; whatever is not there can be written again."""

    def __init__(self, redis: Redis, *, shards: int) -> None:
        self._redis: Any = redis  # its replies are typed for every option at once; these are bytes
        self._shards = shards

    async def get(self, case: str, key: str) -> str | None:
        """The summary kept under a key; None where none is."""
        found = await self._redis.hget(summaries_key(case, self._shards), key)
        return None if found is None else found.decode()

    async def put(self, case: str, key: str, summary: str) -> None:
        """Keep a summary."""
        place = summaries_key(case, self._shards)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(place, key, summary.encode())
            pipeline.expire(place, KEEP_S)
            await pipeline.execute()


def summaries_key(case: str, shards: int) -> str:
    """Where the summaries of a case are."""
    return f"{tag(shard_of(f'case:{case}', shards))}:summaries:{case}"
