"""The solved graph of each query, kept in Redis for a day so that a vote need not build it anew.

Everything here can be recomputed. Beside the graphs stands, for each case, which queries were
ranked last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from storage.case_cache import forget_cached
from storage.keys import tag
from storage.machine_store import shard_of, shard_of_machine

KEEP_S = 24 * 3600
"""How long a graph stays after it was last written."""

INDEX_KEEP_S = 30 * 24 * 3600
NEWEST = 20
"""So many queries of a case take part in a vote."""


class QueryGraphs:
    """Graphs as bytes, by query machine; standings as bytes, by case."""

    def __init__(self, redis: Redis, *, shards: int) -> None:
        self._redis: Any = redis  # its replies are typed for every option at once; these are bytes
        self._shards = shards

    async def put(self, case: str, query: str, graph: bytes, *, asked_at: float) -> None:
        """Keep a query's graph, and count the query among the case's newest."""
        index = self._index(case)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.set(_key(query), graph, ex=KEEP_S)
            pipeline.zadd(index, {query: asked_at})
            pipeline.zremrangebyrank(index, 0, -NEWEST - 1)
            pipeline.expire(index, INDEX_KEEP_S)
            await pipeline.execute()

    async def replace(self, query: str, graph: bytes) -> None:
        """Keep a newer solution of a graph that is still there; one that has left stays away."""
        await self._redis.set(_key(query), graph, ex=KEEP_S, xx=True)

    async def get(self, query: str) -> bytes | None:
        """The graph; None when it has left."""
        found: bytes | None = await self._redis.get(_key(query))
        return found

    async def newest(self, case: str) -> list[str]:
        """The queries of a case that were ranked, the latest asked first."""
        return [name.decode() for name in await self._redis.zrevrange(self._index(case), 0, NEWEST - 1)]

    async def put_standing(self, case: str, version: str, standing: bytes) -> None:
        """Keep the case-wide standing of one version of the case, in place of any other."""
        key = self._standing(case)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(key, mapping={"version": version, "standing": standing})
            pipeline.expire(key, KEEP_S)
            await pipeline.execute()

    async def standing(self, case: str, version: str) -> bytes | None:
        """The standing kept for exactly this version; None otherwise."""
        found = await self._redis.hgetall(self._standing(case))
        if not found or found[b"version"].decode() != version:
            return None
        return bytes(found[b"standing"])

    async def forget(self, case: str, queries: Sequence[str]) -> None:
        """Drop the graphs of these and of the newest queries, the standing, and what is cached of the case's
        texts: all can be built anew."""
        for query in {*queries, *await self.newest(case)}:
            await self._redis.delete(_key(query))
        await self._redis.delete(self._standing(case))
        await forget_cached(self._redis, case, shards=self._shards)

    async def forget_case(self, case: str, queries: Sequence[str]) -> None:
        """Drop all that is kept of a case."""
        await self.forget(case, queries)
        await self._redis.delete(self._index(case))

    def _prefix(self, case: str) -> str:
        return tag(shard_of(f"case:{case}", self._shards))

    def _index(self, case: str) -> str:
        return f"{self._prefix(case)}:qgraphs:{case}"

    def _standing(self, case: str) -> str:
        return f"{self._prefix(case)}:standing:{case}"


def _key(query: str) -> str:
    return f"{tag(shard_of_machine(query))}:qgraph:{query}"
