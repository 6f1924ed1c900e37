"""Machines that an earlier release left in Redis go on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from machines.chart import Timer
from machines.step import Step
from server.prepare import prepare
from server.services import Services
from server.settings import Settings
from storage.keys import shard_keys, topic_keys
from storage.machine_store import Conflict, shard_of
from storage.machine_store_redis import RedisMachineStore
from storage.packing_redis import packed_effects, packed_entry, packed_timers
from storage.relayout import relayout
from tests.storage.steps import SHARDS, TOAST, TOPIC, everything, made, then

OTHER = "user:u1"
LONG = [f"state_{n}_with_a_long_name" for n in range(20)]


async def commit_before(redis: Redis, step: Step, event_id: str) -> None:
    """What a commit of the earlier release wrote."""
    after = step.snapshot
    shard = shard_of(after.topic, SHARDS)
    keys, topic, at = shard_keys(shard), topic_keys(shard, after.topic), after.updated_at
    offset = await redis.hincrby(topic.position, "offset", 1)
    await redis.hsetnx(topic.position, "epoch", "abcd1234")
    entry = packed_entry(step, "u1")
    await redis.xadd(topic.log, {"entry": entry}, id=f"0-{offset}")
    await redis.xadd(keys.journal, {"topic": after.topic, "entry": entry})
    await redis.hset(f"{{{shard}}}:revisions", after.id, after.revision)
    await redis.hset(f"{{{shard}}}:snapshots", after.id, orjson.dumps(after))
    for recent in ("recent", f"recent:{after.kind}"):
        await redis.zadd(f"{{{shard}}}:{recent}", {after.id: at})
    await redis.zadd(keys.topics, {after.topic: at})
    if after.terminated:
        await redis.zrem(topic.live, after.id)
        await redis.zadd(topic.finished, {after.id: at})
        await redis.zadd(keys.finished, {after.id: at})
    else:
        await redis.zadd(topic.live, {after.id: at})
    for effect_id, effect, awaited in _threes(packed_effects(step)[1:]):
        await redis.xadd(keys.outbox, {"id": effect_id, "effect": effect})
        if awaited == "1":
            await redis.hset(keys.pending, effect_id, effect)
            await redis.zadd(keys.pending_at, {effect_id: at})
    for member, due, event in _threes(packed_timers(step)[1:]):
        await redis.zadd(keys.timers, {member: due})
        await redis.hset(keys.timer_events, member, event)
    outcome = orjson.dumps([offset, after.revision, after.configuration])
    await redis.set(f"{{{shard}}}:event:{after.id}:{event_id}", outcome, ex=86_400)


def _threes(parts: list[Any]) -> Iterator[tuple[Any, ...]]:
    return zip(parts[::3], parts[1::3], parts[2::3], strict=True)


@dataclass(frozen=True)
class Before:
    """What is there: one upload at work in one topic, two machines in another, one of them ended."""

    upload: Step
    effect: str
    open: Step
    ended: Step


@pytest_asyncio.fixture(loop_scope="session")
async def before(redis_client: Redis) -> Before:
    first = made(kind="upload", configuration=LONG, context={"text": "word " * 1000})
    effect = f"{first.snapshot.id}:2:0"
    upload = then(
        first,
        configuration=["reading"],
        effects={effect: TOAST},
        awaiting={effect: "reading"},
        timers=[Timer("slow", "silent", {"n": 1}, 5.0)],
    )
    other = made(topic=OTHER, kind="notification", updated_at=300.25)
    ended = then(other, configuration=["closed"], terminated=True)
    still_open = made(topic=OTHER, kind="notification", context={"text": "word " * 1000}, updated_at=302.5)
    await commit_before(redis_client, first, "page:1")
    await commit_before(redis_client, upload, "page:2")
    await commit_before(redis_client, other, "a")
    await commit_before(redis_client, ended, "b")
    await commit_before(redis_client, still_open, "c")
    return Before(upload, effect, still_open, ended)


async def test_every_machine_is_there_with_its_topic_and_time(
    before: Before, store: RedisMachineStore, redis_client: Redis
) -> None:
    assert await relayout(redis_client, shards=SHARDS) == 3
    for step in (before.upload, before.open, before.ended):
        assert await store.load(step.snapshot.id) == step.snapshot
    state = await store.read_topic(TOPIC)
    assert (state.offset, state.machines) == (2, [before.upload.snapshot])
    state = await store.read_topic(OTHER)
    assert (state.offset, state.machines) == (3, [before.open.snapshot, before.ended.snapshot])
    assert await store.topics() == [(TOPIC, 101.0), (OTHER, 302.5)]
    assert [m.id for m in await store.machines("upload")] == [before.upload.snapshot.id]


async def test_a_repeated_event_id_still_gets_its_first_outcome(
    before: Before, store: RedisMachineStore, redis_client: Redis
) -> None:
    await relayout(redis_client, shards=SHARDS)
    upload = before.upload.snapshot
    again = await store.commit(then(before.upload), event_id="page:1", actor="u1")
    assert (again.offset, again.revision, again.configuration, again.repeated) == (1, 1, LONG, True)
    second = await store.outcome_of(upload.id, "page:2")
    assert second is not None
    assert (second.offset, second.revision, second.configuration) == (2, 2, ["reading"])
    keys = shard_keys(shard_of(TOPIC, SHARDS))
    [kept_s] = [
        ttl for ttl in [await redis_client.ttl(day) for day in keys.events_of(upload.id)] if ttl != -2
    ]
    assert 86_300 < kept_s <= 2 * 86_400
    assert not (await store.commit(then(before.upload), event_id="page:3", actor="u1")).repeated
    assert await store.outcome_of(upload.id, "page:1") == again


async def test_an_event_makes_the_next_revision_and_offset(
    before: Before, store: RedisMachineStore, redis_client: Redis
) -> None:
    await relayout(redis_client, shards=SHARDS)
    with pytest.raises(Conflict):
        await store.commit(made(id=before.upload.snapshot.id), event_id="x", actor="u1")
    done = await store.commit(
        then(before.upload, settled=[before.effect], awaiting={}), event_id="y", actor="u1"
    )
    assert (done.offset, done.revision) == (3, 3)
    assert not await store.is_pending(before.effect)
    epoch, _ = await store.position(TOPIC)
    log = await store.read_log(TOPIC, epoch, 0)
    assert log is not None
    assert [entry["revision"] for entry in log.entries] == [1, 2, 3]
    assert (await store.commit(made(topic=OTHER), event_id="z", actor="u1")).offset == 4


async def test_effects_and_timers_come_and_what_ended_leaves(
    before: Before, store: RedisMachineStore, redis_client: Redis
) -> None:
    await relayout(redis_client, shards=SHARDS)
    [item] = await store.claim("d1", count=10, block_s=0.1, idle_s=60)
    assert (item.effect_id, item.name) == (before.effect, TOAST.name)
    assert [p.item.effect_id for p in await store.pending(older_than=1e9)] == [before.effect]
    [timer] = await store.due_timers(106.0, limit=10)
    assert (timer.machine, timer.key, timer.event) == (before.upload.snapshot.id, "slow", "silent")
    fired = await store.commit(then(before.upload), event_id="t", actor="system", timer=timer)
    assert fired.revision == 3
    ended = before.ended.snapshot.id
    assert await store.finished(before=1e9, limit=10) == [ended]
    await store.evict(ended)
    assert await store.load(ended) is None
    assert await store.finished(before=1e9, limit=10) == []
    assert (await store.read_topic(OTHER)).machines == [before.open.snapshot]


async def test_nothing_of_the_earlier_form_is_left_and_a_second_run_changes_nothing(
    before: Before, redis_client: Redis
) -> None:
    await relayout(redis_client, shards=SHARDS)
    found = await everything(redis_client)
    parts = {key.split(b":")[1] for key in found}
    assert parts.isdisjoint({b"snapshots", b"revisions", b"recent", b"event"})
    assert await relayout(redis_client, shards=SHARDS) == 0
    assert await everything(redis_client) == found


async def test_a_run_that_was_interrupted_anywhere_is_finished_by_the_next(
    before: Before, store: RedisMachineStore, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RedisMachineStore._run.__get__(store)
    left = 0

    async def stops(_: object, name: str, keys: list[str], args: list[str]) -> int:
        nonlocal left
        if not left:
            raise ConnectionAbortedError
        left -= 1
        return int(await run(name, keys, args))

    monkeypatch.setattr("storage.relayout._Relayout._run", stops)
    for _ in range(9):  # of five event ids, three machines, and the topics of two shards
        left = 1
        with pytest.raises(ConnectionAbortedError):
            await relayout(redis_client, shards=SHARDS)
    left = 1
    await relayout(redis_client, shards=SHARDS)
    assert left == 0
    for step in (before.upload, before.open, before.ended):
        assert await store.load(step.snapshot.id) == step.snapshot
    assert [m.id for m in (await store.read_topic(TOPIC)).machines] == [before.upload.snapshot.id]
    assert await store.outcome_of(before.upload.snapshot.id, "page:1") is not None
    assert await store.outcome_of(before.ended.snapshot.id, "b") is not None


async def test_one_that_comes_late_does_not_bring_an_earlier_revision_back(
    before: Before, store: RedisMachineStore, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read everything when another finishes, serves an event and removes a machine."""
    run = RedisMachineStore._run.__get__(store)
    later = then(before.upload, configuration=["done"])
    overtaken: list[str] = []

    async def overtake(_: object, name: str, keys: list[str], args: list[str]) -> int:
        if name == "relayout_machine" and not overtaken:
            overtaken.append(name)
            with monkeypatch.context() as patched:
                patched.setattr("storage.relayout._Relayout._run", RedisMachineStore._run)
                await relayout(redis_client, shards=SHARDS)
            await store.commit(later, event_id="new", actor="u1")
            await store.evict(before.ended.snapshot.id)
        return int(await run(name, keys, args))

    monkeypatch.setattr("storage.relayout._Relayout._run", overtake)
    await relayout(redis_client, shards=SHARDS)
    assert overtaken
    assert await store.load(later.snapshot.id) == later.snapshot
    assert await store.load(before.ended.snapshot.id) is None
    assert (await store.read_topic(TOPIC)).offset == 3


@pytest.mark.parametrize("redis_client", ["server"], indirect=True)
async def test_a_start_brings_them_to_the_present_form(
    before: Before, store: RedisMachineStore, settings: Settings, services: Services, database: str
) -> None:
    await prepare(settings.model_copy(update={"shards": SHARDS}), services)
    assert await store.load(before.upload.snapshot.id) == before.upload.snapshot
