"""What a machine store promises of work and time: outbox, leases, pending effects, timers."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from machines.chart import Timer
from machines.notification import Notify
from machines.step import Step
from storage.keys import shard_keys
from storage.machine_store import (
    DueTimer,
    MachineStore,
    TimerGone,
    shard_of,
)
from storage.machine_store_redis import RedisMachineStore
from tests.storage.steps import SHARDS, TOAST, TOPIC, everything, made, then, with_effect


async def test_an_effect_is_claimed_once_and_gone_when_acknowledged(store: MachineStore) -> None:
    first, second, effect = with_effect()
    assert await store.claim("a", count=9, block_s=0.01, idle_s=600) == []
    await store.commit(first, event_id="a", actor="u1")
    await store.commit(second, event_id="b", actor="u1")
    [item] = await store.claim("a", count=9, block_s=0.01, idle_s=600)
    assert (item.effect_id, item.name, item.args, item.queue) == (
        effect,
        "DeliverToast",
        TOAST.args(),
        "inline",
    )
    assert (item.machine, item.topic, item.delivery) == (first.snapshot.id, TOPIC, 1)
    assert await store.claim("b", count=9, block_s=0.01, idle_s=600) == []
    await store.acknowledge(item)
    assert await store.claim("b", count=9, block_s=0.01, idle_s=0) == []


async def test_a_waiting_claim_wakes_up_for_a_new_effect(store: MachineStore) -> None:
    for _ in range(10):  # where this process starves, a claim may be over before there is an effect
        first, second, effect = with_effect()
        await store.commit(first, event_id="a", actor="u1")
        claiming = asyncio.create_task(store.claim("a", count=9, block_s=2, idle_s=600))
        await asyncio.sleep(0.1)
        await store.commit(second, event_id="b", actor="u1")
        if found := await claiming:
            break
        await store.claim("a", count=9, block_s=0.01, idle_s=600)
    assert [item.effect_id for item in found] == [effect]


async def test_what_a_dead_consumer_held_is_taken_over_and_counted(store: MachineStore) -> None:
    first, second, effect = with_effect()
    await store.commit(first, event_id="a", actor="u1")
    await store.commit(second, event_id="b", actor="u1")
    await store.claim("dead", count=9, block_s=0.01, idle_s=600)
    await asyncio.sleep(0.02)
    [item] = await store.claim("b", count=9, block_s=0.01, idle_s=0.01)
    assert (item.effect_id, item.delivery) == (effect, 2)


async def consumers(redis: Redis, outbox: str) -> dict[bytes, int]:
    """Name → how many entries it holds."""
    return {each["name"]: each["pending"] for each in await redis.xinfo_consumers(outbox, "dispatchers")}


async def test_a_dead_consumer_is_forgotten_once_it_holds_nothing(
    store: RedisMachineStore, redis_client: Redis
) -> None:
    first, second, _ = with_effect()
    await store.commit(first, event_id="a", actor="u1")
    await store.commit(second, event_id="b", actor="u1")
    [item] = await store.claim("dead", count=9, block_s=0.01, idle_s=600)
    outbox = shard_keys(item.shard).outbox
    await asyncio.sleep(0.2)
    assert len(await store.claim("busy", count=9, block_s=0.01, idle_s=0.01)) == 1
    assert await consumers(redis_client, outbox) == {b"busy": 1}
    await asyncio.sleep(0.2)  # silent as well, but it holds what Dead had
    assert await store._run("drop_consumers", [outbox], ["dispatchers", 100]) == 0
    assert await consumers(redis_client, outbox) == {b"busy": 1}


async def test_an_effect_left_behind_before_it_was_claimed_is_not_done(
    store: MachineStore, redis_client: Redis
) -> None:
    first, second, effect = with_effect()
    await store.commit(first, event_id="a", actor="u1")
    await store.commit(second, event_id="b", actor="u1")
    await store.commit(then(second, settled=[effect], awaiting={}), event_id="c", actor="u1")
    assert await store.claim("a", count=9, block_s=0.01, idle_s=600) == []
    assert await redis_client.xlen(shard_keys(shard_of(TOPIC, SHARDS)).outbox) == 0


async def test_an_entry_deleted_but_not_acknowledged_is_forgotten(
    store: MachineStore, redis_client: Redis
) -> None:
    first, second, _ = with_effect()
    await store.commit(first, event_id="a", actor="u1")
    await store.commit(second, event_id="b", actor="u1")
    [item] = await store.claim("a", count=9, block_s=0.01, idle_s=600)
    outbox = shard_keys(item.shard).outbox
    await redis_client.xdel(outbox, item.entry)
    assert await store.claim("b", count=9, block_s=0.01, idle_s=0) == []
    assert (await redis_client.xpending(outbox, "dispatchers"))["pending"] == 0


async def test_an_emptied_redis_is_served_again(store: MachineStore, redis_client: Redis) -> None:
    assert await store.claim("a", count=9, block_s=0.01, idle_s=600) == []
    await redis_client.flushall()
    first, second, effect = with_effect()
    await store.commit(first, event_id="a", actor="u1")
    await store.commit(second, event_id="b", actor="u1")
    assert [item.effect_id for item in await store.claim("a", count=9, block_s=0.01, idle_s=600)] == [effect]


async def test_the_outbox_is_never_cut(store: MachineStore) -> None:
    first = made()
    effects = {f"{first.snapshot.id}:2:{n}": Notify("u", "t", "b", "info", TOPIC) for n in range(300)}
    await store.commit(first, event_id="a", actor="u1")
    await store.commit(then(first, effects=effects), event_id="b", actor="u1")
    found = await store.claim("a", count=1000, block_s=0.01, idle_s=600)
    assert [item.effect_id for item in found] == list(effects)


async def test_an_awaited_effect_is_pending_until_a_step_settles_it(store: MachineStore) -> None:
    first, second, effect = with_effect()
    await store.commit(first, event_id="a", actor="u1")
    await store.commit(second, event_id="b", actor="u1")
    assert await store.is_pending(effect)
    assert await store.pending(older_than=101.0) == []
    [waiting] = await store.pending(older_than=101.5)
    assert (waiting.item.effect_id, waiting.item.args, waiting.since, waiting.tries) == (
        effect,
        TOAST.args(),
        101.0,
        0,
    )
    assert await store.retry_pending(effect, at=500.0) == 1
    assert await store.retry_pending(effect, at=600.0) == 2
    assert await store.pending(older_than=600.0) == []
    assert [w.tries for w in await store.pending(older_than=601.0)] == [2]
    await store.commit(then(second, settled=[effect], awaiting={}), event_id="c", actor="u1")
    assert not await store.is_pending(effect)
    assert await store.retry_pending(effect, at=700.0) == 0
    assert await store.pending(older_than=1e12) == []


async def test_an_effect_that_nobody_awaits_is_never_pending(store: MachineStore) -> None:
    first, second, effect = with_effect("nobody")
    await store.commit(first, event_id="a", actor="u1")
    await store.commit(second, event_id="b", actor="u1")
    assert not await store.is_pending(effect)
    assert await store.pending(older_than=1e12) == []


async def test_a_lease_keeps_others_out_until_it_is_dropped_or_runs_out(store: MachineStore) -> None:
    effect = f"{made().snapshot.id}:1:0"
    assert await store.take_lease(effect, "a", ttl_s=600)
    assert await store.take_lease(effect, "a", ttl_s=600)
    assert not await store.take_lease(effect, "b", ttl_s=600)
    await store.drop_lease(effect, "b")
    assert await store.leases([effect, f"{made().snapshot.id}:1:0"]) == [True, False]
    await store.drop_lease(effect, "a")
    assert await store.take_lease(effect, "b", ttl_s=0.05)
    await asyncio.sleep(0.1)
    assert await store.leases([effect]) == [False]


async def test_timers_fall_due_in_order_across_shards(store: MachineStore) -> None:
    steps = [made(f"case:{n}", updated_at=0.0) for n in range(6)]
    for n, step in enumerate(steps):
        timer = Timer(f"k{n}", "silent", {"n": n}, 10.0 - n)
        step = Step(snapshot=step.snapshot, timers=[timer])
        await store.commit(step, event_id="a", actor="u1")
    due = await store.due_timers(8.0, limit=2)
    assert [(timer.key, timer.due) for timer in due] == [("k5", 5.0), ("k4", 6.0)]
    first = due[0]
    assert (first.machine, first.event, first.data) == (steps[5].snapshot.id, "silent", {"n": 5})
    assert len(await store.due_timers(8.0, limit=9)) == 4


async def one_timer(store: MachineStore) -> tuple[Step, DueTimer]:
    first = made()
    first = Step(snapshot=first.snapshot, timers=[Timer("k", "silent", {}, 5.0)])
    await store.commit(first, event_id="a", actor="u1")
    [due] = await store.due_timers(200.0, limit=9)
    return first, due


async def test_a_timer_leaves_with_the_step_it_caused(store: MachineStore) -> None:
    first, due = await one_timer(store)
    await store.commit(then(first), event_id="b", actor="system", timer=due)
    assert await store.due_timers(1e12, limit=9) == []


async def test_a_timer_that_its_own_step_sets_anew_stays(store: MachineStore) -> None:
    first, due = await one_timer(store)
    again = then(first, timers=[Timer("k", "silent", {}, 7.0)])
    await store.commit(again, event_id="b", actor="system", timer=due)
    assert [timer.due for timer in await store.due_timers(1e12, limit=9)] == [108.0]


async def test_a_timer_set_anew_or_cleared_since_it_fired_causes_nothing(
    store: MachineStore, redis_client: Redis
) -> None:
    first, due = await one_timer(store)
    second = then(first, timers=[Timer("k", "silent", {}, 9.0)])
    await store.commit(second, event_id="b", actor="u1")
    before = await everything(redis_client)
    with pytest.raises(TimerGone):
        await store.commit(then(second), event_id="c", actor="system", timer=due)
    await store.drop_timer(due)
    assert await everything(redis_client) == before
    third = then(second, timers=[Timer("k")])
    await store.commit(third, event_id="d", actor="u1")
    assert await store.due_timers(1e12, limit=9) == []
    with pytest.raises(TimerGone):
        await store.commit(then(third), event_id="e", actor="system", timer=due)


async def test_a_useless_timer_can_be_dropped(store: MachineStore) -> None:
    _, due = await one_timer(store)
    await store.drop_timer(due)
    assert await store.due_timers(1e12, limit=9) == []
