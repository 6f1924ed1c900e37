"""Worker processes that die, hang and are killed, and the jobs they had."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from server import supervisor as supervising
from server.ending import end
from server.services import Services
from server.settings import Settings
from server.supervisor import Supervisor
from tests.patience import PATIENCE_S
from tests.server.runtime_bindings import GO, RUNS
from tests.server.runtime_parts import BINDINGS, SHARDS, Parts, alive, gone, parts_of, until


@pytest_asyncio.fixture(loop_scope="session")
async def parts(services: Services, redis_client: Redis) -> AsyncIterator[Parts]:
    async with parts_of(services, redis_client) as made:
        yield made


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A starved worker comes to give its job back before it is killed."""
    monkeypatch.setattr(supervising, "STOP_S", PATIENCE_S)


@asynccontextmanager
async def supervised(parts: Parts, settings: Settings, *, grace_s: float = 10.0) -> AsyncIterator[Supervisor]:
    """One cpu worker, and a dispatcher to feed it; the sweeper's own rounds are left out."""
    supervisor = Supervisor(
        settings.model_copy(update={"shards": SHARDS}),
        parts.services,
        workers={"cpu": 1},
        store=parts.store,
        records=parts.records,
        queues=parts.queues,
        sweeper=parts.sweeper(),
        bindings=BINDINGS,
        grace_s=grace_s,
    )
    tasks = [asyncio.create_task(supervisor.run()), asyncio.create_task(parts.dispatcher({}).run())]
    try:
        yield supervisor
    finally:
        await end(tasks)


async def runs(parts: Parts) -> list[list[str]]:
    return [run.decode().split("|") for run in await parts.redis.lrange(RUNS, 0, -1)]


async def reached(parts: Parts, machine: str, state: str) -> None:
    async def there() -> bool:
        return await parts.state(machine) == [state]

    await until(there)


async def test_the_job_of_a_killed_worker_is_done_by_the_next(parts: Parts, settings: Settings) -> None:
    machine = await parts.upload("dies-1.pdf")
    async with supervised(parts, settings):
        await reached(parts, machine, "duplicate")
    found = await runs(parts)
    assert len(found) == 2
    assert len({effect for _, effect, *_ in found}) == 1
    assert len({pid for *_, pid, _ in found}) == 2


@pytest.mark.slow
async def test_a_job_that_kills_every_worker_fails_with_that_reason(parts: Parts, settings: Settings) -> None:
    machine = await parts.upload("dies-99.pdf")
    other = await parts.upload("b.pdf")
    async with supervised(parts, settings):
        await reached(parts, machine, "failed")
        await reached(parts, other, "duplicate")
    assert (await parts.snapshot(machine)).context["reason"] == "the worker died 3 times on this"
    assert len([run for run in await runs(parts) if run[0] == "dies-99.pdf"]) == 3


@pytest.mark.slow
async def test_a_worker_that_ignores_cancellation_is_killed_and_replaced(
    parts: Parts, settings: Settings
) -> None:
    machine = await parts.upload("deaf.pdf")
    async with supervised(parts, settings, grace_s=1.0) as supervisor:

        async def running() -> bool:
            return bool(await runs(parts))

        await until(running)
        deaf = int((await runs(parts))[0][3])
        assert alive(deaf)
        await parts.engine.send(machine, "cancel", {}, source="client", role="owner")
        await until(lambda: gone(deaf))
        other = await parts.upload("b.pdf")
        await reached(parts, other, "duplicate")
        assert deaf not in supervisor.pids.values()
    assert await parts.state(machine) in (["forgetting"], ["stranded"])
    assert [run[0] for run in await runs(parts)] == ["deaf.pdf", "b.pdf"]


async def test_a_worker_that_heeds_cancellation_is_kept(parts: Parts, settings: Settings) -> None:
    machine = await parts.upload("waits.pdf")
    async with supervised(parts, settings, grace_s=600.0) as supervisor:

        async def running() -> bool:
            return bool(await runs(parts))

        await until(running)
        before = dict(supervisor.pids)
        await parts.engine.send(machine, "cancel", {}, source="client", role="owner")
        other = await parts.upload("b.pdf")
        await reached(parts, other, "duplicate")
        assert supervisor.pids == before


async def test_stopping_leaves_no_process_and_no_lease(parts: Parts, settings: Settings) -> None:
    machine = await parts.upload("waits.pdf")
    async with supervised(parts, settings) as supervisor:

        async def running() -> bool:
            return bool(await runs(parts))

        await until(running)
        pids = list(supervisor.pids.values())
    assert not any(alive(pid) for pid in pids)
    effect = next(iter((await parts.snapshot(machine)).awaiting))
    assert await parts.store.leases([effect]) == [False]
    await parts.redis.set(GO, 1)
    async with supervised(parts, settings):
        await reached(parts, machine, "duplicate")


async def test_an_idle_worker_that_is_killed_is_started_again(parts: Parts, settings: Settings) -> None:
    async with supervised(parts, settings) as supervisor:

        async def ready() -> int:
            return next((s.pid for s in await parts.records.workers() if s.state == "idle"), 0)

        first = await until(ready)
        os.kill(first, signal.SIGKILL)
        await until(lambda: gone(first))

        async def another() -> bool:
            return await ready() not in (0, first)

        await until(another)
        assert first not in supervisor.pids.values()
