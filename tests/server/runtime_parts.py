"""The parts of the runtime on the real services, and uploads to give them work."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from handlers.job import Handlers
from machines.snapshot import Snapshot
from server.dispatcher import Dispatcher
from server.engine import Engine
from server.queues import JobQueues
from server.results import Results
from server.runner import Runner
from server.services import Services
from server.sweeper import Sweeper
from storage.machine_store import OutboxItem
from storage.machine_store_redis import RedisMachineStore
from storage.partials import Partials
from storage.runtime_records import RuntimeRecords
from tests.patience import PATIENCE_S

SHARDS = 4
TOPIC = "case:runtime"
BINDINGS = "tests.server.runtime_bindings:bindings"


@dataclass
class Parts:
    """What a server and a worker are made of."""

    redis: Redis
    services: Services
    engine: Engine
    store: RedisMachineStore
    queues: JobQueues
    records: RuntimeRecords
    results: Results

    def runner(self, handlers: Handlers, holder: str = "worker", **pace: float) -> Runner:
        return Runner(
            engine=self.engine,
            results=self.results,
            records=self.records,
            partials=Partials(self.redis),
            handlers=handlers,
            holder=holder,
            **pace,
        )

    def dispatcher(self, inline: Handlers, consumer: str = "server", idle_s: float = 60.0) -> Dispatcher:
        return Dispatcher(
            engine=self.engine,
            queues=self.queues,
            results=self.results,
            records=self.records,
            partials=Partials(self.redis),
            inline=inline,
            consumer=consumer,
            idle_s=idle_s,
        )

    def sweeper(self, **pace: float) -> Sweeper:
        return Sweeper(
            engine=self.engine,
            queues=self.queues,
            results=self.results,
            records=self.records,
            holder="server",
            **pace,
        )

    async def upload(self, filename: str) -> str:
        """An upload whose bytes have arrived, so that it waits to be verified."""
        spawned = await self.engine.spawn(
            "upload", TOPIC, {"filename": filename, "bytes": 3}, source="client", actor="ann", role="owner"
        )
        await self.engine.send(
            spawned.machine, "received", {"sha256": "0" * 64, "bytes": 3}, source="handler"
        )
        return spawned.machine

    async def claimed(self, consumer: str = "test") -> list[OutboxItem]:
        """Everything in the outbox, claimed by a consumer of that name."""
        first = await self.store.claim(consumer, count=100, block_s=0.01, idle_s=1e6)  # creates the groups
        return first + await self.store.claim(consumer, count=100, block_s=0.01, idle_s=1e6)

    async def state(self, machine: str) -> list[str]:
        return (await self.snapshot(machine)).configuration

    async def snapshot(self, machine: str) -> Snapshot:
        found = await self.engine.load(machine)
        assert found is not None
        return found


@asynccontextmanager
async def parts_of(services: Services, redis: Redis) -> AsyncIterator[Parts]:
    """Fresh parts on an empty Redis."""
    store = RedisMachineStore(redis, shards=SHARDS, era="test")
    engine = Engine(store, shards=SHARDS)
    records = RuntimeRecords(redis)
    queues = JobQueues(services.queue_url)
    try:
        yield Parts(redis, services, engine, store, queues, records, Results(engine, records))
    finally:
        queues.close()


async def until(ready: Callable[[], Awaitable[Any]], timeout_s: float = PATIENCE_S) -> Any:
    """Wait until `ready` answers something true, and return it."""
    async with asyncio.timeout(timeout_s):
        while not (answer := await ready()):  # noqa: ASYNC110 - what is awaited happens elsewhere
            await asyncio.sleep(0.03)
    return answer


def worker_environment(services: Services) -> dict[str, str]:
    """What a worker process of a test needs to find the services."""
    return os.environ | {
        "REDIS_URL": services.redis_url,
        "CASEWIRE_QUEUE_URL": services.queue_url,
        "DATABASE_URL": services.database_url,
        "CASEWIRE_DATA": str(services.data_dir),
        "CASEWIRE_SHARDS": str(SHARDS),
        "PYTHONPATH": os.pathsep.join(path for path in ("", *sys.path) if path) or ".",
    }


def python(services: Services, *arguments: str, **settings: str) -> subprocess.Popen[bytes]:
    """Start a Python process that finds the services and the project."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=worker_environment(services) | settings,
        stdout=subprocess.PIPE if "-c" in arguments else None,
    )


@asynccontextmanager
async def worker_process(services: Services, name: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    """One cpu worker in a process of its own; killed at the end if it is still there."""
    process = python(
        services, "-m", "server.worker", "--queue=cpu", f"--name={name}", f"--bindings={BINDINGS}"
    )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process if it is still there, and forget it."""
    if process.poll() is None:
        process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(pid: int) -> bool:
    """The inverse of `alive`, to wait for."""
    return not alive(pid)


def now() -> float:
    return time.time()
