"""Promises of webhooks with several servers: one delivers at a time, and no kill loses anything."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import text

from server.engine import Engine
from server.services import Services
from server.settings import Settings
from server.webhooks_signing import new_secret
from storage.cases import Cases
from storage.database import create_engine
from storage.era import settle_era
from storage.machine_store_redis import RedisMachineStore
from storage.people import People
from storage.webhook_deliveries import Attempt, LeaseLost, WebhookDeliveries
from storage.webhooks import Hook, Webhooks
from tests.server.runtime_parts import end, python
from tests.server.webhooks.receiver import Receiver, Request
from tests.server.webhooks.webhook_server import LEASE_S

TOPIC = "case:hooked"


class Instance:
    """An instance without a server: a case, its machine, and a webhook."""

    def __init__(self, settings: Settings, services: Services, redis: Redis) -> None:
        self.settings = settings
        self.services = services
        self.redis = redis
        self.database = create_engine(services.database_url)
        self.webhooks = Webhooks(self.database)
        self.deliveries = WebhookDeliveries(self.database)

    async def begin(self, url: str) -> None:
        shards = self.settings.shards
        era = await settle_era(self.redis, self.database, shards=shards)
        self.store = RedisMachineStore(self.redis, shards=shards, era=era)
        self.engine = Engine(self.store, shards=shards)
        person = await People(self.database).register("ann@example.org", "Ann", "x", open_to_all=True)
        outcome = await self.engine.spawn("case", TOPIC, {"title": "A bridge"}, actor=person.id)
        self.machine = outcome.machine
        await Cases(self.database).create("hooked", "A bridge", "", self.machine, person.id)
        epoch, offset = await self.store.position(TOPIC)
        self.hook = await self.webhooks.create(
            "wh_1", TOPIC, person.id, url, new_secret(),
            kinds=[], events=[], batch=1, epoch=epoch, position=offset,
        )  # fmt: skip

    async def rename(self, title: str) -> None:
        await self.engine.send(self.machine, "rename", {"title": title}, source="client", role="owner")

    async def position(self) -> int:
        return (await self.webhooks.get("wh_1")).position

    async def lapse(self) -> None:
        """Have the lease of whoever holds the webhook run out now."""
        async with self.database.begin() as connection:
            await connection.execute(text("UPDATE webhooks SET lease_until = now() - interval '1 second'"))

    @contextmanager
    def server(self, lease_s: float = LEASE_S) -> Iterator[subprocess.Popen[bytes]]:
        process = python(
            self.services,
            "-m",
            "tests.server.webhooks.webhook_server",
            CASEWIRE_WEBHOOK_HOSTS="127.0.0.1",
            CASEWIRE_SHARDS=str(self.settings.shards),
            CASEWIRE_CPU_WORKERS="0",
            CASEWIRE_GPU_WORKERS="0",
            CASEWIRE_LOG_LEVEL="error",
            TEST_LEASE_S=f"{lease_s}",
        )
        try:
            yield process
        finally:
            end(process)


@pytest_asyncio.fixture(loop_scope="session")
async def instance(
    settings: Settings, services: Services, redis_client: Redis, database: str, receiver: Receiver
) -> AsyncIterator[Instance]:
    made = Instance(settings, services, redis_client)
    await made.begin(receiver.url)
    yield made
    await made.database.dispose()


async def stop(process: subprocess.Popen[bytes], with_: signal.Signals) -> None:
    os.kill(process.pid, with_)
    await asyncio.to_thread(process.wait)


def offsets(receiver: Receiver) -> list[int]:
    return [request.offset for request in receiver.taken]


def distinct(values: list[int]) -> list[int]:
    return list(dict.fromkeys(values))


@pytest.mark.slow
async def test_two_servers_deliver_each_entry_once_and_one_takes_over_from_the_other(
    instance: Instance, receiver: Receiver
) -> None:
    first = instance.hook.position + 1
    with instance.server() as one, instance.server() as two:
        for number in range(40):
            await instance.rename(f"{number}")
        await receiver.until(40)
        assert offsets(receiver) == list(range(first, first + 40))
        assert receiver.most_under_way == 1
        # Whichever delivers: in good order the lease is given up, and no other waits for its end.
        await stop(one, signal.SIGINT)
        for number in range(40, 60):
            await instance.rename(f"{number}")
        await receiver.wait(lambda: offsets(receiver)[-1] == first + 59)
        assert distinct(offsets(receiver)) == list(range(first, first + 60))
        assert len(receiver.taken) <= 61
        assert two.poll() is None


@pytest.mark.slow
async def test_a_server_killed_between_a_delivery_and_its_position_delivers_it_again(
    instance: Instance, receiver: Receiver
) -> None:
    first = instance.hook.position + 1
    with instance.server() as victim:

        async def kill_after_the_third(request: Request) -> None:
            if request.offset == first + 2 and victim.poll() is None:
                await stop(victim, signal.SIGKILL)  # it has delivered, and hears of no answer

        receiver.on_request = kill_after_the_third
        for number in range(5):
            await instance.rename(f"{number}")
        await receiver.wait(lambda: victim.poll() is not None)
    assert await instance.position() == first + 1
    await instance.lapse()
    with instance.server():
        await receiver.wait(lambda: bool(receiver.taken) and offsets(receiver)[-1] == first + 4)
    assert distinct(offsets(receiver)) == list(range(first, first + 5))
    third = [r for r in receiver.requests if r.offset == first + 2]
    assert len(third) == 2
    assert len({request.headers["webhook-id"] for request in third}) == 1
    assert third[0].json["id"] == third[1].json["id"]


@pytest.mark.slow
async def test_kills_at_random_moments_lose_nothing_and_change_no_order(
    instance: Instance, receiver: Receiver
) -> None:
    first, count = instance.hook.position + 1, 60
    writing = asyncio.create_task(write(instance, count))
    for round_ in range(4):
        with instance.server() as server:
            # From the first request of this server on, so that there is something to lose.
            before = len(receiver.requests)
            await receiver.wait(lambda seen=before: len(receiver.requests) > seen)
            await asyncio.sleep(0.02 * round_)
            await stop(server, signal.SIGKILL)
        await instance.lapse()
    await writing
    with instance.server():
        await receiver.wait(lambda: bool(receiver.taken) and offsets(receiver)[-1] == first + count - 1)
    assert distinct(offsets(receiver)) == list(range(first, first + count))


async def write(instance: Instance, count: int) -> None:
    for number in range(count):
        await instance.rename(f"{number}")
        await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_a_server_stopped_beyond_its_lease_disturbs_nothing_when_it_wakes(
    instance: Instance, receiver: Receiver
) -> None:
    first = instance.hook.position + 1
    with instance.server(lease_s=12.0) as sleeper:
        await instance.rename("One")
        await receiver.until(1)
        os.kill(sleeper.pid, signal.SIGSTOP)
        with instance.server():
            await instance.rename("Two")
            await receiver.wait(lambda: offsets(receiver)[-1] == first + 1)
            os.kill(sleeper.pid, signal.SIGCONT)
            for number in range(20):
                await instance.rename(f"{number}")
            await receiver.wait(lambda: offsets(receiver)[-1] == first + 21)
    assert distinct(offsets(receiver)) == list(range(first, first + 22))
    # It may have been stopped with a request under way, and woken with another: no more than these.
    assert len(receiver.taken) <= 24


async def test_a_lease_has_one_holder_and_a_former_one_changes_nothing(instance: Instance) -> None:
    deliveries = instance.deliveries
    (mine,) = await deliveries.hold("one", lease_s=30)
    assert await deliveries.hold("two", lease_s=30) == []
    (still,) = await deliveries.hold("one", lease_s=30)
    assert still.term == mine.term
    await instance.lapse()
    (theirs,) = await deliveries.hold("two", lease_s=30)
    assert theirs.term > mine.term
    assert await deliveries.hold("one", lease_s=30) == []
    for write_ in (
        deliveries.advance(mine, "e", 99, attempt_of()),
        deliveries.postpone(mine, attempt_of(), tries=1, since=now(), until=now()),
        deliveries.stop(mine, "failed"),
        deliveries.give_up(
            mine, attempt_of(), epoch="e", position=99, since=now(), content_type="x", body=b"x", tries=1
        ),
    ):
        with pytest.raises(LeaseLost):
            await write_
    assert await instance.position() == instance.hook.position
    assert await deliveries.attempts("wh_1", 10) == []
    assert await deliveries.letters("wh_1", after=0, limit=10) == []
    await deliveries.release("two")
    assert [hook.id for hook in await deliveries.hold("one", lease_s=30)] == ["wh_1"]


async def test_servers_that_ask_at_once_get_each_webhook_once(instance: Instance) -> None:
    held: list[list[Hook]] = await asyncio.gather(
        *(instance.deliveries.hold(f"server {n}", lease_s=30) for n in range(8))
    )
    assert sorted(len(hooks) for hooks in held) == [0] * 7 + [1]


async def test_only_the_newest_attempts_are_kept(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.webhook_deliveries.KEPT_ATTEMPTS", 5)
    monkeypatch.setattr("storage.webhook_deliveries._PRUNED", 1.0)
    for number in range(9):
        await instance.deliveries.note("wh_1", attempt_of(status=200 + number))
    kept = await instance.deliveries.attempts("wh_1", 100)
    assert [attempt.status for attempt in kept] == [208, 207, 206, 205, 204]


def attempt_of(**fields: Any) -> Attempt:
    known = {"event_id": "e", "events": 1, "status": 200, "duration_ms": 1.0, "error": "", "at": now()}
    return Attempt(**(known | fields))


def now() -> datetime:
    return datetime.now(UTC)
