"""What got lost between a queue and a result is found; what only waits is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from redis.asyncio import Redis

from server.services import Services
from storage.machine_store import OutboxItem
from tests.server.runtime_parts import Parts, parts_of


@pytest_asyncio.fixture(loop_scope="session")
async def parts(services: Services, redis_client: Redis) -> AsyncIterator[Parts]:
    async with parts_of(services, redis_client) as made:
        yield made


async def taken_by_a_worker_that_died(parts: Parts, machine: str) -> OutboxItem:
    """As RQ leaves it: an envelope in the intermediate list, its hash still there, no lease."""
    items = [item for item in await parts.claimed() if item.machine == machine]
    await asyncio.to_thread(parts.queues.enqueue, items[0])
    await parts.redis.lmove("rq:queue:cpu", "rq:queue:cpu:intermediate")
    return items[0]


async def queued(parts: Parts) -> list[str]:
    return await asyncio.to_thread(parts.queues.waiting, "cpu")


async def test_a_starved_job_is_not_called_dead(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    item = (await parts.claimed())[0]
    await asyncio.to_thread(parts.queues.enqueue, item)
    sweeper = parts.sweeper(after_s=0)
    for _ in range(6):
        await sweeper.sweep()
    assert await queued(parts) == [item.effect_id]
    assert (await parts.snapshot(machine)).context["work"]["verifying"]["status"] == "queued"
    assert (await parts.store.pending(older_than=1e12))[0].tries == 0


async def test_a_job_whose_worker_died_is_queued_again(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    item = await taken_by_a_worker_that_died(parts, machine)
    sweeper = parts.sweeper(after_s=0)
    await sweeper.sweep()
    assert await queued(parts) == []  # it may have been taken just now
    await sweeper.sweep()
    assert await queued(parts) == [item.effect_id]
    assert await asyncio.to_thread(parts.queues.taken, "cpu") == []


async def test_a_job_that_reached_no_queue_is_queued_without_counting_as_a_dead_worker(parts: Parts) -> None:
    """Dispatchers may die with it in their hands more often than a job may kill workers."""
    await parts.upload("a.pdf")
    item = (await parts.claimed("a dispatcher that died"))[0]
    sweeper = parts.sweeper(after_s=0)
    for _ in range(5):
        await sweeper.sweep()
        await sweeper.sweep()
        assert await queued(parts) == [item.effect_id]
        await parts.redis.delete("rq:queue:cpu")
    assert (await parts.store.pending(older_than=1e12))[0].tries == 0


async def test_a_job_that_somebody_works_on_is_left_alone(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    item = await taken_by_a_worker_that_died(parts, machine)
    await parts.store.take_lease(item.effect_id, "alive", ttl_s=600)
    sweeper = parts.sweeper(after_s=0)
    for _ in range(4):
        await sweeper.sweep()
    assert await queued(parts) == []


async def test_a_young_effect_is_left_to_its_dispatcher(parts: Parts) -> None:
    await parts.upload("a.pdf")
    sweeper = parts.sweeper(after_s=60)
    for _ in range(4):
        await sweeper.sweep()
    assert await queued(parts) == []


async def test_a_job_that_kills_every_worker_is_given_up(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    item = (await parts.claimed())[0]
    sweeper = parts.sweeper(after_s=0)
    for _ in range(3):
        assert await parts.state(machine) == ["verifying"]
        await sweeper.rescue(item)
    snapshot = await parts.snapshot(machine)
    assert snapshot.configuration == ["failed"]
    assert snapshot.context["reason"] == "the worker died 3 times on this"
    assert await queued(parts) == []


async def test_what_a_dead_worker_left_of_a_cancelled_job_is_cleared_away(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    await taken_by_a_worker_that_died(parts, machine)
    await parts.engine.send(machine, "cancel", {}, source="client", role="owner")
    sweeper = parts.sweeper(after_s=0)
    await sweeper.sweep()
    (lost,) = await parts.redis.keys("rq:job:*")  # a living worker might be putting it away
    await sweeper.sweep()
    assert lost not in await parts.redis.keys("rq:job:*")
    assert await asyncio.to_thread(parts.queues.taken, "cpu") == []


async def test_inline_effects_are_not_put_into_a_queue(parts: Parts) -> None:
    await parts.engine.spawn("notification", "user:ann", {"title": "hello"})
    sweeper = parts.sweeper(after_s=0)
    for _ in range(3):
        await sweeper.sweep()
    assert await parts.redis.keys("rq:*") == []
