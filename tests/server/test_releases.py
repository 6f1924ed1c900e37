"""Promise 7 with everything running: machines of another release are kept, and go on where they were."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from handlers.job import Job
from machines.chart import chart_hash
from machines.notification import DeliverToast, WentOut
from machines.step import Step
from server import ending
from server.dispatcher import MOST_DELIVERIES
from server.holding import HOLD_S
from server.services import Services
from server.status import format_status, held_machines
from server.timers import Timers
from storage.backlog import Backlogs
from storage.census import Census
from storage.database import create_engine
from storage.keys import shard_keys
from storage.machine_store import shard_of_machine
from storage.outbox_redis import GROUP
from tests.machines.imagined import FirstParcel, SecondParcel, release
from tests.patience import PATIENCE_S
from tests.server.live import Live
from tests.server.runtime_parts import SHARDS, TOPIC, Parts, end, now, parts_of, python, until


@pytest_asyncio.fixture(loop_scope="session")
async def parts(services: Services, redis_client: Redis, database: str) -> AsyncIterator[Parts]:
    async with parts_of(services, redis_client) as made:
        yield made


@asynccontextmanager
async def server_of(parts: Parts, name: str, data: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A server process of an imagined release with one worker."""
    process = python(
        parts.services,
        "-m",
        "tests.server.runtime_release",
        TEST_RELEASE=name,
        CASEWIRE_DATA=str(data),
        CASEWIRE_CPU_WORKERS="1",
        CASEWIRE_GPU_WORKERS="0",
    )
    try:
        yield process
        process.send_signal(signal.SIGINT)
        await asyncio.to_thread(process.wait, PATIENCE_S)
    finally:
        end(process)


@dataclass
class Parcels:
    """Machines of the first release: work that waits, that runs, that pauses; and a timer that is due."""

    queued: str
    running: str
    pausing: str

    @property
    def all(self) -> tuple[str, str, str]:
        return self.queued, self.running, self.pausing


async def parcels_of_the_first_release(parts: Parts) -> Parcels:
    async def parcel(address: str) -> str:
        spawned = await parts.engine.spawn(
            "parcel", TOPIC, {"address": address}, source="client", actor="ann", role="viewer"
        )
        return spawned.machine

    async def tell(machine: str, event: str, **data: object) -> None:
        (loading,) = (
            e for e, stage in (await parts.snapshot(machine)).awaiting.items() if stage == "loading"
        )
        told = {"effect": loading, "stage": "loading", **data}
        await parts.engine.send(machine, event, told, source="handler")

    with release(FirstParcel):
        queued, running, pausing = [
            await parcel(f"{name} street") for name in ("queued", "running", "pausing")
        ]
        await tell(running, "started")
        await tell(pausing, "started")
        await tell(pausing, "broke", reason="the van is away", temporary=True)
    return Parcels(queued, running, pausing)


@pytest.mark.slow
async def test_7_a_machine_of_an_unknown_release_is_kept_and_goes_on_under_the_next(
    parts: Parts, tmp_path: Path
) -> None:
    parcels = await parcels_of_the_first_release(parts)
    before = {machine: await parts.snapshot(machine) for machine in parcels.all}

    async with server_of(parts, "other", tmp_path):
        upload = await parts.upload("a.pdf")
        await reached(parts, upload, "duplicate")
        (worker,) = await parts.records.workers()

        async def every_job_was_looked_at() -> bool:
            held = {key.decode() for key in await parts.redis.hkeys("runtime:held")}
            return held == {effect for s in before.values() for effect in s.awaiting}

        await until(every_job_was_looked_at)
        await asyncio.sleep(4)  # eight sweeps; the pause of one parcel is over
        # Workers, queue and timers have gone on meanwhile.
        await reached(parts, await parts.upload("b.pdf"), "duplicate")
        (still,) = await parts.records.workers()
        assert still.pid == worker.pid
        assert {machine: await parts.snapshot(machine) for machine in parcels.all} == before
        counts = await parts.records.counts()
        assert "jobs.given_up" not in counts
        assert {pending.tries for pending in await parts.store.pending(older_than=1e12)} == {0}

        async def nothing_else_is_awaited() -> bool:
            # Of the pausing parcel, the papers alone are asked for.
            return (await Backlogs(parts.redis, shards=SHARDS).read()).awaited == 5

        await until(nothing_else_is_awaited)
        backlog = await Backlogs(parts.redis, shards=SHARDS).read()
        assert backlog.timers == 2
        assert (backlog.timers_due, backlog.timers_s > 1) == (1, True)

        database = create_engine(parts.services.database_url)
        try:
            with release(SecondParcel, migrating=False):
                (row,) = held_machines(await Census(database).count())
            assert row["meaning"] == (
                f"3 machines wait for a migration of the chart parcel from version 1 "
                f"({chart_hash(FirstParcel)}), which this release does not have"
            )
            with release(SecondParcel):
                assert held_machines(await Census(database).count()) == []
        finally:
            await database.dispose()

    # What was held long ago is tried at once.
    for effect in await parts.redis.hkeys("runtime:held"):
        await parts.redis.hset("runtime:held", effect, now() - HOLD_S)
    async with server_of(parts, "second", tmp_path):
        for machine in parcels.all:
            await reached(parts, machine, "gone")
    for machine in parcels.all:
        after = await parts.snapshot(machine)
        assert (after.chart_version, after.chart_hash) == (2, chart_hash(SecondParcel))
        assert (after.context["insured"], after.timers, after.awaiting) == (False, {}, {})
        assert after.context["weight"] == len(before[machine].context["address"])
    pausing = (await parts.snapshot(parcels.pausing)).context["work"]["lifting"]
    assert (pausing["status"], pausing["attempt"]) == ("done", 2)
    assert await parts.redis.hlen("runtime:held") == 0
    backlog = await Backlogs(parts.redis, shards=SHARDS).read()
    assert (backlog.awaited, backlog.timers, backlog.timers_due) == (0, 0, 0)


async def reached(parts: Parts, machine: str, state: str) -> None:
    async def there() -> bool:
        return await parts.state(machine) == [state]

    await until(there)


async def test_a_deadline_that_was_set_before_the_release_still_falls_due(parts: Parts) -> None:
    parcels = await parcels_of_the_first_release(parts)
    with release(SecondParcel):
        assert await Timers(parts.engine, parts.records, clock=lambda: now() + 3600).fire_due() == 2
        running = (await parts.snapshot(parcels.running)).context["work"]["lifting"]
        assert (running["status"], running["reason"]) == ("waiting", "it ran for longer than 60 seconds")
        pausing = (await parts.snapshot(parcels.pausing)).context["work"]["lifting"]
        assert (pausing["status"], pausing["attempt"]) == ("queued", 2)


async def test_what_waits_for_another_release_is_told_once_for_a_definition(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    parcels = await parcels_of_the_first_release(parts)
    timers = Timers(parts.engine, parts.records, clock=lambda: now() + 3600)
    with release(SecondParcel, migrating=False):
        for _ in range(3):
            await timers.fire_due()
        runner = parts.runner({})
        ended = [await runner.run(item) for item in await parts.claimed()]
        assert sorted(ended) == ["kept"] * 5
    told = [record for record in caplog.records if getattr(record, "action", "") == "machine.held"]
    assert [getattr(record, "kind", "") for record in told] == ["parcel"] * 2  # by timers, and by work
    assert await parts.store.leases([next(iter((await parts.snapshot(parcels.queued)).awaiting))]) == [False]


async def test_a_job_is_held_by_an_old_worker_and_given_to_a_new_one_after_a_while(parts: Parts) -> None:
    """Two releases beside each other: the sweeper's can step the machine, the worker's cannot."""
    parcels = await parcels_of_the_first_release(parts)
    items = [item for item in await parts.claimed() if item.machine == parcels.queued]
    with release(SecondParcel, migrating=False):
        for item in items:
            await parts.runner({}).run(item)
    waiting = lambda: asyncio.to_thread(parts.queues.waiting, "cpu")  # noqa: E731
    with release(SecondParcel):
        patient = parts.sweeper(after_s=0, hold_s=3600)
        for item in items:
            await patient.rescue(item)
        assert await waiting() == []
        ready = parts.sweeper(after_s=0, hold_s=0)
        for item in items:
            await ready.rescue(item)
        assert sorted(await waiting()) == sorted(item.effect_id for item in items)
    assert {p.tries for p in await parts.store.pending(older_than=1e12)} == {0}


async def test_an_inline_effect_of_another_release_stays_in_the_outbox_however_often_it_is_claimed(
    parts: Parts,
) -> None:
    await parts.claimed()  # makes the consumer group
    machine = (await parts.engine.spawn("notification", "user:ann", {"title": "hello"})).machine
    keys = shard_keys(shard_of_machine(machine))
    ours = await parts.snapshot(machine)
    of_another = replace(ours, revision=2, chart_hash="another")
    await parts.store.commit(Step(of_another), event_id="there", actor="system")
    toasts = 0

    async def toast(effect: DeliverToast, job: Job) -> WentOut:
        nonlocal toasts
        toasts += 1
        return WentOut(effect=job.id, pages=1)

    async def claimed_more_often_than_any_effect_may_fail() -> bool:
        held = await parts.redis.xpending_range(keys.outbox, GROUP, "-", "+", 1)
        return bool(held) and held[0]["times_delivered"] > MOST_DELIVERIES

    dispatching = asyncio.create_task(parts.dispatcher({DeliverToast: toast}, idle_s=0.05).run())
    try:
        await until(claimed_more_often_than_any_effect_may_fail)
        assert toasts == 0
        await parts.store.commit(Step(replace(ours, revision=3)), event_id="back", actor="system")
        await reached(parts, machine, "delivered")

        async def nothing_is_held() -> bool:
            return not await parts.redis.hlen("runtime:held")

        await until(nothing_is_held)
    finally:
        await ending.end([dispatching])
    assert toasts == 1
    assert await parts.records.dead_letters() == []


async def test_a_client_is_told_that_its_machine_waits_for_another_release(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        case = (await ann.case())["id"]
        topic = f"case:{case}"
        with release(FirstParcel):
            made = await wire.ask("spawn", kind="parcel", topic=topic, data={"address": "A"})
        with release(SecondParcel, migrating=False):
            refused = await wire.ask("send", machine=made["machine"], event="recall", data={})
            assert (refused["type"], refused["code"]) == ("error", "chart.changed")
            assert refused["temporary"] is False
            assert "waits unchanged for a release that can" in refused["message"]
            assert (await wire.ask("subscribe", topic=topic))["type"] == "ok"

            async def status() -> dict[str, Any] | None:
                live.parts.census._at = float("-inf")  # a count is kept for a while
                found = (await ann.http.get("/api/status")).json()
                return found if found["held"] else None

            found = await until(status)
            (row,) = found["held"]
            assert (row["kind"], row["version"], row["machines"]) == ("parcel", 1, 1)
            assert row["meaning"] in found["problems"]
            assert not found["well"]
            told = format_status(found)
            assert f"held            {row['meaning']}" in told
            assert "on the way      outbox 0 (oldest 0.0 s), journal 0" in told
            assert "traces          in log lines; sent nowhere" in told
        with release(SecondParcel):
            done = await wire.ask("send", machine=made["machine"], event="recall", data={})
        assert (done["type"], done["to"]) == ("ok", ["kept"])
