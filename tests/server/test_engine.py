"""Events into transitions, with other writers, repeats and lost replies in between."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from machines.errors import BadPayload, Forbidden, NotAllowed, Stale
from machines.step import Step
from server.engine import Busy, Engine, MachineExists, MachineMissing, RevisionConflict
from server.services import Services
from storage.keys import shard_keys
from storage.machine_store import Committed, DueTimer, Heard, shard_of
from storage.machine_store_redis import RedisMachineStore
from tests.patience import PATIENCE_S
from tests.server.conftest import SHARDS, TOPIC


async def new_case(engine: Engine) -> str:
    return (await engine.spawn("case", TOPIC, {"title": "A"}, actor="u1")).machine


async def new_upload(engine: Engine) -> str:
    data = {"filename": "a.txt", "bytes": 3}
    return (await engine.spawn("upload", TOPIC, data, source="client", role="editor", actor="u1")).machine


async def rename(engine: Engine, machine: str, title: str, **more: Any) -> Any:
    return await engine.send(machine, "rename", {"title": title}, source="client", role="owner", **more)


async def awaited(engine: Engine, machine: str) -> str:
    """The one effect that a machine awaits."""
    snapshot = await engine.load(machine)
    assert snapshot is not None
    [effect] = snapshot.awaiting
    return effect


async def test_a_spawned_machine_takes_its_events(engine: Engine) -> None:
    made = await engine.spawn("case", TOPIC, {"title": "A"}, actor="u1")
    assert (made.revision, made.event, made.configuration, made.repeated) == (1, "spawn", ["open"], False)
    done = await engine.send(made.machine, "hold", {}, source="client", role="editor", actor="u2")
    assert (done.machine, done.revision, done.configuration) == (made.machine, 2, ["pending"])
    assert done.snapshot == await engine.load(made.machine)


async def test_the_clock_of_the_engine_stamps_events(store: RedisMachineStore) -> None:
    engine = Engine(store, shards=SHARDS, clock=lambda: 4711.5)
    snapshot = await engine.load(await new_case(engine))
    assert snapshot is not None
    assert (snapshot.updated_at, snapshot.context["created_at"]) == (4711.5, 4711.5)


async def test_what_the_chart_refuses_changes_nothing(engine: Engine) -> None:
    machine = await new_case(engine)
    with pytest.raises(NotAllowed) as refused:
        await engine.send(machine, "reopen", {}, source="client", role="owner")
    assert "close" in refused.value.allowed
    with pytest.raises(BadPayload):
        await rename(engine, machine, "")
    with pytest.raises(Forbidden):
        await engine.send(machine, "close", {}, source="client", role="viewer")
    with pytest.raises(Forbidden):
        await engine.spawn("case", "user:u1", {"title": "A"})
    with pytest.raises(Forbidden):
        await engine.spawn("upload", TOPIC, {"filename": "a"}, source="client", role="viewer")
    snapshot = await engine.load(machine)
    assert snapshot is not None
    assert snapshot.revision == 1
    assert await engine.store.position(TOPIC) == ((await engine.store.position(TOPIC))[0], 1)


@pytest.mark.parametrize("machine", ["", "case", "case-0-", "case-zz-00", "a-b-c-d", "case-0-feed"])
async def test_a_machine_that_is_not_there_is_missing(engine: Engine, machine: str) -> None:
    with pytest.raises(MachineMissing):
        await rename(engine, machine, "B")
    assert await engine.load(machine) is None


async def test_events_of_one_machine_wait_for_each_other(
    engine: Engine, store: RedisMachineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = await new_case(engine)
    commits = 0
    commit = store.commit

    async def counted(*args: Any, **kwargs: Any) -> Committed:
        nonlocal commits
        commits += 1
        return await commit(*args, **kwargs)

    monkeypatch.setattr(store, "commit", counted)
    done = await asyncio.gather(*(rename(engine, machine, f"{n}") for n in range(60)))
    assert sorted(outcome.revision for outcome in done) == list(range(2, 62))
    assert commits == 60
    assert len(engine._turns) == 0


async def test_two_processes_apply_every_event_once(engine: Engine, other: Engine) -> None:
    machine = await new_case(engine)
    done = await asyncio.gather(
        *(rename(each, machine, f"{n}") for n in range(25) for each in (engine, other))
    )
    assert sorted(outcome.revision for outcome in done) == list(range(2, 52))
    snapshot = await engine.load(machine)
    assert snapshot is not None
    assert snapshot.revision == 51


class Overtaken(RedisMachineStore):
    """Before each commit, somebody else's lands."""

    async def commit(
        self, step: Step, *, event_id: str, actor: str, timer: DueTimer | None = None
    ) -> Committed:
        there = await self.load(step.snapshot.id)
        if there is not None:
            theirs = replace(there, revision=there.revision + 1)
            await super().commit(Step(theirs), event_id=f"theirs {theirs.revision}", actor="u2")
        return await super().commit(step, event_id=event_id, actor=actor, timer=timer)


async def test_who_is_overtaken_again_and_again_is_told_to_come_back(redis_client: Redis) -> None:
    engine = Engine(Overtaken(redis_client, shards=SHARDS, era="e0"), shards=SHARDS)
    machine = await new_case(engine)
    with pytest.raises(Busy) as busy:
        await rename(engine, machine, "B")
    assert busy.value.temporary
    assert len(engine._turns) == 0


async def test_a_revision_that_was_demanded_must_hold(engine: Engine) -> None:
    machine = await new_case(engine)
    await rename(engine, machine, "B", if_revision=1, event_id="b")
    with pytest.raises(RevisionConflict) as conflict:
        await rename(engine, machine, "C", if_revision=1)
    assert conflict.value.revision == 2
    assert (await rename(engine, machine, "B", if_revision=1, event_id="b")).repeated


async def test_a_repeat_gets_the_first_outcome_though_the_state_has_moved_on(engine: Engine) -> None:
    machine = await new_case(engine)
    first = await engine.send(machine, "close", {}, source="client", role="owner", event_id="x")
    await engine.send(machine, "reopen", {}, source="client", role="owner")
    await engine.send(machine, "hold", {}, source="client", role="owner")
    await engine.send(machine, "close", {}, source="client", role="owner")
    again = await engine.send(machine, "close", {}, source="client", role="owner", event_id="x")
    assert (again.revision, again.configuration, again.repeated) == (2, ["closed"], True)
    assert not first.repeated


async def test_a_repeat_gets_the_first_outcome_even_when_its_machine_has_left(engine: Engine) -> None:
    machine = await new_upload(engine)
    await engine.send(machine, "cancel", {}, source="client", role="editor", event_id="x")
    await engine.store.evict(machine)
    again = await engine.send(machine, "cancel", {}, source="client", role="editor", event_id="x")
    assert (again.configuration, again.repeated) == (["cancelled"], True)
    with pytest.raises(MachineMissing):
        await engine.send(machine, "cancel", {}, source="client", role="editor", event_id="y")


async def test_a_repeated_spawn_meets_the_same_machine(engine: Engine, redis_client: Redis) -> None:
    made = await engine.spawn("case", TOPIC, {"title": "A"}, actor="u1", event_id="x")
    again = await engine.spawn("case", TOPIC, {"title": "A"}, actor="u1", event_id="x")
    assert (again.machine, again.revision, again.repeated) == (made.machine, 1, True)
    await rename(engine, made.machine, "B")
    await redis_client.delete(*shard_keys(shard_of(TOPIC, SHARDS)).events_of(made.machine))
    later = await engine.spawn("case", TOPIC, {"title": "A"}, actor="u1", event_id="x")
    assert (later.machine, later.revision, later.repeated) == (made.machine, 2, True)
    elsewhere = await engine.spawn("case", "case:c2", {"title": "A"}, actor="u1", event_id="x")
    assert elsewhere.machine != made.machine
    assert not elsewhere.repeated


async def test_a_given_machine_id_is_used_once(engine: Engine) -> None:
    machine = f"case-{shard_of(TOPIC, SHARDS):x}-0123"
    made = await engine.spawn("case", TOPIC, {"title": "A"}, machine=machine, event_id="x")
    assert made.machine == machine
    assert (await engine.spawn("case", TOPIC, {"title": "A"}, machine=machine, event_id="x")).repeated
    with pytest.raises(MachineExists):
        await engine.spawn("case", TOPIC, {"title": "A"}, machine=machine, event_id="y")


async def test_a_result_that_nobody_awaits_is_stale_and_its_repeat_is_not(engine: Engine) -> None:
    machine = await new_upload(engine)
    await engine.send(machine, "received", {"sha256": "ab", "bytes": 3}, source="handler")
    effect = await awaited(engine, machine)
    data = {"effect": effect, "evidence": 1, "media_type": "text/plain", "title": "A"}
    await engine.send(machine, "verified", data, source="handler", event_id=effect)
    assert (await engine.send(machine, "verified", data, source="handler", event_id=effect)).repeated
    with pytest.raises(Stale):
        await engine.send(machine, "verified", data, source="handler", event_id="another")


async def due(engine: Engine) -> list[DueTimer]:
    return await engine.store.due_timers(time.time() + 1e6, limit=9)


async def test_a_timer_fires_once(engine: Engine) -> None:
    machine = await new_upload(engine)
    [timer] = await due(engine)
    first, again = await asyncio.gather(engine.fire(timer), engine.fire(timer))
    assert sorted([first.repeated, again.repeated]) == [False, True]
    assert first.configuration == again.configuration == ["paused"]
    [later] = await due(engine)
    assert later.due > timer.due
    snapshot = await engine.load(machine)
    assert snapshot is not None
    assert snapshot.revision == 2


async def test_a_timer_set_anew_since_it_fell_due_is_stale(engine: Engine) -> None:
    machine = await new_upload(engine)
    [timer] = await due(engine)
    await engine.send(machine, "receiving_on", {"received": 1}, source="handler")
    with pytest.raises(Stale):
        await engine.fire(timer)
    snapshot = await engine.load(machine)
    assert snapshot is not None
    assert snapshot.configuration == ["receiving"]


async def test_a_passing_message_reaches_listeners_and_leaves_no_trace(
    engine: Engine, redis_client: Redis
) -> None:
    listener = engine.store.listen()
    await listener.join(TOPIC)
    queue: asyncio.Queue[Heard] = asyncio.Queue()
    hearing = asyncio.create_task(listener.hear(queue.put_nowait))
    assert (await asyncio.wait_for(queue.get(), PATIENCE_S)).what == "joined"
    await engine.publish(TOPIC, "m", "progress", {"done": 1})
    heard = await asyncio.wait_for(queue.get(), PATIENCE_S)
    assert heard.message == {
        "type": "passing",
        "topic": TOPIC,
        "machine": "m",
        "what": "progress",
        "data": {"done": 1},
    }
    await listener.aclose()
    await asyncio.wait_for(hearing, PATIENCE_S)
    assert await redis_client.keys("*") == []


class Cutting:
    """A socket in front of Redis that cuts the connection in place of the reply to the first commit."""

    def __init__(self, redis_url: str, path: Path) -> None:
        self._redis = redis_url.removeprefix("unix://").partition("?")[0]
        self.path = path
        self.cut = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(self._redis)
        try:
            while request := await reader.read(2**20):
                up_writer.write(request)
                reply = await up_reader.read(2**20)
                if b"EVALSHA" in request and b"rename" in request and not self.cut:
                    self.cut += 1
                    return
                writer.write(reply)
        finally:
            writer.close()
            up_writer.close()


async def test_a_commit_whose_reply_was_lost_is_applied_once(engine: Engine, services: Services) -> None:
    machine = await new_case(engine)
    cutting = Cutting(services.redis_url, services.data_dir / "cutting.sock")
    server = await asyncio.start_unix_server(cutting.serve, cutting.path)
    client = Redis(unix_socket_path=str(cutting.path))
    through = Engine(RedisMachineStore(client, shards=SHARDS, era="e0"), shards=SHARDS)
    try:
        done = await rename(through, machine, "B")
    finally:
        await client.aclose()
        server.close()
    assert cutting.cut == 1
    assert done.revision == 2
    snapshot = await engine.load(machine)
    assert snapshot is not None
    assert (snapshot.revision, snapshot.context["title"]) == (2, "B")


def test_every_engine_error_tells_a_code_and_whether_to_try_again() -> None:
    errors = [MachineMissing("m"), MachineExists("m"), RevisionConflict("m", 1, 2), Busy("m")]
    assert len({error.code for error in errors}) == 4
    assert [error.temporary for error in errors] == [False, False, False, True]
