"""One job from its lease to its result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from handlers.job import GaveWay, Job, Permanent, Temporary
from machines.upload_events import Recognised, VerifyUpload
from server.services import Services
from storage.machine_store import Heard, OutboxItem
from storage.partials import Partials
from tests.patience import PATIENCE_S
from tests.server.runtime_parts import TOPIC, Parts, parts_of, until


@pytest_asyncio.fixture(loop_scope="session")
async def parts(services: Services, redis_client: Redis) -> AsyncIterator[Parts]:
    async with parts_of(services, redis_client) as made:
        yield made


async def recognise(effect: VerifyUpload, job: Job) -> Recognised:
    return Recognised(effect=job.id, evidence=7, title=effect.filename)


async def job_of(parts: Parts, machine: str) -> OutboxItem:
    return next(item for item in await parts.claimed() if item.machine == machine)


async def test_a_job_tells_that_it_has_started_and_then_its_result(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    seen: list[str] = []

    async def look(effect: VerifyUpload, job: Job) -> Recognised:
        seen.append((await parts.snapshot(machine)).context["work"]["verifying"]["status"])
        return await recognise(effect, job)

    assert await parts.runner({VerifyUpload: look}).run(await job_of(parts, machine)) == "done"
    assert seen == ["running"]
    assert await parts.state(machine) == ["duplicate"]


async def test_a_job_that_runs_twice_under_its_id_changes_the_machine_once(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    item = await job_of(parts, machine)
    runner = parts.runner({VerifyUpload: recognise})
    assert await runner.run(item) == "done"
    revision = (await parts.snapshot(machine)).revision
    assert await runner.run(item) == "unawaited"
    assert (await parts.snapshot(machine)).revision == revision


async def test_a_job_that_another_worker_holds_is_left_to_it(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    item = await job_of(parts, machine)
    assert await parts.store.take_lease(item.effect_id, "other", ttl_s=600)
    assert await parts.runner({VerifyUpload: recognise}).run(item) == "held"
    assert await parts.state(machine) == ["verifying"]
    assert await parts.store.leases([item.effect_id]) == [True]


async def test_a_temporary_failure_is_tried_again_by_the_chart(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")

    async def fail(effect: VerifyUpload, job: Job) -> Recognised:
        raise Temporary("the disk is full")

    assert await parts.runner({VerifyUpload: fail}).run(await job_of(parts, machine)) == "failed"
    work = (await parts.snapshot(machine)).context["work"]["verifying"]
    assert (work["status"], work["reason"]) == ("waiting", "the disk is full")


async def test_a_store_that_is_away_for_a_while_costs_no_attempt(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    runs: list[int] = []

    async def meets_an_outage(effect: VerifyUpload, job: Job) -> Recognised:
        runs.append(job.attempt)
        if len(runs) < 3:
            raise ConnectionError("the database does not answer")
        return await recognise(effect, job)

    assert await parts.runner({VerifyUpload: meets_an_outage}).run(await job_of(parts, machine)) == "done"
    assert runs == [1, 1, 1]
    assert await parts.state(machine) == ["duplicate"]


async def test_a_job_that_is_cancelled_during_an_outage_does_not_begin_again(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    runs: list[int] = []

    async def meets_an_outage(effect: VerifyUpload, job: Job) -> Recognised:
        runs.append(job.attempt)
        await parts.engine.send(machine, "cancel", {}, source="client", role="owner")
        raise ConnectionError("the database does not answer")

    runner = parts.runner({VerifyUpload: meets_an_outage})
    assert await runner.run(await job_of(parts, machine)) == "cancelled"
    assert runs == [1]


async def test_a_store_that_stays_away_fails_the_job_for_now(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")

    async def meets_an_outage(effect: VerifyUpload, job: Job) -> Recognised:
        raise ConnectionError("the database does not answer")

    runner = parts.runner({VerifyUpload: meets_an_outage}, outage_s=0.3)
    assert await runner.run(await job_of(parts, machine)) == "failed"
    assert (await parts.snapshot(machine)).context["work"]["verifying"]["status"] == "waiting"


async def test_a_job_that_gave_way_has_neither_lease_nor_result_and_costs_no_attempt(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    item = await job_of(parts, machine)

    async def give_way(effect: VerifyUpload, job: Job) -> Recognised:
        raise GaveWay

    assert await parts.runner({VerifyUpload: give_way}).run(item) == "gave_way"
    assert await parts.state(machine) == ["verifying"]
    runner = parts.runner({VerifyUpload: recognise})
    assert await runner.run(item) == "done"
    assert (await parts.snapshot(machine)).context["work"]["verifying"]["attempt"] == 1


async def test_a_permanent_failure_breaks_the_stage_at_once(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")

    async def fail(effect: VerifyUpload, job: Job) -> Recognised:
        raise Permanent("the file is empty")

    await parts.runner({VerifyUpload: fail}).run(await job_of(parts, machine))
    snapshot = await parts.snapshot(machine)
    assert snapshot.configuration == ["failed"]
    assert snapshot.context["reason"] == "the file is empty"


async def test_an_unforeseen_failure_names_its_kind_and_is_temporary(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")

    async def fail(effect: VerifyUpload, job: Job) -> Recognised:
        raise ZeroDivisionError

    await parts.runner({VerifyUpload: fail}).run(await job_of(parts, machine))
    work = (await parts.snapshot(machine)).context["work"]["verifying"]
    assert work["status"] == "waiting"
    assert "ZeroDivisionError" in work["reason"]


async def test_an_effect_without_a_handler_breaks_its_stage(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    await parts.runner({}).run(await job_of(parts, machine))
    snapshot = await parts.snapshot(machine)
    assert snapshot.configuration == ["failed"]
    assert "VerifyUpload" in snapshot.context["reason"]


async def test_a_handler_learns_at_its_next_batch_that_it_is_cancelled(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    started = asyncio.Event()

    async def embed_for_ever(effect: VerifyUpload, job: Job) -> Recognised:
        started.set()
        while True:
            await job.progress(1, 100, "chunks")
            await asyncio.sleep(0.02)

    run = asyncio.create_task(parts.runner({VerifyUpload: embed_for_ever}).run(await job_of(parts, machine)))
    await started.wait()
    await parts.engine.send(machine, "cancel", {}, source="client", role="owner")
    async with asyncio.timeout(PATIENCE_S):
        assert await run == "cancelled"
    assert await parts.state(machine) == ["forgetting"]


async def test_a_handler_that_only_waits_is_stopped_when_it_is_cancelled(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.runner._WATCH_S", 0.1)
    monkeypatch.setattr("server.runner._UNWIND_S", 0.3)
    machine = await parts.upload("a.pdf")
    started = asyncio.Event()

    async def wait(effect: VerifyUpload, job: Job) -> Recognised:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    run = asyncio.create_task(parts.runner({VerifyUpload: wait}).run(await job_of(parts, machine)))
    await started.wait()
    await parts.engine.send(machine, "cancel", {}, source="client", role="owner")
    async with asyncio.timeout(PATIENCE_S):
        assert await run == "cancelled"


async def test_a_result_that_nobody_awaits_is_dropped_and_counted(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")

    async def too_late(effect: VerifyUpload, job: Job) -> Recognised:
        await parts.engine.send(machine, "cancel", {}, source="client", role="owner")
        return await recognise(effect, job)

    assert await parts.runner({VerifyUpload: too_late}).run(await job_of(parts, machine)) == "cancelled"
    assert await parts.state(machine) == ["forgetting"]
    assert (await parts.records.counts())["results.dropped"] == 1


async def test_a_job_that_is_given_back_has_neither_lease_nor_result(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    item = await job_of(parts, machine)
    started = asyncio.Event()

    async def wait(effect: VerifyUpload, job: Job) -> Recognised:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    run = asyncio.create_task(parts.runner({VerifyUpload: wait}).run(item))
    await started.wait()
    run.cancel()
    assert (await asyncio.gather(run, return_exceptions=True))[0].__class__ is asyncio.CancelledError
    assert await parts.store.leases([item.effect_id]) == [False]
    assert await parts.store.is_pending(item.effect_id)
    assert await parts.runner({VerifyUpload: recognise}, holder="next").run(item) == "done"
    assert (await parts.snapshot(machine)).context["work"]["verifying"]["attempt"] == 2


async def test_tokens_are_shown_with_their_position_and_kept_for_later_pages(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    listener = parts.store.listen()
    await listener.join(TOPIC)
    joined = asyncio.Event()
    tokens: list[dict[str, object]] = []

    def take(heard: Heard) -> None:
        if heard.what == "joined":
            joined.set()
        elif heard.what == "passing":
            tokens.append(heard.message["data"])

    hearing = asyncio.create_task(listener.hear(take))
    await joined.wait()

    async def stream(effect: VerifyUpload, job: Job) -> Recognised:
        for position, text in ((0, "Grüße "), (6, "from "), (11, "page 3")):
            await job.token(text, position)
        return await recognise(effect, job)

    try:
        await parts.runner({VerifyUpload: stream}).run(await job_of(parts, machine))
        partial = await Partials(parts.redis).read(machine)
        assert partial is not None
        assert (partial.attempt, partial.position, partial.text) == (1, 17, "Grüße from page 3")

        async def three() -> bool:
            return len(tokens) == 3

        await until(three)
        assert [(token["position"], token["text"]) for token in tokens] == [
            (0, "Grüße "), (6, "from "), (11, "page 3")
        ]  # fmt: skip
    finally:
        await listener.aclose()
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
