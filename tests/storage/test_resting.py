"""Machines that leave Redis while nothing happens to them, and come back as they were."""

from __future__ import annotations

from typing import Any

from storage.machine_store import MachineStore
from tests.storage.steps import TOPIC, made, then


async def at_rest(store: MachineStore) -> Any:
    """A machine that has moved once and is gone."""
    first = made(context={"title": "A", "pages": 3})
    await store.commit(first, event_id="a", actor="u1")
    last = then(first, configuration=["closed"])
    await store.commit(last, event_id="b", actor="u1")
    assert await store.rest(last.snapshot.id, last.snapshot.revision)
    return last


async def test_a_machine_at_rest_is_gone_and_its_topic_was_told(store: MachineStore) -> None:
    last = await at_rest(store)
    assert await store.load(last.snapshot.id) is None
    assert await store.live_in(TOPIC) == []
    state = await store.read_topic(TOPIC)
    assert (state.offset, state.machines, state.more) == (3, [], True)
    log = await store.read_log(TOPIC, state.epoch, 2)
    assert log is not None
    assert [(e["event"], e["gone"]) for e in log.entries] == [("gone", True)]


async def test_a_woken_machine_is_as_it_was_and_goes_on(store: MachineStore) -> None:
    last = await at_rest(store)
    assert await store.wake(last.snapshot)
    assert await store.load(last.snapshot.id) == last.snapshot
    assert await store.live_in(TOPIC) == [last.snapshot.id]
    state = await store.read_topic(TOPIC)
    log = await store.read_log(TOPIC, state.epoch, 3)
    assert log is not None
    [woken] = log.entries
    # With all that a page needs that has forgotten it.
    assert (woken["event"], woken["from"], woken["to"], woken["context"]) == (
        "woken", [], ["closed"], last.snapshot.context,
    )  # fmt: skip
    assert woken["revision"] == last.snapshot.revision
    committed = await store.commit(then(last), event_id="c", actor="u1")
    assert (committed.revision, committed.offset) == (3, 5)


async def test_events_stay_known_over_a_rest(store: MachineStore) -> None:
    last = await at_rest(store)
    await store.wake(last.snapshot)
    repeated = await store.commit(then(last), event_id="b", actor="u1")
    assert (repeated.repeated, repeated.revision) == (True, 2)


async def test_of_two_that_wake_it_one_does(store: MachineStore) -> None:
    last = await at_rest(store)
    assert [await store.wake(last.snapshot) for _ in range(2)] == [True, False]
    assert (await store.read_topic(TOPIC)).offset == 4


async def test_whoever_comes_too_late_cannot_bring_an_older_one_back(store: MachineStore) -> None:
    last = await at_rest(store)
    await store.wake(last.snapshot)
    newer = then(last)
    await store.commit(newer, event_id="c", actor="u1")
    assert await store.rest(newer.snapshot.id, newer.snapshot.revision)
    assert not await store.wake(last.snapshot)
    assert await store.load(last.snapshot.id) is None
    assert await store.wake(newer.snapshot)


async def test_what_has_moved_awaits_something_or_has_a_timer_does_not_rest(store: MachineStore) -> None:
    moved = made()
    await store.commit(moved, event_id="a", actor="u1")
    await store.commit(then(moved), event_id="b", actor="u1")
    waits = made(awaiting={"case-0-a:1:0": "open"})
    await store.commit(waits, event_id="a", actor="u1")
    timed = made(timers={"late": "open"})
    await store.commit(timed, event_id="a", actor="u1")
    ended = made(terminated=True)
    await store.commit(ended, event_id="a", actor="u1")
    for step in (moved, waits, timed, ended):
        assert not await store.rest(step.snapshot.id, 1)
        assert await store.load(step.snapshot.id) is not None
