"""Subscriptions: nothing twice, nothing missing, nothing out of order, one read for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from server.engine import Engine
from server.hub import Hub, Since
from server.published import encode, for_role
from server.subscription import Slow, Subscription
from storage.keys import shard_keys, topic_keys
from storage.machine_store import Log, TopicState, Unavailable, shard_of
from storage.machine_store_redis import RedisMachineStore
from tests.patience import PATIENCE_S
from tests.server.conftest import SHARDS, TOPIC
from tests.server.following import View, follow, fresh


class Counting(RedisMachineStore):
    """Counts reads of topics and logs."""

    reads = 0

    async def read_topic(self, topic: str) -> TopicState:
        self.reads += 1
        return await super().read_topic(topic)

    async def read_log(self, topic: str, epoch: str, after: int) -> Log | None:
        self.reads += 1
        return await super().read_log(topic, epoch, after)


@pytest.fixture
def store(redis_client: Redis) -> Counting:
    return Counting(redis_client, shards=SHARDS, era="e0")


@pytest_asyncio.fixture(loop_scope="session")
async def hub(store: Counting) -> AsyncIterator[Hub]:
    async with Hub(store) as started:
        yield started


async def spawn(engine: Engine, count: int = 1, topic: str = TOPIC) -> list[str]:
    return [(await engine.spawn("case", topic, {"title": f"{n}"}, actor="u1")).machine for n in range(count)]


async def test_a_first_answer_is_a_snapshot_and_entries_follow(engine: Engine, hub: Hub) -> None:
    await spawn(engine, 2)
    subscription = await hub.subscribe(TOPIC)
    first = subscription.first
    assert (first["offset"], first["recovered"], first["more"], len(first["machines"])) == (
        2,
        False,
        False,
        2,
    )
    await spawn(engine, 3)
    view = await follow(subscription, View(first), until=5)
    assert view.offsets == [3, 4, 5]


async def test_a_subscriber_resumes_with_what_it_missed(engine: Engine, hub: Hub) -> None:
    await spawn(engine, 1)
    left = await hub.subscribe(TOPIC)
    view = View(left.first)
    left.close()
    await spawn(engine, 4)
    back = await hub.subscribe(TOPIC, view.since)
    assert back.first["recovered"]
    assert [entry["offset"] for entry in back.first["entries"]] == [2, 3, 4, 5]
    assert (await hub.subscribe(TOPIC, Since(view.epoch, 5))).first["entries"] == []


@pytest.mark.parametrize("epoch", ["", "foreign.e0"])
async def test_a_subscriber_with_another_epoch_gets_a_snapshot(engine: Engine, hub: Hub, epoch: str) -> None:
    await spawn(engine, 2)
    subscription = await hub.subscribe(TOPIC, Since(epoch, 1))
    assert not subscription.first["recovered"]
    ahead = await hub.subscribe(TOPIC, Since(subscription.first["epoch"], 3))
    assert not ahead.first["recovered"]


async def test_many_subscribers_cost_one_read(store: Counting, engine: Engine, hub: Hub) -> None:
    await spawn(engine, 3)
    subscriptions = await asyncio.gather(*(hub.subscribe(TOPIC) for _ in range(50)))
    assert store.reads == 1
    await spawn(engine, 3)
    views = [await follow(each, View(each.first), until=6) for each in subscriptions]
    late = await hub.subscribe(TOPIC)
    views.append(await follow(late, View(late.first), until=6))
    resumed = await hub.subscribe(TOPIC, Since(late.first["epoch"], 4))
    assert [entry["offset"] for entry in resumed.first["entries"]] == [5, 6]
    assert all(view.machines == views[0].machines for view in views)
    assert store.reads == 1
    assert hub.topics == {TOPIC: 52}


async def test_those_who_resume_from_further_back_cost_one_read_in_all(
    store: Counting, engine: Engine, hub: Hub
) -> None:
    await spawn(engine, 20)
    epoch, _ = await store.position(TOPIC)
    for offset in (3, 3, 5, 19, 20):
        subscription = await hub.subscribe(TOPIC, Since(epoch, offset))
        expected = list(range(offset + 1, 21))
        assert [entry["offset"] for entry in subscription.first["entries"]] == expected
    assert store.reads == 1


class Deaf(dict[str, str]):
    """Topics by channel, of which a listener is told none; counts what it heard."""

    heard = 0

    def get(self, *_: object) -> None:
        self.heard += 1


@asynccontextmanager
async def deaf(hub: Hub, *, messages: int) -> AsyncIterator[None]:
    """Lose what is published meanwhile, so many messages, of which nobody hears later either."""
    listener = hub._listener
    topics, listener._topics = listener._topics, Deaf()
    yield
    async with asyncio.timeout(PATIENCE_S):
        while listener._topics.heard < messages:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    listener._topics = topics


async def test_a_lost_message_is_filled_in_from_the_log(engine: Engine, hub: Hub) -> None:
    [machine] = await spawn(engine, 1)
    subscription = await hub.subscribe(TOPIC)
    view = View(subscription.first)
    # The hub is made deaf to the channel for a while; Redis gives no sign of what was missed.
    async with deaf(hub, messages=3):
        await spawn(engine, 3)
    await engine.send(machine, "hold", {}, source="client", role="owner")
    await follow(subscription, view, until=5)
    assert view.offsets == [2, 3, 4, 5]


async def test_what_was_published_while_the_connection_was_away_arrives_with_nothing_after_it(
    engine: Engine, hub: Hub, redis_client: Redis
) -> None:
    await spawn(engine, 1)
    subscription = await hub.subscribe(TOPIC)
    await redis_client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await spawn(engine, 2)
    view = await follow(subscription, View(subscription.first), until=3)
    assert view.offsets == [2, 3]


async def test_a_subscriber_that_is_ahead_of_its_process_gets_nothing_twice(engine: Engine, hub: Hub) -> None:
    await spawn(engine, 1)
    behind = await hub.subscribe(TOPIC)
    async with deaf(hub, messages=2):
        await spawn(engine, 2)
        ahead = await hub.subscribe(TOPIC, Since(behind.first["epoch"], 2))
        assert [entry["offset"] for entry in ahead.first["entries"]] == [3]
    await spawn(engine, 1)
    assert (await follow(behind, View(behind.first), until=4)).offsets == [2, 3, 4]
    assert (await follow(ahead, View(ahead.first), until=4)).offsets == [3, 4]


async def test_a_lost_last_message_shows_at_the_next_comparison(engine: Engine, store: Counting) -> None:
    await spawn(engine, 1)
    async with Hub(store, check_s=0.05) as hub:
        subscription = await hub.subscribe(TOPIC)
        view = View(subscription.first)
        hub._listener._topics.clear()
        await spawn(engine, 2)
        await follow(subscription, view, until=3)
    assert view.offsets == [2, 3]


async def test_a_snapshot_is_pushed_where_the_log_no_longer_reaches_back(
    engine: Engine, hub: Hub, redis_client: Redis
) -> None:
    [machine] = await spawn(engine, 1)
    subscription = await hub.subscribe(TOPIC)
    view = View(subscription.first)
    keys = topic_keys(shard_of(TOPIC, SHARDS), TOPIC)
    async with deaf(hub, messages=3):
        await spawn(engine, 3)
    await redis_client.xtrim(keys.log, maxlen=1, approximate=False)
    await engine.send(machine, "hold", {}, source="client", role="owner")
    await follow(subscription, view, until=5)
    assert view.snapshots == 1
    assert view.machines == (await fresh(hub, TOPIC)).machines


async def test_a_new_era_gives_every_subscriber_a_snapshot(
    engine: Engine, hub: Hub, redis_client: Redis
) -> None:
    await spawn(engine, 2)
    subscription = await hub.subscribe(TOPIC)
    view = View(subscription.first)
    await redis_client.set(shard_keys(shard_of(TOPIC, SHARDS)).era, "e1")
    await spawn(engine, 1)
    await follow(subscription, view, until=3)
    assert view.epoch.endswith(".e1")
    assert (view.snapshots, view.offsets) == (1, [])
    late = await hub.subscribe(TOPIC, Since(subscription.first["epoch"], 2))
    assert not late.first["recovered"]


async def test_a_redis_that_lost_its_newest_entries_gives_a_snapshot(
    engine: Engine, hub: Hub, redis_client: Redis
) -> None:
    [first, second] = await spawn(engine, 2)
    await spawn(engine, 2)
    subscription = await hub.subscribe(TOPIC)
    view = View(subscription.first)
    keys = topic_keys(shard_of(TOPIC, SHARDS), TOPIC)
    await redis_client.xtrim(keys.log, maxlen=0)
    await redis_client.delete(keys.log, keys.live)
    await redis_client.sadd(keys.live, first, second)
    await redis_client.hset(keys.position, "offset", 2)
    await redis_client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    view.apply(await asyncio.wait_for(anext(subscription), PATIENCE_S))
    assert (view.offset, set(view.machines)) == (2, {first, second})
    await spawn(engine, 1)
    assert (await follow(subscription, view, until=3)).offsets == [3]


async def test_an_idle_topic_is_left_and_can_be_joined_again(engine: Engine, hub: Hub) -> None:
    for round_number in range(1, 6):
        subscription = await hub.subscribe(TOPIC)
        await spawn(engine, 1)
        await follow(subscription, View(subscription.first), until=round_number)
        subscription.close()
        subscription.close()
        assert hub.topics == {}
        with pytest.raises(StopAsyncIteration):
            await anext(subscription)


async def test_a_subscriber_that_gives_up_while_arriving_leaves_nothing_behind(
    engine: Engine, hub: Hub
) -> None:
    for _ in range(20):
        arriving = asyncio.create_task(hub.subscribe(TOPIC))
        await asyncio.sleep(0)
        arriving.cancel()
        [came] = await asyncio.gather(arriving, return_exceptions=True)
        if isinstance(came, Subscription):  # it was faster
            came.close()
    assert hub.topics == {}
    subscription = await hub.subscribe(TOPIC)
    await spawn(engine, 1)
    await follow(subscription, View(subscription.first), until=1)


async def test_a_silent_store_is_reported_as_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.hub._JOIN_S", 0.1)
    client = Redis(unix_socket_path="/nowhere/redis.sock", retry=Retry(NoBackoff(), 0))
    async with Hub(RedisMachineStore(client, shards=SHARDS, era="e0")) as hub:
        with pytest.raises(Unavailable):
            await hub.subscribe(TOPIC)
        assert hub.topics == {}
    await client.aclose()


@pytest.mark.parametrize("rounds", [40, pytest.param(400, marks=pytest.mark.slow)])
async def test_a_subscription_that_races_with_entries_sees_each_once(
    store: Counting, engine: Engine, other: Engine, rounds: int
) -> None:
    snapshots = recoveries = 0
    for number in range(rounds):
        topic = f"case:race{number}"
        await spawn(engine, 3, topic)
        async with Hub(store) as hub:
            writing = asyncio.create_task(spawn(other, 6, topic))
            await asyncio.sleep(0.0005 * (number % 10))
            epoch, _ = await store.position(topic)
            since = Since(epoch, 1) if number % 2 else None
            subscription = await hub.subscribe(topic, since)
            view = View(subscription.first)
            if since is None:
                snapshots += 1
                start = view.offset
            else:
                recoveries += 1
                assert subscription.first["recovered"]
                start = 1
            await follow(subscription, view, until=9)
            await writing
            assert view.offsets == list(range(start + 1, 10))
            assert len(view.machines) == 9 - (0 if since is None else 1)
    assert (snapshots, recoveries) == (rounds // 2, rounds // 2)


async def test_passing_messages_reach_subscribers_between_entries(engine: Engine, hub: Hub) -> None:
    [machine] = await spawn(engine, 1)
    subscription = await hub.subscribe(TOPIC)
    await engine.publish(TOPIC, machine, "progress", {"done": 1, "total": 2})
    message = await asyncio.wait_for(anext(subscription), PATIENCE_S)
    assert message == {
        "type": "passing",
        "topic": TOPIC,
        "machine": machine,
        "what": "progress",
        "data": {"done": 1, "total": 2},
    }


async def test_a_slow_subscriber_of_a_hub_resumes_from_its_offset(engine: Engine, store: Counting) -> None:
    async with Hub(store, queue_messages=5) as hub:
        subscription = await hub.subscribe(TOPIC)
        quick = await hub.subscribe(TOPIC)
        view = View(subscription.first)
        quick_view = View(quick.first)
        await spawn(engine, 2)
        await follow(quick, quick_view, until=2)
        view.apply(await anext(subscription))
        for n in range(3, 12):
            await spawn(engine, 1)
            await follow(quick, quick_view, until=n)
        with pytest.raises(Slow):
            await follow(subscription, view, until=11)
        subscription.close()
        back = await hub.subscribe(TOPIC, view.since)
        assert [each["offset"] for each in back.first["entries"]] == list(range(2, 12))


async def test_each_role_sees_the_events_it_may_send_and_is_encoded_for_once(
    engine: Engine, hub: Hub
) -> None:
    subscription = await hub.subscribe(TOPIC)
    await spawn(engine, 1)
    message = await asyncio.wait_for(anext(subscription), PATIENCE_S)
    assert for_role(message, "owner")["allowed"] == ["close", "hold", "remove", "rename"]
    assert for_role(message, "editor")["allowed"] == ["hold", "rename"]
    assert for_role(message, "viewer")["allowed"] == []
    assert "allowed" not in message
    assert encode(message, "owner") is encode(message, "owner")
    snapshot = (await hub.subscribe(TOPIC)).first
    assert [m["allowed"] for m in for_role(snapshot, "editor").get("machines", [])] in (
        [],
        [["hold", "rename"]],
    )
    recovered = (await hub.subscribe(TOPIC, Since(message["epoch"], 0))).first
    assert for_role(recovered, "editor")["entries"][0]["allowed"] == ["hold", "rename"]
