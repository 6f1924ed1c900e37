"""Transitions a second and milliseconds from an event to a subscriber, on the embedded Redis.

Run with `python -m tests.bench.bench_engine`; prints Markdown tables. The bare script is the same
commit with its arguments packed beforehand, from the same client: what is missing to it is the
engine's queueing, the read, the chart and the packing. Both run in turns.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from redis.asyncio import Redis

from machines.snapshot import Snapshot
from machines.step import Incoming, Step, step
from server.engine import Engine
from server.hub import Hub
from storage.data_folder import DataFolder
from storage.embedded_redis import EmbeddedRedis
from storage.machine_store_redis import RedisMachineStore
from tests.machines.walk import Walk, extracted_upload

SHARDS = 16
MACHINES = 64
EVENTS = 30
"""Of each machine in one turn."""
TURNS = 5
PUSHES = 1_000


async def spawned(engine: Engine) -> list[str]:
    made = [await engine.spawn("case", f"case:{n}", {"title": "A"}) for n in range(MACHINES)]
    return [outcome.machine for outcome in made]


async def by_engine(engine: Engine, machines: list[str]) -> float:
    """Transitions a second with all machines busy at once."""

    async def keep_busy(machine: str) -> None:
        for n in range(EVENTS):
            await engine.send(machine, "rename", {"title": f"{n}"}, source="client", role="owner")

    before = time.perf_counter()
    await asyncio.gather(*(keep_busy(machine) for machine in machines))
    return MACHINES * EVENTS / (time.perf_counter() - before)


async def by_script(store: RedisMachineStore, machines: list[str]) -> float:
    """The same commits, stepped and packed beforehand."""
    script = store._scripts["commit"]
    packed = []
    for machine in machines:
        snapshot = await store.load(machine)
        assert snapshot is not None
        calls = []
        for n in range(EVENTS):
            before, snapshot = snapshot, replace(snapshot, revision=snapshot.revision + 1)
            done = Step(snapshot, changed={"title": f"{n}"}, before=before.configuration, event="rename")
            calls.append(store.packed(done, event_id=f"{snapshot.revision} bare", actor="u"))
        packed.append(calls)

    async def keep_busy(calls: list[tuple[list[str], list[str | bytes | int | float]]]) -> None:
        for keys, args in calls:
            reply = await script(keys=keys, args=args)
            assert reply[0] == b"done"

    begin = time.perf_counter()
    await asyncio.gather(*(keep_busy(calls) for calls in packed))
    return MACHINES * EVENTS / (time.perf_counter() - begin)


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
    machines = await spawned(engine)
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(TURNS):
        ours.append(await by_engine(engine, machines))
        bare.append(await by_script(store, machines))
    engine_rate, script_rate = statistics.median(ours), statistics.median(bare)
    print("| transitions a second, one process, 64 machines | engine | bare script | engine / script |")
    print("|---|---|---|---|")
    print(f"| case, rename | {engine_rate:,.0f} | {script_rate:,.0f} | {engine_rate / script_rate:.2f} |")
    async with Hub(store) as hub:
        taken = await pushes_ms(engine, hub, machines[0], "case:0")
    print(f"\n| event to subscriber, {PUSHES:,} in a row | p50 ms | p99 ms |\n|---|---|---|")
    print(f"| case, rename | {taken[PUSHES // 2]:.2f} | {taken[PUSHES * 99 // 100]:.2f} |")
    print("\n| one step without a store | µs |\n|---|---|")
    for name, measured in steps().items():
        print(f"| {name} | {measured():.0f} |")


if __name__ == "__main__":
    asyncio.run(main())
