"""Milliseconds from an event to a subscriber, and microseconds of a step, on the embedded Redis.

Run with `python -m tests.bench.bench_engine`; prints Markdown tables.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from redis.asyncio import Redis

from machines.snapshot import Snapshot
from machines.step import Incoming, step
from server.engine import Engine
from server.hub import Hub
from storage.data_folder import DataFolder
from storage.embedded_redis import EmbeddedRedis
from storage.machine_store_redis import RedisMachineStore
from tests.machines.walk import Walk, extracted_upload

SHARDS = 16
PUSHES = 1_000


async def pushes_ms(engine: Engine, hub: Hub, machine: str, topic: str) -> list[float]:
    """From `send` until a subscriber holds the entry, one after another."""
    subscription = await hub.subscribe(topic)
    taken = []
    for n in range(PUSHES):
        before = time.perf_counter()
        sending = asyncio.create_task(
            engine.send(machine, "rename", {"title": f"{n}"}, source="client", role="owner")
        )
        await anext(subscription)
        taken.append(1e3 * (time.perf_counter() - before))
        await sending
    subscription.close()
    return sorted(taken)


def step_us(snapshot: Snapshot, incoming: Incoming) -> float:
    """Median microseconds of one step: restore, event, snapshot."""
    taken = []
    for _ in range(400):
        before = time.perf_counter()
        step(snapshot, incoming)
        taken.append(1e6 * (time.perf_counter() - before))
    return statistics.median(taken)


def steps() -> dict[str, Callable[[], float]]:
    """One step of each chart, named by what it does."""
    case = Walk("case", title="A").last.snapshot
    upload = Walk("upload", filename="a.pdf").last.snapshot
    analysing = extracted_upload()
    query = Walk("query", question="Who?")

    def started(walk: Walk, effect: str, stage: str) -> Callable[[], float]:
        data = {"effect": walk.effect(effect), "stage": stage}
        return lambda: step_us(walk.last.snapshot, Incoming("started", data, "handler", 2000.0))

    return {
        "case, rename": lambda: step_us(
            case, Incoming("rename", {"title": "B"}, "client", 2000.0, "u1", "owner")
        ),
        "upload, bytes arriving": lambda: step_us(
            upload, Incoming("receiving_on", {"received": 1}, "handler", 2000.0)
        ),
        "upload, one of four regions starts": started(analysing, "TagEvidence", "tagging"),
        "query, one of three regions starts": started(query, "SearchWords", "by_words"),
    }


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="casewire-", dir="/tmp") as path:
        folder = DataFolder(Path(path) / "data")
        folder.create()
        embedded = EmbeddedRedis(folder)
        await embedded.start()
        redis = Redis.from_url(embedded.url)
        try:
            await measure(redis)
        finally:
            await redis.aclose()
            await embedded.stop()


async def measure(redis: Redis) -> None:
    store = RedisMachineStore(redis, shards=SHARDS, era="bench")
    engine = Engine(store, shards=SHARDS)
    made = await engine.spawn("case", "case:0", {"title": "A"})
    async with Hub(store) as hub:
        taken = await pushes_ms(engine, hub, made.machine, "case:0")
    print(f"| event to subscriber, {PUSHES:,} in a row | p50 ms | p99 ms |\n|---|---|---|")
    print(f"| case, rename | {taken[PUSHES // 2]:.2f} | {taken[PUSHES * 99 // 100]:.2f} |")
    print("\n| one step without a store | µs |\n|---|---|")
    for name, measured in steps().items():
        print(f"| {name} | {measured():.0f} |")


if __name__ == "__main__":
    asyncio.run(main())
