"""What a machine store promises, on a real Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot

from machines.chart import Timer
from storage import machine_store_redis
from storage.keys import shard_keys, topic_keys
from storage.machine_store import (
    Conflict,
    Heard,
    MachineStore,
    Unavailable,
    new_machine_id,
    shard_of,
)
from storage.machine_store_redis import RedisMachineStore
from tests.patience import PATIENCE_S
from tests.storage.steps import SHARDS, TOAST, TOPIC, cut_listeners, everything, made, then


async def test_a_commit_can_be_loaded_again(store: MachineStore) -> None:
    first = made()
    committed = await store.commit(first, event_id="a", actor="u1")
    assert (committed.offset, committed.revision, committed.configuration) == (1, 1, ["open"])
    assert not committed.repeated
    assert await store.load(first.snapshot.id) == first.snapshot
    assert await store.load(new_machine_id("case", TOPIC, SHARDS)) is None


async def test_a_commit_on_another_revision_conflicts_and_writes_nothing(
    store: MachineStore, redis_client: Redis
) -> None:
    first = made()
    second = then(
        first,
        effects={f"{first.snapshot.id}:2:0": TOAST},
        timers=[Timer("t", "silent", {}, 5.0)],
        awaiting={f"{first.snapshot.id}:2:0": "open"},
    )
    await store.commit(first, event_id="a", actor="u1")
    await store.commit(then(first), event_id="b", actor="u1")
    before = await everything(redis_client)
    with pytest.raises(Conflict):
        await store.commit(second, event_id="c", actor="u1")
    with pytest.raises(Conflict):
        await store.commit(made(id=first.snapshot.id), event_id="d", actor="u1")
    assert await everything(redis_client) == before


async def test_a_repeated_event_id_gets_the_first_outcome_and_writes_nothing(
    store: MachineStore, redis_client: Redis
) -> None:
    first = made()
    await store.commit(first, event_id="a", actor="u1")
    await store.commit(then(first, configuration=["closed"]), event_id="b", actor="u1")
    before = await everything(redis_client)
    again = await store.commit(made(id=first.snapshot.id, configuration=["odd"]), event_id="a", actor="u2")
    assert (again.offset, again.revision, again.configuration, again.repeated) == (1, 1, ["open"], True)
    assert await store.outcome_of(first.snapshot.id, "a") == again
    assert await store.outcome_of(first.snapshot.id, "z") is None
    assert await everything(redis_client) == before


async def test_event_ids_are_remembered_for_a_day_and_for_one_machine_only(
    store: MachineStore, redis_client: Redis
) -> None:
    first, other = made(), made()
    await store.commit(first, event_id="a", actor="u1")
    assert not (await store.commit(other, event_id="a", actor="u1")).repeated
    days = shard_keys(shard_of(TOPIC, SHARDS)).events_of(first.snapshot.id)
    [kept_s] = [ttl for ttl in [await redis_client.ttl(day) for day in days] if ttl != -2]
    assert 86_300 < kept_s <= 2 * 86_400


async def test_an_event_id_is_known_for_its_time_and_forgotten_after_twice_that(
    store: MachineStore, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_store_redis, "REMEMBERED_S", 1)
    step = made()
    machine = step.snapshot.id
    await store.commit(step, event_id="0", actor="u1")
    begun, done, numbers = {"0": time.monotonic()}, {"0": time.monotonic()}, 1
    while time.monotonic() - begun["0"] < 3.2:  # over several turns of the day
        step, event_id = then(step), f"{numbers}"
        before = time.monotonic()
        await store.commit(step, event_id=event_id, actor="u1")
        begun[event_id], done[event_id], numbers = before, time.monotonic(), numbers + 1
        await asyncio.sleep(0.05)
        for known, since in begun.items():
            asked = time.monotonic()
            again = await store.outcome_of(machine, known)
            if time.monotonic() - since < 0.98:
                assert again is not None, known
                assert again.revision == int(known) + 1
            elif asked - done[known] > 2.3:
                assert again is None, known
    await asyncio.sleep(2.1)
    assert await redis_client.exists(*shard_keys(shard_of(TOPIC, SHARDS)).events_of(machine)) == 0


async def test_a_repeat_gets_its_configuration_however_long(store: MachineStore) -> None:
    long = [f"state_{n}_with_a_long_name" for n in range(20)]
    first = made(configuration=long)
    await store.commit(first, event_id="a", actor="u1")
    await store.commit(then(first, configuration=["*"]), event_id="b", actor="u1")
    again = await store.commit(made(id=first.snapshot.id), event_id="a", actor="u1")
    assert (again.configuration, again.repeated) == (long, True)
    assert await store.outcome_of(first.snapshot.id, "a") == again
    short = await store.outcome_of(first.snapshot.id, "b")
    assert short is not None
    assert short.configuration == ["*"]


async def test_the_log_tells_every_transition_with_offsets_from_one(store: MachineStore) -> None:
    first = made()
    await store.commit(first, event_id="a", actor="u1")
    await store.commit(
        then(first, configuration=["closed"], terminated=True, changed={"x": 1}), event_id="b", actor="u2"
    )
    epoch, offset = await store.position(TOPIC)
    assert offset == 2
    log = await store.read_log(TOPIC, epoch, 0)
    assert log is not None
    assert log.entries[1] == {
        "type": "entry",
        "topic": TOPIC,
        "epoch": epoch,
        "offset": 2,
        "machine": first.snapshot.id,
        "kind": "case",
        "revision": 2,
        "event": "rename",
        "from": ["open"],
        "to": ["closed"],
        "context": {"x": 1},
        "removed": [],
        "terminated": True,
        "gone": False,
        "at": 101.0,
        "actor": "u2",
    }
    assert [entry["offset"] for entry in log.entries] == [1, 2]
    rest = await store.read_log(TOPIC, epoch, 2)
    assert rest is not None
    assert rest.entries == []


async def test_a_log_answers_neither_another_epoch_nor_an_offset_that_never_was(store: MachineStore) -> None:
    await store.commit(made(), event_id="a", actor="u1")
    epoch, _ = await store.position(TOPIC)
    assert await store.read_log(TOPIC, "other.e0", 0) is None
    assert await store.read_log(TOPIC, epoch, 2) is None


async def test_a_log_that_no_longer_reaches_back_answers_nothing(
    store: MachineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_store_redis, "LOG_ENTRIES", 10)
    for number in range(250):  # Redis trims by whole nodes of a hundred entries
        await store.commit(made(), event_id=f"{number}", actor="u1")
    epoch, offset = await store.position(TOPIC)
    assert offset == 250
    assert await store.read_log(TOPIC, epoch, 0) is None
    newest = await store.read_log(TOPIC, epoch, 245)
    assert newest is not None
    assert [entry["offset"] for entry in newest.entries] == [246, 247, 248, 249, 250]


async def test_a_topic_shows_its_live_and_its_newest_finished_machines(
    store: MachineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_store_redis, "FINISHED_IN_TOPIC", 2)
    live = [made(updated_at=float(n)) for n in range(3)]
    ended = [made(updated_at=10.0 + n) for n in range(3)]
    for step in live + ended:
        await store.commit(step, event_id="s", actor="u1")
    await store.commit(made("case:other"), event_id="s", actor="u1")
    assert not (await store.read_topic(TOPIC)).more
    for step in ended:
        await store.commit(then(step, terminated=True), event_id="e", actor="u1")
    state = await store.read_topic(TOPIC)
    expected = [step.snapshot.id for step in (*live, ended[2], ended[1])]
    assert [machine.id for machine in state.machines] == expected
    assert state.more
    assert (state.epoch, state.offset) == await store.position(TOPIC) == (state.epoch, 9)


async def test_an_unknown_topic_is_empty_and_keeps_the_epoch_it_was_given(store: MachineStore) -> None:
    state = await store.read_topic("user:nobody")
    assert (state.offset, state.machines, state.more) == (0, [], False)
    assert await store.position("user:nobody") == (state.epoch, 0)
    await store.commit(made("user:nobody"), event_id="a", actor="u1")
    assert await store.position("user:nobody") == (state.epoch, 1)


async def test_thousands_of_live_machines_are_read_at_once(store: MachineStore) -> None:
    for _ in range(25):
        steps = [made() for _ in range(100)]
        await asyncio.gather(*(store.commit(step, event_id="a", actor="u1") for step in steps))
    assert len((await store.read_topic(TOPIC)).machines) == 2500


async def test_a_finished_machine_can_leave_and_a_live_one_cannot(store: MachineStore) -> None:
    live, ended = made(), made()
    await store.commit(live, event_id="a", actor="u1")
    await store.commit(ended, event_id="a", actor="u1")
    await store.commit(then(ended, terminated=True, updated_at=50.0), event_id="b", actor="u1")
    assert await store.finished(before=50.0, limit=10) == []
    assert await store.finished(before=50.1, limit=10) == [ended.snapshot.id]
    for _ in range(2):
        await store.evict(ended.snapshot.id)
        await store.evict(live.snapshot.id)
    state = await store.read_topic(TOPIC)
    assert [machine.id for machine in state.machines] == [live.snapshot.id]
    assert state.more
    assert await store.load(ended.snapshot.id) is None
    assert await store.finished(before=1e12, limit=10) == []
    log = await store.read_log(TOPIC, state.epoch, 0)
    assert log is not None
    assert [(entry["offset"], entry["gone"]) for entry in log.entries] == [
        (1, False),
        (2, False),
        (3, False),
        (4, True),
    ]


async def test_machines_are_listed_across_shards_by_their_last_change(store: MachineStore) -> None:
    steps = [made(f"case:{n}", "case" if n % 2 else "query", updated_at=float(n)) for n in range(20)]
    for step in steps:
        await store.commit(step, event_id="a", actor="u1")
    assert len({shard_of(step.snapshot.topic, SHARDS) for step in steps}) == SHARDS
    assert [m.updated_at for m in await store.machines(limit=5)] == [19.0, 18.0, 17.0, 16.0, 15.0]
    assert [m.updated_at for m in await store.machines("query", limit=3)] == [18.0, 16.0, 14.0]
    assert await store.topics(changed_after=17.0) == [("case:18", 18.0), ("case:19", 19.0)]


async def test_all_keys_of_a_topic_lie_in_one_slot_of_a_cluster(
    store: MachineStore, redis_client: Redis
) -> None:
    first = made()
    effect = f"{first.snapshot.id}:2:0"
    await store.commit(first, event_id="odd {id}", actor="u1")
    step = then(first, effects={effect: TOAST}, timers=[Timer("t", "x", {}, 1.0)], awaiting={effect: "open"})
    await store.commit(step, event_id="b", actor="u1")
    await store.take_lease(effect, "w", ttl_s=9)
    await store.commit(made(configuration=["long " * 9], terminated=True), event_id="c", actor="u1")
    keys = [key async for key in redis_client.scan_iter()]
    assert len(keys) >= 16, keys
    assert {key_slot(key) for key in keys} == {key_slot(shard_keys(shard_of(TOPIC, SHARDS)).outbox.encode())}


async def test_a_redis_that_forgot_the_scripts_is_given_them_again(
    store: MachineStore, redis_client: Redis
) -> None:
    await store.commit(made(), event_id="a", actor="u1")
    await redis_client.script_flush()
    await store.commit(made(), event_id="a", actor="u1")
    assert (await store.position(TOPIC))[1] == 2


async def test_a_silent_redis_is_reported_as_unavailable() -> None:
    client = Redis(unix_socket_path="/nowhere/redis.sock", retry=Retry(NoBackoff(), 0))
    store = RedisMachineStore(client, shards=SHARDS, era="e0")
    with pytest.raises(Unavailable):
        await store.load(made().snapshot.id)
    with pytest.raises(Unavailable):
        await store.commit(made(), event_id="a", actor="u1")
    with pytest.raises(Unavailable):
        await store.machines()
    await client.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def heard(store: RedisMachineStore) -> AsyncIterator[tuple[Any, asyncio.Queue[Heard]]]:
    listener = store.listen()
    queue: asyncio.Queue[Heard] = asyncio.Queue()

    task = asyncio.create_task(listener.hear(queue.put_nowait))
    yield listener, queue
    await listener.aclose()
    await asyncio.wait_for(task, PATIENCE_S)


async def test_a_listener_hears_entries_and_passing_messages_of_its_topics(
    store: MachineStore, heard: tuple[Any, asyncio.Queue[Heard]]
) -> None:
    listener, queue = heard
    await listener.join(TOPIC)
    assert (await asyncio.wait_for(queue.get(), PATIENCE_S)).what == "joined"
    first = made()
    await store.commit(made("case:other"), event_id="a", actor="u1")
    await store.commit(first, event_id="a", actor="u1")
    entry = await asyncio.wait_for(queue.get(), PATIENCE_S)
    epoch, _ = await store.position(TOPIC)
    log = await store.read_log(TOPIC, epoch, 0)
    assert log is not None
    assert (entry.what, entry.topic, entry.message) == ("entry", TOPIC, log.entries[0])
    await store.publish(TOPIC, {"type": "passing", "topic": TOPIC, "machine": "m", "what": "x", "data": {}})
    assert (await asyncio.wait_for(queue.get(), PATIENCE_S)).what == "passing"
    await listener.leave(TOPIC)
    await store.commit(then(first), event_id="b", actor="u1")
    await listener.join(TOPIC)
    assert (await asyncio.wait_for(queue.get(), PATIENCE_S)).what == "joined"


async def test_what_was_on_its_way_when_a_topic_was_left_is_not_heard_after_it_was_joined_again(
    store: RedisMachineStore, heard: tuple[Any, asyncio.Queue[Heard]]
) -> None:
    listener, queue = heard
    await listener.join(TOPIC)
    assert (await asyncio.wait_for(queue.get(), PATIENCE_S)).what == "joined"
    await listener.leave(TOPIC)
    await listener.join(TOPIC)
    channel = topic_keys(shard_of(TOPIC, SHARDS), TOPIC).channel
    listener._understand([b"message", channel.encode(), b'{"type":"entry"}'])
    assert (await asyncio.wait_for(queue.get(), PATIENCE_S)).what == "joined"


async def test_a_topic_left_and_joined_again_at_once_is_heard_from_the_last_joining_on(
    store: RedisMachineStore, heard: tuple[Any, asyncio.Queue[Heard]]
) -> None:
    listener, queue = heard
    await listener.join("user:u1")
    assert (await asyncio.wait_for(queue.get(), PATIENCE_S)).topic == "user:u1"
    # Nothing is read meanwhile, so that all confirmations come after the last request. What was
    # published between the first and the last of them was not heard.
    await listener.join(TOPIC)
    await listener.leave(TOPIC)
    await listener.join(TOPIC)
    await store.publish(TOPIC, {"type": "passing", "topic": TOPIC, "machine": "m", "what": "x", "data": {}})
    told = [await asyncio.wait_for(queue.get(), PATIENCE_S) for _ in range(2)]
    assert [(each.topic, each.what) for each in told] == [(TOPIC, "joined"), (TOPIC, "passing")]


async def test_a_listener_whose_connection_is_killed_joins_again_and_says_so(
    store: MachineStore, redis_client: Redis, heard: tuple[Any, asyncio.Queue[Heard]]
) -> None:
    listener, queue = heard
    for topic in (TOPIC, "user:u1"):
        await listener.join(topic)
        assert (await asyncio.wait_for(queue.get(), PATIENCE_S)).what == "joined"
    await cut_listeners(redis_client)
    again = [await asyncio.wait_for(queue.get(), PATIENCE_S) for _ in range(2)]
    assert {(each.topic, each.what) for each in again} == {(TOPIC, "joined"), ("user:u1", "joined")}
    await store.commit(made(), event_id="a", actor="u1")
    assert (await asyncio.wait_for(queue.get(), PATIENCE_S)).what == "entry"


async def test_the_era_ends_every_epoch_and_a_new_one_holds_at_once(
    store: MachineStore, redis_client: Redis
) -> None:
    await store.commit(made(), event_id="a", actor="u1")
    epoch, _ = await store.position(TOPIC)
    assert epoch.endswith(".e0")
    await redis_client.set(shard_keys(shard_of(TOPIC, SHARDS)).era, "e1")
    assert await store.position(TOPIC) == (epoch.removesuffix("e0") + "e1", 1)
    assert await store.read_log(TOPIC, epoch, 0) is None
    assert (await store.read_topic(TOPIC)).epoch.endswith(".e1")


async def test_what_changed_lately_is_found_on_the_topics_asked_for_alone(store: MachineStore) -> None:
    first = made("case:1", "case", updated_at=10.0)
    others = [made(f"case:{n}", "query", updated_at=float(n)) for n in (2, 11, 12)]
    for step in (first, *others):
        await store.commit(step, event_id="a", actor="u1")
    asked = ["case:1", "case:2", "case:12", "case:99"]
    found = await store.changed_lately(asked, after=9.0, limit=5)
    assert [machine.updated_at for machine in found] == [12.0, 10.0]
    assert [m.updated_at for m in await store.changed_lately(asked, after=9.0, limit=1)] == [12.0]
