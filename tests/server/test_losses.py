"""Publications may be lost, listening may break: a subscriber still sees each entry once, in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from server.engine import Engine
from server.hub import Hub, Since
from storage.machine_store import Heard
from storage.machine_store_redis import RedisMachineStore
from tests.server.conftest import SHARDS, TOPIC
from tests.server.following import View, follow
from tests.server.lossy import Fate, LossyStore

NEVER_S = 3600.0
"""A comparison of positions that does not come during a test."""


@pytest.fixture
def lossy(redis_client: Redis) -> Callable[[Fate], LossyStore]:
    return lambda fate: LossyStore(redis_client, shards=SHARDS, era="e0", fate=fate)


async def spawn(engine: Engine, count: int, topic: str = TOPIC) -> None:
    for number in range(count):
        await engine.spawn("case", topic, {"title": f"{number}"}, actor="u1")


def losing(lost: Callable[[int], bool]) -> Fate:
    """Lose the entries whose offset is named."""
    return lambda heard: heard.what != "entry" or not lost(heard.message["offset"])


@pytest.mark.parametrize("seed", range(4))
async def test_gaps_are_filled_from_the_log_without_any_comparison(
    engine: Engine, lossy: Callable[[Fate], LossyStore], seed: int
) -> None:
    dice = random.Random(seed)
    gone = {offset for offset in range(1, 60) if dice.random() < 0.4}
    async with Hub(lossy(losing(lambda offset: offset in gone)), check_s=NEVER_S) as hub:
        subscription = await hub.subscribe(TOPIC)
        await spawn(engine, 60)  # the last one is heard
        view = await follow(subscription, View(subscription.first), until=60)
    assert view.offsets == list(range(1, 61))
    assert view.snapshots == 0


async def test_a_lost_last_entry_is_found_by_comparing_positions(
    engine: Engine, lossy: Callable[[Fate], LossyStore]
) -> None:
    async with Hub(lossy(losing(lambda offset: offset > 3)), check_s=0.05) as hub:
        subscription = await hub.subscribe(TOPIC)
        await spawn(engine, 20)
        view = await follow(subscription, View(subscription.first), until=20)
    assert view.offsets == list(range(1, 21))


async def test_without_a_comparison_a_lost_last_entry_stays_lost(
    engine: Engine, lossy: Callable[[Fate], LossyStore]
) -> None:
    # Else the test above would show nothing.
    async with Hub(lossy(losing(lambda offset: offset > 3)), check_s=NEVER_S) as hub:
        subscription = await hub.subscribe(TOPIC)
        await spawn(engine, 5)
        view = await follow(subscription, View(subscription.first), until=3)
        with pytest.raises(TimeoutError):
            await follow(subscription, view, until=4, timeout_s=0.3)


async def test_listening_goes_on_after_an_error_that_nobody_foresaw(
    engine: Engine, lossy: Callable[[Fate], LossyStore], caplog: pytest.LogCaptureFixture
) -> None:
    failures = 0

    def fate(heard: Heard) -> bool:
        nonlocal failures
        if heard.what == "entry" and heard.message["offset"] in (2, 5) and failures < 2:
            failures += 1
            raise ZeroDivisionError("a fault")
        return True

    async with Hub(lossy(fate), check_s=NEVER_S) as hub:
        subscription = await hub.subscribe(TOPIC)
        await spawn(engine, 4)
        view = await follow(subscription, View(subscription.first), until=4)
        await spawn(engine, 4)
        await follow(subscription, view, until=8)
    assert view.offsets == list(range(1, 9))
    assert failures == 2
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "Topics cannot be heard; listening begins anew."
    ] * 2
    caplog.clear()


@pytest.mark.parametrize("rounds", [90, pytest.param(600, marks=pytest.mark.slow)])
async def test_publishing_races_with_those_who_come_back_and_nobody_loses_or_repeats_an_entry(
    store: RedisMachineStore,
    engine: Engine,
    other: Engine,
    lossy: Callable[[Fate], LossyStore],
    rounds: int,
) -> None:
    dice = random.Random(7)
    recovered = 0
    losses = losing(lambda offset: dice.random() < 0.1)
    for number in range(rounds):
        topic = f"case:race{number % 30}"
        before = (await store.position(topic))[1]
        if before < 4:
            await spawn(engine, 4, topic)
            before = (await store.position(topic))[1]
        epoch, _ = await store.position(topic)
        since = dice.randrange(0, before + 1)
        kind = lossy(losses) if number % 3 == 0 else store
        async with Hub(kind, check_s=0.05) as hub:
            writing = asyncio.create_task(spawn(other, 5, topic))
            await asyncio.sleep(dice.random() * 0.005)
            subscription = await hub.subscribe(topic, Since(epoch, since))
            view = View(subscription.first)
            recovered += subscription.first["recovered"]
            await follow(subscription, view, until=before + 5)
            await writing
            assert view.offsets == list(range(since + 1, before + 6))
    assert recovered == rounds
