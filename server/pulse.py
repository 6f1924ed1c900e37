"""The sign of life of a worker, from a thread of its own, since a handler may hold up the loop.

Once a second, and when a job begins, it renews the job's lease, reports what the worker does, and
ends the process when the one that started it is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import platform
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, replace

import psutil
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gpu.memory.device import main_memory
from machines.effect import Queue
from server.pinning import format_cores, own_cores
from server.pressure import memory_pressure
from server.reporter import carry
from server.runner import LEASE_S, Runner
from storage.machine_store import Unavailable
from storage.machine_store_redis import RedisMachineStore
from storage.metric_sums import MetricSums
from storage.redis_client import connect
from storage.runtime_records import PressureState, RuntimeRecords, WorkerState

logger = logging.getLogger(__name__)

EVERY_S = 1.0
_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have this process killed when `parent`, which started it, ends in whatever way.

    Where the system cannot promise that, `Pulse` looks once a second.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before the promise was given
        os._exit(1)


@dataclass(frozen=True)
class Place:
    """Where a worker runs and what it is called."""

    name: str
    queue: str
    redis_url: str
    shards: int
    parent: int | None
    pinned: bool
    memory_from: float
    """Share of main memory in use at which it presses."""


def device_of(queue: Queue) -> tuple[str, int]:
    """What a worker of a queue computes on, and how much memory that has if it is a GPU."""
    if queue != "gpu":
        return "cpu", 0
    from gpu.memory.device import describe

    device = describe()
    if device.kind == "cpu":
        return f"{device.name}, CPU path ({device.why_cpu})", 0
    return device.name, device.memory_total_bytes


class Pulse(threading.Thread):
    """Beats until `stop`; daemonic, so it never keeps a process alive."""

    def __init__(self, place: Place, *, lease_s: float = LEASE_S) -> None:
        super().__init__(name="pulse", daemon=True)
        self._place = place
        self._lease_s = lease_s
        self._stopped = False
        self._wake = threading.Event()
        self._since = time.time()
        self._was = "starting"
        self._runner: Runner | None = None
        self.stopping = False
        self.pressure = PressureState()
        """The instance's, and of memory this machine's own."""
        self._device = ""
        self._gpu_memory_bytes = 0

    def run(self) -> None:
        """See `threading.Thread.run`."""
        asyncio.run(self._beat_on())

    def ready(self, runner: Runner, device: str, gpu_memory_bytes: int = 0) -> None:
        """From now on the worker takes jobs; until then it is reported to be starting."""
        runner.on_start = self._wake.set
        self._runner, self._device, self._gpu_memory_bytes = runner, device, gpu_memory_bytes
        self._wake.set()

    def stop(self) -> None:
        """Take the report back and end the thread."""
        self._stopped = True
        self._wake.set()
        self.join(timeout=5.0)

    async def _beat_on(self) -> None:
        redis = await self._connected()
        if redis is None:
            return
        store = RedisMachineStore(redis, shards=self._place.shards, era="unsettled")
        records, sums = RuntimeRecords(redis), MetricSums(redis)
        try:
            while not self._stopped:
                self._wake.clear()
                if self._place.parent is not None and os.getppid() != self._place.parent:
                    os._exit(1)
                try:
                    await self._beat(store, records)
                    await carry(sums)
                except (Unavailable, RedisError) as error:
                    logger.warning(
                        "A worker could not report.", extra={"action": "pulse.lost", "error": str(error)}
                    )
                await asyncio.to_thread(self._wake.wait, EVERY_S)
            with contextlib.suppress(RedisError):  # it is forgotten anyway, only later
                await records.forget_worker(self._place.name)
                await carry(sums)
        finally:
            await redis.aclose()

    async def _connected(self) -> Redis | None:
        """A client as soon as Redis answers; None where the worker ends before that."""
        while not self._stopped:
            try:
                return await connect(self._place.redis_url)
            except (RedisError, OSError) as error:
                logger.warning(
                    "A worker could not report.", extra={"action": "pulse.lost", "error": str(error)}
                )
                await asyncio.to_thread(self._wake.wait, EVERY_S)
        return None

    async def _beat(self, store: RedisMachineStore, records: RuntimeRecords) -> None:
        runner = self._runner
        current = runner.current if runner is not None else None
        if current is not None:
            await store.take_lease(current.item.effect_id, self._place.name, ttl_s=self._lease_s)
            if runner is not None and runner.current is not current:  # it ended meanwhile
                await store.drop_lease(current.item.effect_id, self._place.name)
                current = runner.current
        now = time.time()
        state = "starting" if runner is None else "busy" if current is not None else "idle"
        if self.stopping:
            state = "stopping"
        if state != self._was:
            self._was, self._since = state, now
        item = current.item if current is not None else None
        free, total = main_memory()
        memory = memory_pressure(1 - free / total, self._place.memory_from)
        self.pressure = replace(await records.pressure(), memory=memory)
        await records.report(
            WorkerState(
                name=self._place.name,
                queue=self._place.queue,
                host=socket.gethostname() or platform.node(),
                pid=os.getpid(),
                state=state,
                effect=item.effect_id if item else "",
                effect_name=item.name if item else "",
                machine=item.machine if item else "",
                since=current.since if current else self._since,
                rss_bytes=psutil.Process().memory_info().rss,
                device=self._device,
                jobs=runner.ended if runner is not None else 0,
                beat_at=now,
                cores=format_cores(own_cores()),
                pinned=self._place.pinned,
                memory_free_bytes=free,
                memory_bytes=total,
                gpu_memory_bytes=self._gpu_memory_bytes,
            )
        )
