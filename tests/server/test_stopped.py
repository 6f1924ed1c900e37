"""Processes that are stopped beyond their lease and go on: what they still hold counts for nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import psutil
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from handlers.job import Handlers
from handlers.notify import notify
from machines.notification import Notify
from server.services import Services
from tests.patience import PATIENCE_S
from tests.server.runtime_bindings import GO, RUNS
from tests.server.runtime_parts import TOPIC, Parts, end, parts_of, python, until, worker_process
from tests.server.stopped import SAID


@pytest_asyncio.fixture(loop_scope="session")
async def parts(services: Services, redis_client: Redis) -> AsyncIterator[Parts]:
    async with parts_of(services, redis_client) as made:
        yield made


@asynccontextmanager
async def stopping(parts: Parts, what: str, machine: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A process that has stopped itself; see `tests.server.stopped`."""
    process = python(parts.services, "-m", "tests.server.stopped", what, machine)
    try:
        await until(lambda: said(parts))
        await until(lambda: stopped(process.pid))
        yield process
    finally:
        end(process)


async def said(parts: Parts) -> list[str]:
    return [str(word, "utf-8") for word in await parts.redis.lrange(SAID, 0, -1)]  # type: ignore[arg-type]


async def stopped(pid: int) -> bool:
    return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)


async def resumed(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGCONT)
    assert await asyncio.to_thread(process.wait, PATIENCE_S) == 0


async def entries(parts: Parts, machine: str, topic: str = TOPIC) -> list[tuple[int, str]]:
    """Revision and event of every entry of a machine."""
    epoch, _ = await parts.store.position(topic)
    log = await parts.store.read_log(topic, epoch, 0)
    assert log is not None
    return [(entry["revision"], entry["event"]) for entry in log.entries if entry["machine"] == machine]


async def test_a_step_whose_server_was_stopped_before_its_commit_is_stepped_again_on_what_is_there(
    parts: Parts,
) -> None:
    case = (await parts.engine.spawn("case", TOPIC, {"title": "first"}, actor="ann")).machine
    async with stopping(parts, "send", case) as process:
        for title in ("second", "third"):
            await parts.engine.send(case, "rename", {"title": title}, source="client", role="owner")
        await resumed(process)
    assert await said(parts) == ["stopping", "conflict", "done"]
    assert await entries(parts, case) == [(1, "spawn"), (2, "rename"), (3, "rename"), (4, "rename")]
    assert (await parts.snapshot(case)).context["title"] == "stopped"


async def test_a_timer_that_another_server_fired_meanwhile_is_not_fired_again(parts: Parts) -> None:
    upload = (
        await parts.engine.spawn(
            "upload", TOPIC, {"filename": "a", "bytes": 1}, source="client", role="owner"
        )
    ).machine
    async with stopping(parts, "timer", upload) as process:
        for timer in await parts.store.due_timers(1e12, limit=9):
            await parts.engine.fire(timer)
        assert await parts.state(upload) == ["paused"]
        await resumed(process)
    assert await said(parts) == ["stopping", "repeated"]
    assert await entries(parts, upload) == [(1, "spawn"), (2, "silent")]


async def test_an_inline_effect_that_another_server_took_over_tells_once(parts: Parts) -> None:
    machine = await parts.upload("a.pdf")
    effect = next(iter((await parts.snapshot(machine)).awaiting))
    result = {"effect": effect, "evidence": 7, "title": "the first"}
    await parts.engine.send(machine, "recognised", result, source="handler")
    tells: Handlers = {Notify: partial(notify, spawn=parts.engine.spawn)}
    async with stopping(parts, "inline", machine) as process:
        running = asyncio.create_task(parts.dispatcher(tells, "another", idle_s=0.5).run())

        async def told() -> bool:
            return len(await parts.store.machines("notification")) == 1

        try:
            await until(told)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await resumed(process)
    assert await said(parts) == ["stopping", "done"]
    (notification,) = await parts.store.machines("notification")
    log = await entries(parts, notification.id, notification.topic)
    assert [event for _, event in log].count("spawn") == 1


async def begun(parts: Parts, times: int) -> bool:
    return bool(await parts.redis.llen(RUNS) == times)


async def ended(parts: Parts, worker: str) -> bool:
    """Whether a worker has come to the end of a job."""
    state = await parts.records.worker(worker)
    return state is not None and state.jobs >= 1


async def queue_what_is_asked_for(parts: Parts) -> str:
    """Take the one job out of the outbox and queue it; its effect id."""
    (item,) = [item for item in await parts.claimed() if item.queue == "cpu"]
    await parts.store.acknowledge(item)
    await asyncio.to_thread(parts.queues.enqueue, item)
    return item.effect_id


@pytest.mark.slow
async def test_a_job_that_was_taken_over_from_a_stopped_worker_has_one_result(parts: Parts) -> None:
    machine = await parts.upload("late.pdf")
    effect = await queue_what_is_asked_for(parts)
    async with worker_process(parts.services, "first") as first:
        await until(lambda: begun(parts, 1))
        os.kill(first.pid, signal.SIGSTOP)
        await until(lambda: stopped(first.pid))
        lease = f"{{{machine.split('-')[1]}}}:lease:{effect}"
        assert await parts.redis.get(lease) == b"first"
        await parts.redis.delete(lease)  # its ten seconds are over
        sweeper = parts.sweeper(after_s=0)
        await sweeper.sweep()
        await sweeper.sweep()
        async with worker_process(parts.services, "second"):
            await until(lambda: begun(parts, 2))
            await parts.redis.set(GO, 1)

            async def done() -> bool:
                return await parts.state(machine) == ["duplicate"]

            await until(done)
        before = await entries(parts, machine)
        os.kill(first.pid, signal.SIGCONT)
        await until(lambda: ended(parts, "first"))
        assert first.poll() is None
    assert [event for _, event in before].count("recognised") == 1
    assert await entries(parts, machine) == before


@pytest.mark.slow
async def test_the_result_of_a_stopped_worker_is_refused_when_the_work_was_asked_for_anew(
    parts: Parts,
) -> None:
    machine = await parts.upload("late.pdf")
    old = await queue_what_is_asked_for(parts)
    async with worker_process(parts.services, "first") as first:
        await until(lambda: begun(parts, 1))
        os.kill(first.pid, signal.SIGSTOP)
        await until(lambda: stopped(first.pid))
        for wanted in ("deadline", "again"):  # the time of these timers has come
            due = await parts.store.due_timers(1e12, limit=9)
            await parts.engine.fire(next(timer for timer in due if timer.event == wanted))
        assert await queue_what_is_asked_for(parts) != old
        await parts.redis.set(GO, 1)
        before = await entries(parts, machine)
        os.kill(first.pid, signal.SIGCONT)

        async def dropped() -> bool:
            return (await parts.records.counts()).get("results.dropped", 0) == 1

        await until(dropped)
        await until(lambda: begun(parts, 2))  # and then it does what is asked for now

        async def done() -> bool:
            return await parts.state(machine) == ["duplicate"]

        await until(done)
    after = await entries(parts, machine)
    assert after[: len(before)] == before
    assert [event for _, event in after[len(before) :]] == ["started", "recognised"]
