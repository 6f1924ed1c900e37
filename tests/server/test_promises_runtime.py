"""Promises 3 and 6: effects run, results count once, and no kill loses or sticks anything."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import text

from server.services import Services
from storage.custody_heads import CustodyHeads
from storage.database import create_engine
from storage.journal import CustodyJournal
from tests.patience import PATIENCE_S
from tests.server.runtime_bindings import GO, RUNS
from tests.server.runtime_parts import TOPIC, Parts, end, gone, parts_of, python, until


@pytest_asyncio.fixture(loop_scope="session")
async def parts(services: Services, redis_client: Redis, database: str) -> AsyncIterator[Parts]:
    async with parts_of(services, redis_client) as made:
        yield made


@asynccontextmanager
async def server_process(
    parts: Parts, data: Path, *, workers: int = 1
) -> AsyncIterator[subprocess.Popen[bytes]]:
    process = python(
        parts.services,
        "-m",
        "tests.server.runtime_server",
        CASEWIRE_DATA=str(data),
        CASEWIRE_CPU_WORKERS=str(workers),
        CASEWIRE_GPU_WORKERS="0",
    )
    try:
        yield process
    finally:
        end(process)


async def reached(parts: Parts, machine: str, state: str) -> None:
    async def there() -> bool:
        return await parts.state(machine) == [state]

    await until(there)


async def runs(parts: Parts) -> list[list[str]]:
    return [run.decode().split("|") for run in await parts.redis.lrange(RUNS, 0, -1)]


async def kill(process: subprocess.Popen[bytes]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    await asyncio.to_thread(process.wait)


async def test_an_effect_committed_before_the_server_was_killed_is_still_done(
    parts: Parts, tmp_path: Path
) -> None:
    """The server dies between the commit and the enqueue: with the outbox item already in its hands."""
    machine = await parts.upload("a.pdf")
    claim = (
        "import asyncio, redis.asyncio, os\n"
        "from storage.machine_store_redis import RedisMachineStore\n"
        "async def main():\n"
        "    redis_ = redis.asyncio.Redis.from_url(os.environ['REDIS_URL'])\n"
        "    store = RedisMachineStore(redis_, shards=int(os.environ['CASEWIRE_SHARDS']), era='x')\n"
        "    while not await store.claim('doomed', count=9, block_s=0.1, idle_s=99): pass\n"
        "    print('claimed', flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    doomed = python(parts.services, "-c", claim)
    try:
        assert doomed.stdout is not None
        assert await asyncio.to_thread(doomed.stdout.readline) == b"claimed\n"
    finally:
        end(doomed)
    async with server_process(parts, tmp_path):
        await reached(parts, machine, "duplicate")
    assert len(await runs(parts)) == 1


async def test_a_job_under_way_when_everything_is_killed_is_done_after_the_restart(
    parts: Parts, tmp_path: Path
) -> None:
    machine = await parts.upload("waits.pdf")
    async with server_process(parts, tmp_path) as server:

        async def running() -> bool:
            return bool(await runs(parts))

        await until(running)
        worker = int((await runs(parts))[0][3])
        await kill(server)
        await until(lambda: gone(worker))
    assert (await parts.snapshot(machine)).context["work"]["verifying"]["status"] == "running"
    await parts.redis.set(GO, 1)
    effect = next(iter((await parts.snapshot(machine)).awaiting))
    await parts.redis.pexpire(f"{{{machine.split('-')[1]}}}:lease:{effect}", 500)  # saves ten seconds
    async with server_process(parts, tmp_path):
        await reached(parts, machine, "duplicate")
    first, second = await runs(parts)
    assert first[1] == second[1]
    assert (first[2], second[2]) == ("1", "2")


async def test_kills_at_random_moments_lose_nothing_and_leave_nothing_stuck(
    parts: Parts, tmp_path: Path
) -> None:
    machines: list[str] = []
    moments = random.Random(4)
    for round_ in range(3):
        async with server_process(parts, tmp_path, workers=2) as server:
            for number in range(8):
                machines.append(await parts.upload(f"file{round_}x{number}.pdf"))
                await asyncio.sleep(moments.uniform(0.0, 0.25))
            await kill(server)
    async with server_process(parts, tmp_path, workers=2):
        for machine in machines:
            await reached(parts, machine, "duplicate")

        async def all_told() -> bool:
            found = await parts.store.machines("notification", limit=500)
            return [s.configuration for s in found] == [["delivered"]] * len(machines)

        await until(all_told)

        async def journal_is_empty() -> bool:
            return sum([await parts.redis.xlen(f"{{{shard}}}:journal") for shard in range(4)]) == 0

        await until(journal_is_empty)
    await each_transition_is_in_the_chain_once(parts, tmp_path, machines)


async def each_transition_is_in_the_chain_once(parts: Parts, data: Path, machines: list[str]) -> None:
    engine = create_engine(parts.services.database_url)
    try:
        assert (await CustodyJournal(engine).verify(TOPIC, CustodyHeads(data / "custody").read(TOPIC))).ok
        async with engine.connect() as connection:
            found = await connection.execute(
                text("SELECT content FROM journal WHERE topic = :topic ORDER BY seq"), {"topic": TOPIC}
            )
            entries = [orjson.loads(content)["data"] for content in found.scalars()]
    finally:
        await engine.dispose()
    for machine in machines:
        revisions = [entry["revision"] for entry in entries if entry["machine"] == machine]
        events = [entry["event"] for entry in entries if entry["machine"] == machine]
        assert revisions == list(range(1, (await parts.snapshot(machine)).revision + 1))
        assert events.count("recognised") == 1


@pytest.mark.slow  # where processes starve, a worker has no time to give its job back
async def test_a_server_that_is_stopped_in_good_order_leaves_the_work_to_the_next(
    parts: Parts, tmp_path: Path
) -> None:
    machine = await parts.upload("waits.pdf")
    async with server_process(parts, tmp_path) as server:

        async def running() -> bool:
            return bool(await runs(parts))

        await until(running)
        server.send_signal(signal.SIGINT)
        await asyncio.to_thread(server.wait, PATIENCE_S)
    effect = next(iter((await parts.snapshot(machine)).awaiting))
    assert await parts.store.leases([effect]) == [False]
    assert await parts.redis.hget("casewire:era", "closed") == b"1"
    await parts.redis.set(GO, 1)
    async with server_process(parts, tmp_path):
        await reached(parts, machine, "duplicate")
