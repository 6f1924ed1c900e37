"""What was computed from the text of a case, kept in Redis for a while under the text's own hash.

One hash a case and kind, so that it goes as a whole when evidence or the case is deleted. All of it can
be computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from redis.asyncio import Redis

from storage.keys import tag
from storage.machine_store import shard_of

Kind = Literal["embeddings", "answers", "summaries", "prepared"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class CaseCache:
    """Bytes by key within a case.

    Args:
        keep_s: How long a case's cache stays after it was last written.
        most: Entries of a case; when there are more, all are dropped and it begins anew.
    """

    def __init__(self, redis: Redis, kind: Kind, *, shards: int, keep_s: int, most: int) -> None:
        self._redis: Any = redis  # its replies are typed for every option at once; these are bytes
        self._kind, self._shards = kind, shards
        self._keep_s, self._most = keep_s, most

    async def get(self, case: str, keys: Sequence[str]) -> list[bytes | None]:
        """What is kept under each key."""
        if not keys:
            return []
        found: list[bytes | None] = await self._redis.hmget(self._key(case), list(keys))
        return found

    async def put(self, case: str, values: dict[str, bytes]) -> None:
        """Keep values by key."""
        if not values:
            return
        key = self._key(case)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(key, mapping=values)
            pipeline.expire(key, self._keep_s)
            pipeline.hlen(key)
            *_, length = await pipeline.execute()
        if length > self._most:
            await self._redis.delete(key)

    def _key(self, case: str) -> str:
        return cache_key(self._kind, case, self._shards)


async def forget_cached(redis: Any, case: str, *, shards: int) -> None:
    """Drop all that is cached of a case."""
    for kind in KINDS:
        await redis.delete(cache_key(kind, case, shards))


def cache_key(kind: Kind, case: str, shards: int) -> str:
    """Where the cache of one kind is, in the hash slot of the case's machines."""
    return f"{tag(shard_of(f'case:{case}', shards))}:cache:{kind}:{case}"
