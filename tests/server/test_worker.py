"""A worker process of its own, on a real queue."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from server.runner import LEASE_S
from server.services import Services
from storage.machine_store import OutboxItem
from tests.server.runtime_bindings import GO, RUNS
from tests.server.runtime_parts import (
    BINDINGS,
    Parts,
    end,
    gone,
    parts_of,
    python,
    until,
    worker_process,
)


@pytest_asyncio.fixture(loop_scope="session")
async def parts(services: Services, redis_client: Redis) -> AsyncIterator[Parts]:
    async with parts_of(services, redis_client) as made:
        yield made


async def enqueued(parts: Parts, filename: str) -> tuple[str, OutboxItem]:
    machine = await parts.upload(filename)
    item = next(item for item in await parts.claimed() if item.machine == machine)
    await asyncio.to_thread(parts.queues.enqueue, item)
    return machine, item


async def runs(parts: Parts) -> list[list[str]]:
    return [run.decode().split("|") for run in await parts.redis.lrange(RUNS, 0, -1)]


async def test_a_worker_does_its_jobs_one_after_the_other_on_one_loop(parts: Parts) -> None:
    machines = [(await enqueued(parts, name))[0] for name in ("a.pdf", "b.pdf", "c.pdf")]
    async with worker_process(parts.services, "w1"):

        async def all_done() -> bool:
            return all([await parts.state(machine) == ["duplicate"] for machine in machines])

        async def put_away() -> bool:
            return await parts.redis.keys("rq:job:*") == []

        await until(all_done)
        await until(put_away)
    found = await runs(parts)
    assert [run[0] for run in found] == ["a.pdf", "b.pdf", "c.pdf"]
    assert len({(pid, loop) for *_, pid, loop in found}) == 1


async def test_a_worker_tells_what_it_does(parts: Parts) -> None:
    _, item = await enqueued(parts, "waits.pdf")
    async with worker_process(parts.services, "w1") as process:

        async def busy() -> bool:
            return any(state.effect == item.effect_id for state in await parts.records.workers())

        await until(busy)
        state = (await parts.records.workers())[0]
        assert (state.name, state.queue, state.pid, state.state) == ("w1", "cpu", process.pid, "busy")
        assert state.rss_bytes > 10_000_000
        await parts.redis.set(GO, 1)

        async def idle() -> bool:
            return [s.state for s in await parts.records.workers()] == ["idle"]

        await until(idle)
        process.terminate()
        await until(lambda: gone(process.pid))
    assert await parts.records.workers() == []


async def test_a_lease_is_renewed_even_while_the_handler_holds_up_the_loop(parts: Parts) -> None:
    _, item = await enqueued(parts, "deaf.pdf")
    async with worker_process(parts.services, "w1"):

        async def held() -> bool:
            return (await parts.store.leases([item.effect_id]))[0]

        await until(held)
        shard = item.shard
        key = f"{{{shard}}}:lease:{item.effect_id}"
        await parts.redis.pexpire(key, 3_600_000)

        async def renewed() -> bool:
            return int(await parts.redis.pttl(key)) <= LEASE_S * 1000

        await until(renewed)


async def test_a_worker_that_is_ended_gives_its_job_back(parts: Parts) -> None:
    machine, item = await enqueued(parts, "waits.pdf")
    await enqueued(parts, "b.pdf")
    async with worker_process(parts.services, "w1") as process:

        async def running() -> bool:
            return bool(await runs(parts))

        await until(running)
        process.terminate()
        await until(lambda: gone(process.pid))
        assert process.wait() == 0
    assert (await asyncio.to_thread(parts.queues.waiting, "cpu"))[0] == item.effect_id
    assert await parts.store.leases([item.effect_id]) == [False]
    await parts.redis.set(GO, 1)
    async with worker_process(parts.services, "w2"):

        async def done() -> bool:
            return await parts.state(machine) == ["duplicate"]

        await until(done)


@pytest.mark.slow
async def test_a_worker_outlives_its_connections_idle_and_at_work(parts: Parts) -> None:
    """Models take seconds to load, so an outage of Redis must not cost the process."""

    async def cut() -> None:
        await parts.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    async with worker_process(parts.services, "kept") as worker:

        async def idle() -> bool:
            state = await parts.records.worker("kept")
            return state is not None and state.state == "idle"

        await until(idle)
        await cut()
        machine = await parts.upload("waits.pdf")
        await asyncio.to_thread(parts.queues.enqueue, (await parts.claimed())[0])

        async def running() -> bool:
            return bool(await parts.redis.llen(RUNS))

        await until(running)
        await cut()
        await parts.redis.set(GO, 1)

        async def done() -> bool:
            return await parts.state(machine) == ["duplicate"]

        await until(done)
        await cut()
        await until(idle)
        assert worker.poll() is None


async def test_an_idle_worker_ends_at_once(parts: Parts) -> None:
    async with worker_process(parts.services, "w1") as process:

        async def idle() -> bool:
            return any(state.state == "idle" for state in await parts.records.workers())

        await until(idle)
        process.terminate()
        await until(lambda: gone(process.pid))
        assert process.wait() == 0


@pytest.mark.parametrize("stuck", [False, True])
async def test_a_worker_does_not_outlive_the_one_that_started_it(parts: Parts, stuck: bool) -> None:
    """Not even a worker that can do nothing itself, as one that waits for a dead device."""
    if stuck and sys.platform != "linux":
        pytest.skip("only Linux ends a process that cannot look for itself")
    start = (
        "import os, subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-m', 'server.worker', '--queue=cpu', '--name=w1',"
        f" '--bindings={BINDINGS}', f'--parent={{os.getpid()}}'])\n"
        "time.sleep(600)\n"
    )
    parent = python(parts.services, "-c", start)
    try:

        async def reported() -> bool:
            return bool(await parts.records.workers())

        await until(reported)
        worker = (await parts.records.workers())[0].pid
        if stuck:
            os.kill(worker, signal.SIGSTOP)
    finally:
        end(parent)
    await until(lambda: gone(worker))
