"""Turns and pressure where they count: in a running server, in a worker's process, between servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from server import by_turns
from server.by_turns import by_turns as take_turns
from server.gauging import Gauging
from server.pressure import background_rest_s
from server.queues import JobQueues
from server.services import Services
from storage.runtime_records import PRESSURE_KEY, PressureState, RuntimeRecords, ServerState, WorkerState
from tests.server.live import Live
from tests.server.runtime_bindings import RUNS
from tests.server.runtime_parts import TOPIC, Parts, now, parts_of, until, worker_process

FULL = PressureState(memory=1, redis=1, queues=1, loop=1)


@pytest_asyncio.fixture(loop_scope="session")
async def parts(services: Services, redis_client: Redis) -> AsyncIterator[Parts]:
    async with parts_of(services, redis_client) as made:
        yield made


async def upload(parts: Parts, person: str, filename: str) -> str:
    """An upload of somebody whose bytes wait to be verified; its machine."""
    data = {"filename": filename, "bytes": 3}
    made = await parts.engine.spawn("upload", TOPIC, data, source="client", actor=person, role="owner")
    received = {"sha256": "0" * 64, "bytes": 3}
    await parts.engine.send(made.machine, "received", received, source="handler")
    return made.machine


@asynccontextmanager
async def pressed(parts: Parts, pressure: PressureState) -> AsyncIterator[None]:
    """Have that pressure told for as long as this lasts, as a server does that measures it."""
    await parts.records.tell_pressure(pressure)
    await parts.redis.persist(PRESSURE_KEY)
    yield
    await parts.redis.delete(PRESSURE_KEY)


async def ran(parts: Parts) -> list[str]:
    return [run.decode().partition("|")[0] for run in await parts.redis.lrange(RUNS, 0, -1)]


async def queued(parts: Parts) -> None:
    for item in await parts.claimed():
        if item.queue == "cpu":
            await asyncio.to_thread(parts.queues.enqueue, item)


async def test_everybody_advances_in_turns_at_the_highest_pressure(parts: Parts) -> None:
    machines = [await upload(parts, "ann", f"ann{n}.pdf") for n in range(8)]
    machines += [await upload(parts, "bob", f"bob{n}.pdf") for n in range(2)]
    await queued(parts)
    async with pressed(parts, FULL), worker_process(parts.services, "w1"):

        async def all_done() -> bool:
            return all([await parts.state(machine) == ["duplicate"] for machine in machines])

        await until(all_done)
    runs = await ran(parts)
    assert runs[:5] == ["ann0.pdf", "bob0.pdf", "ann1.pdf", "bob1.pdf", "ann2.pdf"]
    assert len(runs) == 10


@pytest.mark.slow
async def test_turns_outlast_workers_and_servers_that_die(parts: Parts) -> None:
    for number in range(4):
        await upload(parts, "ann", f"ann{number}.pdf")
    await queued(parts)
    async with worker_process(parts.services, "w1"):

        async def begun() -> bool:
            return bool(await ran(parts))

        await until(begun)
    parts.queues.close()
    parts.queues = JobQueues(parts.services.queue_url)
    for number in range(4, 12):
        await upload(parts, "ann", f"ann{number}.pdf")
    await upload(parts, "bob", "bob.pdf")
    await queued(parts)
    done = len(await ran(parts))
    async with worker_process(parts.services, "w2"):

        async def more() -> bool:
            return len(await ran(parts)) >= done + 3

        await until(more)
    assert "bob.pdf" in (await ran(parts))[done : done + 3]


async def test_an_effect_tells_for_whom_it_is(parts: Parts) -> None:
    await upload(parts, "ann", "a.pdf")
    assert {item.behalf for item in await parts.claimed() if item.queue == "cpu"} == {"ann"}
    [pending] = [p for p in await parts.store.pending(older_than=1e12) if p.item.queue == "cpu"]
    assert pending.item.behalf == "ann", "as the sweeper queues it again"


async def test_one_question_stands_among_the_first_of_forty_others(live: Live) -> None:
    """Of each of its searches at most one other person's comes before it."""
    queues = JobQueues(live.parts.services.queue_url)

    async def waiting() -> list[str]:
        return [effect.partition(":")[0] for effect in await asyncio.to_thread(queues.waiting, "cpu")]

    async def ask(wire: Any, case: str) -> str:
        data = {"question": "Who was there?"}
        made = await wire.ask("spawn", kind="query", topic=f"case:{case}", data=data)
        return str(made["machine"])

    try:
        async with live.person() as ann, live.person("bob") as bob, ann.socket() as one, bob.socket() as two:
            case, other = (await ann.case())["id"], (await bob.case())["id"]
            flood = [await ask(one, case) for _ in range(40)]

            async def all_wait() -> bool:
                return set(flood) <= set(await waiting())

            await until(all_wait)
            asked = await ask(two, other)

            async def in_turn() -> bool:
                line = await waiting()
                each = line.count(flood[0])
                return line.count(asked) == line[: 2 * each].count(asked) == each > 0

            await until(in_turn)
    finally:
        queues.close()


async def test_the_status_and_the_metrics_tell_the_pressure(live: Live) -> None:
    async with live.person() as ann:

        async def measured() -> dict[str, Any] | None:
            told: dict[str, Any] = (await ann.http.get("/api/status")).json()["pressure"]
            return told if told["measured_at"] else None

        told = await until(measured)
        assert set(told) == {"memory", "redis", "queues", "loop", "measured_at", "meaning"}
        assert all(0 <= told[name] <= 1 for name in ("memory", "redis", "queues", "loop"))
        metrics = (await ann.http.get("/metrics")).text
        for name in ("memory", "redis", "queues", "loop"):
            assert f'casewire_pressure{{of="{name}"}}' in metrics


def gauge(parts: Parts, redis: Redis, holder: str) -> Gauging:
    return Gauging(parts.store, redis, parts.queues, memory_from=0.98, holder=holder)


async def test_the_shortest_of_all_machines_and_processes_counts(parts: Parts) -> None:
    worker = WorkerState("w", "cpu", "far", 1, "idle", "", "", "", 0, 0, "cpu", 0, now())
    short = WorkerState(**(vars(worker) | {"name": "x", "memory_free_bytes": 0, "memory_bytes": 100}))
    late = ServerState("s", "far", 1, 0, 0, 0, 0, 0, now(), lag_s=0.55)
    calm = await gauge(parts, parts.redis, "one").measure()
    assert (calm.queues, calm.loop) == (0, 0)
    for state in (worker, short):
        await parts.records.report(state)
    await parts.records.report_server(late)
    found = await gauge(parts, parts.redis, "one").measure()
    assert (found.memory, found.loop) == (1, 0.5)


async def test_a_redis_that_fills_up_presses(parts: Parts) -> None:
    used = int((await parts.redis.info("memory"))["used_memory"])
    before = (await parts.redis.config_get("maxmemory"))["maxmemory"]
    try:
        await parts.redis.config_set("maxmemory", int(used / 0.85))
        found = await gauge(parts, parts.redis, "one").measure()
    finally:
        await parts.redis.config_set("maxmemory", before)
    assert 0.2 < found.redis < 0.8
    assert (await gauge(parts, parts.redis, "one").measure()).redis == 0


async def test_of_several_servers_one_measures_and_all_read_the_same(parts: Parts) -> None:
    other = Redis.from_url(parts.services.redis_url)
    measured: list[str] = []

    class Counted(Gauging):
        async def measure(self) -> PressureState:
            measured.append(self._holder)
            return await super().measure()

    gauges = [
        Counted(parts.store, redis, parts.queues, memory_from=0.5, holder=holder)
        for redis, holder in ((parts.redis, "one"), (other, "two"))
    ]
    tasks = [asyncio.create_task(each.run()) for each in gauges]
    try:

        async def often() -> bool:
            # The turn of one that starved may have gone to another, but they do not alternate.
            return len(measured) >= 3 and len(set(measured[-3:])) == 1

        await until(often)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    # Nobody measures any more, so what two ask for one after the other is the same.
    assert await RuntimeRecords(other).pressure() == await parts.records.pressure() != PressureState()
    # What nobody measures any more counts for nothing.
    assert 0 < await parts.redis.ttl(PRESSURE_KEY) <= 10
    await other.aclose()


async def test_rounds_of_work_that_nobody_waits_for_come_later_under_pressure(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    class Clock:
        """`asyncio` as `by_turns` sees it, in no time."""

        async def sleep(self, pause_s: float) -> None:
            pauses.append(pause_s)
            if len(pauses) == 3:
                raise asyncio.CancelledError

    async def work() -> None:
        await asyncio.sleep(0.01)

    async def rest(took_s: float) -> float:
        return await background_rest_s(parts.records, took_s * 1000)

    monkeypatch.setattr(by_turns, "asyncio", Clock())
    for pressure in (PressureState(), FULL):
        pauses.clear()
        async with pressed(parts, pressure):
            with pytest.raises(asyncio.CancelledError):
                await take_turns(parts.store, "t-0-turn", "me", work, every_s=2.0, missed=5, rest=rest)
        assert pauses == ([2.0] * 3 if pressure != FULL else [8.0] * 3), "no longer than the turn is kept"
