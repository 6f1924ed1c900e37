"""Counters of all processes of an instance, added up in Redis.

They may be lost at any time: whoever reads counters copes with one that begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from redis.asyncio import Redis

SUMS_KEY = "runtime:metrics"


class MetricSums:
    """Every method raises `redis.RedisError`."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis  # its replies are typed for every option at once; these are bytes

    async def add(self, new: Mapping[tuple[str, ...], float]) -> None:
        """Add to sums by their series."""
        if not new:
            return
        pipeline = self._redis.pipeline(transaction=False)
        for series, value in new.items():
            pipeline.hincrbyfloat(SUMS_KEY, orjson.dumps(series), value)
        await pipeline.execute()

    async def read(self) -> dict[tuple[str, ...], float]:
        """Every sum by its series."""
        found = await self._redis.hgetall(SUMS_KEY)
        return {tuple(orjson.loads(series)): float(value) for series, value in found.items()}
