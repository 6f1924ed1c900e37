"""Measures the pressure on the instance every second; of many servers one does, and all read it."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

from redis.asyncio import Redis

from gpu.memory.device import main_memory
from server.by_turns import by_turns
from server.pressure import Drain, Measured, pressure_of
from server.queues import JobQueues
from storage.machine_store import MachineStore
from storage.redis_client import servers
from storage.runtime_records import PressureState, RuntimeRecords

EVERY_S = 1.0
_TURN = "pressure-0-turn"
"""A lease by which the servers agree on who measures, in the shape of an effect id of shard 0."""


class Gauging:
    """Measures until cancelled.

    Args:
        redis: The machines' Redis.
        memory_from: Share of main memory in use at which it presses.
        holder: Unique to this life of this process.
    """

    def __init__(
        self,
        store: MachineStore,
        redis: Redis,
        queues: JobQueues,
        *,
        memory_from: float,
        holder: str,
    ) -> None:
        self._store = store
        self._redis = redis
        self._records = RuntimeRecords(redis)
        self._queues = queues
        self._memory_from = memory_from
        self._holder = holder
        self._drains: defaultdict[str, Drain] = defaultdict(Drain)

    async def run(self) -> None:
        """Measure until cancelled.

        Raises:
            Unavailable, RedisError: A Redis does not answer.
        """
        await by_turns(self._store, _TURN, self._holder, self.measure, every_s=EVERY_S, missed=4)

    async def measure(self) -> PressureState:
        """Measure once, and tell everybody.

        Raises:
            RedisError: A Redis does not answer.
        """
        workers, others = await self._records.workers(), await self._records.servers()
        waiting = await asyncio.to_thread(self._queues.waiting_counts)
        now = time.monotonic()
        waits = [
            self._drains[queue].wait_s(
                now, {each.name: each.jobs for each in workers if each.queue == queue}, counted.urgent
            )
            for queue, counted in waiting.items()
        ]
        memories = [main_memory(), *((w.memory_free_bytes, w.memory_bytes) for w in workers)]
        memories += [(each.memory_free_bytes, each.memory_bytes) for each in others]
        measured = Measured(
            memory=max(share_used(*memory) for memory in memories),
            redis=await self._redis_used(),
            wait_s=max(waits),
            lag_s=max((each.lag_s for each in others), default=0.0),
        )
        pressure = pressure_of(measured, memory_from=self._memory_from, at=time.time())
        await self._records.tell_pressure(pressure)
        return pressure

    async def _redis_used(self) -> float:
        told = [await asyncio.to_thread(self._queues.redis_memory)]
        for info in await servers(self._redis, "memory"):
            told.append((int(info["used_memory"]), int(info["maxmemory"])))
        return max((used / limit for used, limit in told if limit), default=0.0)


def share_used(free_bytes: int, total_bytes: int) -> float:
    """Share of memory in use; 0 where none was reported."""
    return 1 - free_bytes / total_bytes if total_bytes else 0.0
