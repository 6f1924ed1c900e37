"""From the outbox into the queues, and the effects that are done on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from handlers.job import Handlers, Job
from handlers.notify import deliver_toast, notify
from machines.notification import DeliverToast, Notify, WentOut
from server import dispatcher as dispatching
from server.dispatcher import Dispatcher
from server.ending import end
from server.queues import JobQueues
from server.services import Services
from tests.server.runtime_parts import Parts, parts_of, until


@pytest_asyncio.fixture(loop_scope="session")
async def parts(services: Services, redis_client: Redis) -> AsyncIterator[Parts]:
    async with parts_of(services, redis_client) as made:
        yield made


@asynccontextmanager
async def dispatching_with(dispatcher: Dispatcher) -> AsyncIterator[None]:
    task = asyncio.create_task(dispatcher.run())
    try:
        yield
    finally:
        await end([task])


def toasts(parts: Parts) -> Handlers:
    return {
        Notify: partial(notify, spawn=parts.engine.spawn),
        DeliverToast: partial(deliver_toast, publish=parts.engine.publish, open_pages=lambda topic: 2),
    }


def waiting(parts: Parts, *, count: int) -> Callable[[], Awaitable[list[str] | None]]:
    async def look() -> list[str] | None:
        found = await asyncio.to_thread(parts.queues.waiting, "cpu")
        return found if len(found) == count else None

    return look


def outbox_is_empty(parts: Parts) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return sum([await parts.redis.xlen(f"{{{shard}}}:outbox") for shard in range(4)]) == 0

    return look


async def notifications(parts: Parts) -> list[str]:
    return [snapshot.id for snapshot in await parts.store.machines("notification")]


async def test_a_committed_effect_reaches_its_queue_and_leaves_the_outbox(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    async with dispatching_with(parts.dispatcher({})):
        found = await until(waiting(parts, count=1))
        await until(outbox_is_empty(parts))
    assert found == [next(iter((await parts.snapshot(machine)).awaiting))]


async def test_what_a_dead_dispatcher_had_claimed_is_taken_over(parts: Parts) -> None:
    await parts.upload("a.pdf")
    assert len(await parts.claimed("a server that dies now")) == 1
    async with dispatching_with(parts.dispatcher({}, idle_s=0.3)):
        await until(waiting(parts, count=1))
        await until(outbox_is_empty(parts))


async def test_an_effect_that_is_dispatched_twice_waits_once(parts: Parts) -> None:
    await parts.upload("a.pdf")
    item = (await parts.claimed())[0]
    assert await asyncio.to_thread(parts.queues.enqueue, item)
    assert not await asyncio.to_thread(parts.queues.enqueue, item)
    assert await waiting(parts, count=1)() == [item.effect_id]


async def test_a_job_waits_in_the_outbox_while_the_queue_does_not_answer(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dispatching, "_PAUSE_S", 0.05)
    await parts.upload("a.pdf")
    dispatcher = parts.dispatcher({})
    dispatcher._queues = JobQueues("unix:///nonexistent/redis.sock")
    async with dispatching_with(dispatcher):

        async def given_up_once() -> bool:
            return "does not answer" in caplog.text

        await until(given_up_once)
        assert not await outbox_is_empty(parts)()
        dispatcher._queues = parts.queues
        await until(waiting(parts, count=1))
        await until(outbox_is_empty(parts))


async def test_a_toast_is_a_notification_that_goes_out_to_the_open_pages(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    await parts.engine.send(machine, "recognised", await answer(parts, machine), source="handler")
    async with dispatching_with(parts.dispatcher(toasts(parts))):

        async def delivered() -> bool:
            found = await notifications(parts)
            return bool(found) and await parts.state(found[0]) == ["delivered"]

        await until(delivered)
        await until(outbox_is_empty(parts))
    told = await parts.snapshot((await notifications(parts))[0])
    assert told.topic == "user:ann"
    assert told.context["title"] == "a.pdf is already there"
    assert told.context["pages"] == 2


async def answer(parts: Parts, machine: str) -> dict[str, object]:
    effect = next(iter((await parts.snapshot(machine)).awaiting))
    return {"effect": effect, "evidence": 7, "title": "the first"}


async def test_an_inline_effect_that_is_done_twice_tells_once(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    await parts.engine.send(machine, "recognised", await answer(parts, machine), source="handler")
    told = [item for item in await parts.claimed("dies after the work") if item.name == "Notify"]
    dispatcher = parts.dispatcher(toasts(parts))
    await dispatcher._do(told[0])
    await dispatcher._do(told[0])
    assert len(await notifications(parts)) == 1


async def test_an_inline_effect_that_keeps_failing_is_buried_and_its_machine_told(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "_PAUSE_S", 0.001)
    tries: list[int] = []

    async def fail(effect: DeliverToast, job: Job) -> WentOut:
        tries.append(job.attempt)
        raise ConnectionError("no route")

    spawned = await parts.engine.spawn("notification", "user:ann", {"title": "hello"})
    async with dispatching_with(parts.dispatcher({DeliverToast: fail})):
        await until(outbox_is_empty(parts))
    snapshot = await parts.snapshot(spawned.machine)
    assert snapshot.configuration == ["failed"]
    assert "ConnectionError" in snapshot.context["reason"]
    assert len(tries) == dispatching.MOST_DELIVERIES
    letter = (await parts.records.dead_letters())[0]
    assert (letter["machine"], letter["name"]) == (spawned.machine, "DeliverToast")


async def test_an_inline_effect_that_fails_once_is_done_at_the_next_try(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "_PAUSE_S", 0.001)
    tries: list[str] = []

    async def flaky(effect: DeliverToast, job: Job) -> WentOut:
        tries.append(job.id)
        if len(tries) == 1:
            raise ConnectionError("no route")
        return WentOut(effect=job.id, pages=0)

    spawned = await parts.engine.spawn("notification", "user:ann", {"title": "hello"})
    async with dispatching_with(parts.dispatcher({DeliverToast: flaky})):
        await until(outbox_is_empty(parts))
    assert await parts.state(spawned.machine) == ["delivered"]
    assert len(tries) == 2


async def test_inline_effects_of_one_machine_keep_their_order_and_hold_up_no_other(parts: Parts) -> None:
    done: list[tuple[str, str]] = []
    go = asyncio.Event()

    async def deliver(effect: DeliverToast, job: Job) -> WentOut:
        if effect.title == "slow":
            await go.wait()
        done.append((effect.title, job.id))
        return WentOut(effect=job.id, pages=0)

    slow = await parts.engine.spawn("notification", "user:ann", {"title": "slow"})
    first = (await parts.claimed("test"))[0]
    again = [first, first.__class__(**{**first.__dict__, "entry": "0-1", "effect_id": f"{slow.machine}:9:0"})]
    dispatcher = parts.dispatcher({DeliverToast: deliver})
    for item in again:
        dispatcher._take_in_hand(item)
    quick = await parts.engine.spawn("notification", "user:bob", {"title": "quick"})
    async with dispatching_with(dispatcher):

        async def quick_is_out() -> bool:
            return await parts.state(quick.machine) == ["delivered"]

        await until(quick_is_out)
        assert [title for title, _ in done] == ["quick"]
        go.set()

        async def all_done() -> bool:
            return len(done) == 3

        await until(all_done)
    assert [job for title, job in done if title == "slow"] == [item.effect_id for item in again]
