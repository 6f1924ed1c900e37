"""Deadlines and pauses: durable timers that fire once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import orjson
import pytest_asyncio
from redis.asyncio import Redis

from handlers.job import Job, Temporary
from machines.upload_events import Recognised, VerifyUpload
from server.services import Services
from server.timers import Timers
from storage.keys import shard_keys
from storage.packing_redis import packed_machine
from tests.server.runtime_parts import Parts, now, parts_of, until

DAY_S = 86_400.0


@pytest_asyncio.fixture(loop_scope="session")
async def parts(services: Services, redis_client: Redis) -> AsyncIterator[Parts]:
    async with parts_of(services, redis_client) as made:
        yield made


def a_day_later(parts: Parts) -> Timers:
    return Timers(parts.engine, parts.records, clock=lambda: now() + DAY_S)


async def test_work_that_waits_in_a_queue_has_no_deadline(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    assert await a_day_later(parts).fire_due() == 0
    assert (await parts.snapshot(machine)).context["work"]["verifying"]["status"] == "queued"


async def test_work_that_runs_for_too_long_is_asked_for_again(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    item = (await parts.claimed())[0]
    statuses: list[str] = []

    async def overrun(effect: VerifyUpload, job: Job) -> Recognised:
        await a_day_later(parts).fire_due()
        statuses.append((await parts.snapshot(machine)).context["work"]["verifying"]["status"])
        return Recognised(effect=job.id, evidence=7, title="late")

    assert await parts.runner({VerifyUpload: overrun}).run(item) == "cancelled"
    assert statuses == ["waiting"]
    assert await parts.state(machine) == ["verifying"]


async def test_the_pause_before_the_next_attempt_ends_by_a_timer(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")

    async def fail(effect: VerifyUpload, job: Job) -> Recognised:
        raise Temporary("the disk is full")

    await parts.runner({VerifyUpload: fail}).run((await parts.claimed())[0])
    polling = asyncio.create_task(Timers(parts.engine, parts.records).run())

    async def queued_again() -> bool:
        work = (await parts.snapshot(machine)).context["work"]["verifying"]
        return bool(work["status"] == "queued" and work["attempt"] == 2)

    try:
        await until(queued_again)
    finally:
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)


async def test_a_timer_that_two_servers_see_at_once_fires_once(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")

    async def fail(effect: VerifyUpload, job: Job) -> Recognised:
        raise Temporary("the disk is full")

    await parts.runner({VerifyUpload: fail}).run((await parts.claimed())[0])
    before = (await parts.snapshot(machine)).revision
    await asyncio.gather(*(a_day_later(parts).fire_due() for _ in range(4)))
    assert (await parts.snapshot(machine)).revision == before + 1


async def test_a_timer_whose_event_is_no_longer_possible_is_forgotten(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    shard = machine.split("-")[1]
    event = orjson.dumps({"event": "silent", "data": {}})
    await parts.redis.zadd(f"{{{shard}}}:timers", {f"{machine}|silent": 1.0})
    await parts.redis.hset(f"{{{shard}}}:timer_events", f"{machine}|silent", event)
    await Timers(parts.engine, parts.records).fire_due()
    assert await parts.store.due_timers(now(), limit=10) == []
    assert await parts.state(machine) == ["verifying"]
    assert (await parts.records.counts())["timers.dropped"] == 1


async def test_a_timer_of_another_release_is_kept_and_not_asked_all_the_time(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    item = (await parts.claimed())[0]
    fired: list[int] = []

    async def overrun(effect: VerifyUpload, job: Job) -> Recognised:
        before = await parts.snapshot(machine)
        theirs = replace(before, revision=before.revision + 1, chart_hash="of another release")
        await parts.redis.set(shard_keys(item.shard).machine + machine, packed_machine(theirs))
        timers = a_day_later(parts)
        fired.extend([await timers.fire_due(), await timers.fire_due()])
        raise Temporary("over")

    await asyncio.gather(parts.runner({VerifyUpload: overrun}).run(item), return_exceptions=True)
    assert fired == [1, 0]
    assert len(await parts.store.due_timers(now() + DAY_S, limit=10)) == 1
