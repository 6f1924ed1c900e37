"""Counters of all processes of an instance, added up in Redis; and what each process is busy with.

They may be lost at any time: whoever reads counters copes with one that begins anew.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from redis.asyncio import Redis

SUMS_KEY = "runtime:metrics"
PROCESSES_KEY = "metrics:processes"
SILENT_S = 10.0
"""A server that has not reported for so long is not counted."""


@dataclass(frozen=True)
class OpenNow:
    """What one server process has open now; `at` is Unix seconds."""

    name: str
    pid: int
    sockets: int
    topics: int
    subscribers: int
    rss_bytes: int
    at: float


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

    async def report(self, state: OpenNow) -> None:
        """A server is alive."""
        await self._redis.hset(PROCESSES_KEY, state.name, orjson.dumps(asdict(state)))

    async def forget(self, name: str) -> None:
        """A server has ended."""
        await self._redis.hdel(PROCESSES_KEY, name)

    async def servers(self) -> list[OpenNow]:
        """Servers that have reported lately."""
        found = [OpenNow(**orjson.loads(v)) for v in (await self._redis.hgetall(PROCESSES_KEY)).values()]
        silent = [state.name for state in found if state.at < time.time() - SILENT_S]
        if silent:
            await self._redis.hdel(PROCESSES_KEY, *silent)
        return [state for state in found if state.name not in silent]
