"""Commits a second of one process, beside the bare script from the same client.

Run with `python -m tests.bench.bench_commit`; prints Markdown tables. The bare script is the same
commit through the same batches with its arguments packed beforehand, so what is missing to it is
the engine: waiting in line, the step, the packing. All ways run in turns.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import uvloop
from redis.asyncio import Redis

from machines.snapshot import Snapshot
from machines.step import Incoming, Step, step
from server import engine as engine_module
from server import watching
from server.engine import Engine
from storage.data_folder import DataFolder
from storage.embedded_redis import EmbeddedRedis
from storage.machine_store_redis import RedisMachineStore
from storage.packing_redis import packed_entry
from storage.redis_client import connect

SHARDS = 16
MACHINES = 64
EVENTS = 60
"""Of each machine in one turn."""
TURNS = 7
COMMITS = MACHINES * EVENTS


@dataclass(frozen=True)
class Cost:
    """Microseconds for one commit: on the clock, of this process, of Redis."""

    wall: float
    python: float
    redis: float


async def measured(redis: Redis, work: Callable[[], Awaitable[None]]) -> Cost:
    cpu = await redis_cpu_s(redis)
    wall, python = time.perf_counter(), time.process_time()
    await work()
    wall, python = time.perf_counter() - wall, time.process_time() - python
    cpu = await redis_cpu_s(redis) - cpu
    return Cost(*(1e6 * seconds / COMMITS for seconds in (wall, python, cpu)))


async def redis_cpu_s(redis: Redis) -> float:
    told = await redis.info("cpu")
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


def title(n: int) -> str:
    """Fills an entry up to some three hundred bytes."""
    return f"{n:04d}"


async def by_engine(engine: Engine, machines: list[str]) -> None:
    """All machines busy at once, each with one event after another."""

    async def keep_busy(machine: str) -> None:
        for n in range(EVENTS):
            await engine.send(machine, "rename", {"title": title(n)}, source="client", role="owner")

    await asyncio.gather(*(keep_busy(machine) for machine in machines))


async def by_script(store: RedisMachineStore, machines: list[str]) -> Callable[[], Awaitable[None]]:
    """The same commits, stepped and packed beforehand."""
    packed = []
    for machine in machines:
        snapshot = await store.load(machine)
        assert snapshot is not None
        calls = []
        for n in range(EVENTS):
            done = bare_step(snapshot, Incoming("rename", {"title": title(n)}, "client", time.time()))
            snapshot = done.snapshot
            with watching.event(machine, "rename", "client"):
                calls.append(store.packed(done, event_id=f"{snapshot.revision} bare", actor="u"))
        packed.append(calls)

    async def keep_busy(calls: list[tuple[tuple[str, ...], list[str | bytes | int | float]]]) -> None:
        for keys, args in calls:
            reply = await store._run("commit", keys, args)
            assert reply[0] == b"done"

    async def run() -> None:
        await asyncio.gather(*(keep_busy(calls) for calls in packed))

    return run


def bare_step(before: Snapshot, incoming: Incoming) -> Step:
    """What a rename comes to, without a chart."""
    context = before.context | incoming.data
    after = replace(before, revision=before.revision + 1, context=context, updated_at=incoming.at)
    return Step(after, changed=dict(incoming.data), before=before.configuration, event=incoming.name)


async def one_by_one(engine: Engine, machine: str) -> float:
    """Milliseconds from an event to its outcome, one after another; the median."""
    taken = []
    for n in range(400):
        before = time.perf_counter()
        await engine.send(machine, "rename", {"title": title(n)}, source="client", role="owner")
        taken.append(1e3 * (time.perf_counter() - before))
    return statistics.median(taken)


def each_us(work: Callable[[], object]) -> float:
    """Median microseconds of something that awaits nothing."""
    taken = []
    for _ in range(2000):
        before = time.perf_counter()
        work()
        taken.append(1e6 * (time.perf_counter() - before))
    return statistics.median(taken)


async def measure(redis: Redis) -> None:
    store = RedisMachineStore(redis, shards=SHARDS, era="bench")
    engine = Engine(store, shards=SHARDS)
    made = [await engine.spawn("case", f"case:{n}", {"title": "A"}) for n in range(MACHINES)]
    machines = [outcome.machine for outcome in made]
    engine_costs, bare, stepless = [], [], []
    for _ in range(TURNS):
        engine_costs.append(await measured(redis, lambda: by_engine(engine, machines)))
        bare.append(await measured(redis, await by_script(store, machines)))
        with mock.patch.object(engine_module, "step", bare_step):
            stepless.append(await measured(redis, lambda: by_engine(engine, machines)))
    print(f"\n| {MACHINES} machines at once | commits/s | of the script | µs | of Python | of Redis |")
    print("|---|---|---|---|---|---|")
    script_us = statistics.median(cost.wall for cost in bare)
    for name, costs in (("engine", engine_costs), ("engine, its step free", stepless), ("bare script", bare)):
        wall, python, server = (
            statistics.median(getattr(cost, part) for cost in costs) for part in ("wall", "python", "redis")
        )
        share = f"{script_us / wall:.2f}"
        print(f"| {name} | {1e6 / wall:,.0f} | {share} | {wall:.0f} | {python:.0f} | {server:.0f} |")

    snapshot = await store.load(machines[0])
    assert snapshot is not None
    incoming = Incoming("rename", {"title": title(1)}, "client", 2e9, "u1", "owner")
    done = step(snapshot, incoming)
    step_us = each_us(lambda: step(snapshot, incoming))
    pack_us = each_us(lambda: store.packed(done, event_id="0123456789abcdef", actor="u1"))
    client_us = statistics.median(cost.python for cost in bare)
    rest_us = statistics.median(cost.python for cost in stepless) - pack_us - client_us
    print("\n| a commit's part in Python | µs |\n|---|---|")
    for name, value in (("step", step_us), ("pack", pack_us), ("client", client_us), ("rest", rest_us)):
        print(f"| {name} | {value:.0f} |")
    with watching.event(machines[0], "rename", "client"):
        print(f"\nAn entry of {len(packed_entry(done, 'u1'))} bytes; ", end="")
    print(f"an event alone takes {await one_by_one(engine, machines[0]):.2f} ms.")


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="casewire-", dir="/tmp") as path:
        folder = DataFolder(Path(path) / "data")
        folder.create()
        embedded = EmbeddedRedis(folder)
        await embedded.start()
        redis = await connect(embedded.url)
        try:
            await measure(redis)
        finally:
            await redis.aclose()
            await embedded.stop()


if __name__ == "__main__":
    uvloop.run(main())
