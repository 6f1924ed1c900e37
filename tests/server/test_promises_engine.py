"""Promises 1, 2, 4, 5 and 7 of the engine, each with a test that tries to break it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff, NoBackoff
from statemachine import State

from machines import step as stepping
from machines.case import CaseContext, CaseSpawned, Hold, Proceed
from machines.chart import Chart
from machines.errors import StepError, WrongChart
from machines.event import Role
from machines.releases import MIGRATIONS, Migration
from machines.snapshot import Snapshot
from server.engine import Engine, MachineMissing
from server.hub import Hub, Since
from storage.embedded_redis import find_binary
from storage.keys import shard_keys, topic_keys
from storage.listener_redis import RedisListener
from storage.machine_store import Heard, StoreError, shard_of
from storage.machine_store_redis import RedisMachineStore
from tests.patience import PATIENCE_S
from tests.server.conftest import SHARDS, TOPIC
from tests.server.following import View, follow, fresh


@contextlib.asynccontextmanager
async def private_redis(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, Redis]]:
    """A Redis that may be killed; its append-only file stays in `folder`."""
    socket = folder / "redis.sock"
    process = await asyncio.create_subprocess_exec(
        find_binary().path,
        *("--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)),
        *("--appendonly", "yes", "--appendfsync", "always"),
        stdout=asyncio.subprocess.DEVNULL,
    )
    client = Redis(unix_socket_path=str(socket), retry=Retry(NoBackoff(), 0))
    starting = Redis(unix_socket_path=str(socket), retry=Retry(ConstantBackoff(0.02), 250))
    try:
        await starting.ping()
        yield process, client
    finally:
        await starting.aclose()
        await client.aclose()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


ENOUGH = 200
"""Acknowledged transitions, by sixteen writers, before Redis is killed."""


async def test_1_a_transition_is_wholly_there_or_not_at_all_when_redis_is_killed(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    enough = asyncio.Event()

    async def write(engine: Engine) -> None:
        with contextlib.suppress(StoreError):
            while True:
                question = {"question": "Who wrote the memo?"}
                made = await engine.spawn("query", TOPIC, question, event_id=f"{random.random()}")
                acknowledged.append(made.machine)
                if len(acknowledged) == ENOUGH:
                    enough.set()

    async with private_redis(tmp_path) as (process, client):
        engine = Engine(RedisMachineStore(client, shards=SHARDS, era="e0"), shards=SHARDS)
        writers = [asyncio.create_task(write(engine)) for _ in range(16)]
        async with asyncio.timeout(PATIENCE_S):
            await enough.wait()
        await asyncio.sleep(random.uniform(0.0, 0.02))  # anywhere in a batch
        process.send_signal(signal.SIGKILL)
        await asyncio.gather(*writers)
    async with private_redis(tmp_path) as (_, client):
        shard, topic = shard_keys(shard_of(TOPIC, SHARDS)), topic_keys(shard_of(TOPIC, SHARDS), TOPIC)
        machines = {
            key.decode().removeprefix(shard.machine) for key in await client.keys(f"{shard.machine}*")
        }
        logged = [orjson.loads(fields[b"entry"])["machine"] for _, fields in await client.xrange(topic.log)]
        outbox = Counter(
            fields[b"id"].decode().partition(":")[0] for _, fields in await client.xrange(shard.outbox)
        )
        pending = Counter(key.decode().partition(":")[0] for key in await client.hkeys(shard.pending))
        remembered = {key.decode().split(":")[2] for key in await client.keys(f"{shard.events}*")}
        assert machines >= set(acknowledged)
        assert sorted(logged) == sorted(machines)
        assert outbox == pending == dict.fromkeys(machines, 3)
        assert remembered == machines
        assert {key.decode() for key in await client.smembers(topic.live)} == machines
        assert int(await client.hget(topic.position, "offset") or 0) == len(machines)


async def test_2_an_event_id_is_applied_at_most_once_whoever_repeats_it(
    engine: Engine, other: Engine
) -> None:
    spawned = await asyncio.gather(
        *(each.spawn("case", TOPIC, {"title": "A"}, event_id="s") for each in (engine, other) * 10)
    )
    assert len({outcome.machine for outcome in spawned}) == 1
    assert sorted(outcome.repeated for outcome in spawned) == [False] + [True] * 19
    machine = spawned[0].machine
    events = [("close", {}), ("reopen", {}), ("close", {}), ("reopen", {}), ("rename", {"title": "B"})]
    for number, (event, data) in enumerate(events):
        sent = await asyncio.gather(
            *(
                each.send(machine, event, data, source="client", role="owner", event_id=f"{number}")
                for each in (engine, other) * 10
            )
        )
        assert sorted(outcome.repeated for outcome in sent) == [False] + [True] * 19
        assert {outcome.revision for outcome in sent} == {number + 2}
    late = await other.send(machine, "close", {}, source="client", role="owner", event_id="0")
    assert (late.revision, late.configuration, late.repeated) == (2, ["closed"], True)
    assert (await engine.store.position(TOPIC))[1] == 6


class LossyListener(RedisListener):
    """Loses every fifth message on the way."""

    heard = 0

    def _heard_in(self, reply: Any) -> Heard | None:
        found = super()._heard_in(reply)
        self.heard += found is not None and found.what == "entry"
        return None if found is not None and found.what == "entry" and self.heard % 5 == 0 else found


class LossyStore(RedisMachineStore):
    """A store on a bad network."""

    def listen(self) -> RedisListener:
        return LossyListener(self._redis, shards=SHARDS)


async def test_4_a_subscriber_sees_every_entry_once_in_order_through_gaps_and_reconnects(
    engine: Engine, redis_client: Redis
) -> None:
    store = LossyStore(redis_client, shards=SHARDS, era="e0")
    made = await engine.spawn("case", TOPIC, {"title": "A"})
    last = 300

    async def write() -> None:
        for number in range(2, last + 1):
            await engine.send(made.machine, "rename", {"title": f"{number}"}, source="client", role="owner")
            if number % 60 == 0:
                await redis_client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

    # No comparison of positions helps: gaps and reconnects show what is missing.
    async with Hub(store, check_s=3600) as hub:
        steady = await hub.subscribe(TOPIC)
        steady_view = View(steady.first)
        coming_and_going = View(steady.first)
        writing = asyncio.create_task(write())
        while coming_and_going.offset < last:
            subscription = await hub.subscribe(TOPIC, coming_and_going.since)
            assert subscription.first["recovered"]
            for missed in subscription.first["entries"]:
                coming_and_going.apply(missed)
            until = min(last, coming_and_going.offset + random.randint(1, 40))
            await follow(subscription, coming_and_going, until=until)
            subscription.close()
        await follow(steady, steady_view, until=last)
        await writing
        assert steady_view.offsets == coming_and_going.offsets == list(range(2, last + 1))

        await redis_client.xtrim(topic_keys(shard_of(TOPIC, SHARDS), TOPIC).log, maxlen=5, approximate=False)
    async with Hub(store) as hub:
        too_late = await hub.subscribe(TOPIC, Since(steady_view.epoch, 10))
        assert not too_late.first["recovered"]
        in_time = await hub.subscribe(TOPIC, Since(steady_view.epoch, last - 5))
        assert len(in_time.first["entries"]) == 5


EVENTS: tuple[tuple[str, dict[str, object]], ...] = (
    ("hold", {}),
    ("proceed", {}),
    ("close", {}),
    ("reopen", {}),
    ("rename", {"title": "B"}),
    ("vote", {"node": 7, "value": 1}),
    ("cancel", {}),
    ("retry", {}),
    ("unlock", {"secret": "0123456789"}),
)


async def act(engine: Engine, machines: list[str], chance: random.Random) -> None:
    """Something happens on the topic."""
    what = chance.random()
    if what < 0.15:
        kind, data = chance.choice(
            [("case", {"title": "A"}), ("query", {"question": "Who?"}), ("upload", {"filename": "a.txt"})]
        )
        machines.append((await engine.spawn(kind, TOPIC, data, actor="u1")).machine)
    elif what < 0.2:
        await engine.store.evict(chance.choice(machines))
    elif what < 0.5:
        machine = await engine.load(chance.choice(machines))
        if machine is not None and machine.awaiting:
            effect, stage = chance.choice(list(machine.awaiting.items()))
            data = {"effect": effect, "stage": stage, "reason": "no", "temporary": chance.random() < 0.3}
            await engine.send(machine.id, "broke", data, source="handler")
    else:
        event, data = chance.choice(EVENTS)
        machine_id = chance.choice(machines)
        await engine.send(machine_id, event, data, source="client", role="owner", actor="u1")


@pytest.mark.parametrize("role", ["viewer", "editor", "owner"])
async def test_5_a_snapshot_and_the_entries_after_it_equal_a_fresh_snapshot(
    engine: Engine, store: RedisMachineStore, role: Role
) -> None:
    chance = random.Random(role)
    machines = [(await engine.spawn("case", TOPIC, {"title": "A"})).machine]
    async with Hub(store) as hub:
        views = []
        for _ in range(400):
            if chance.random() < 0.08:
                subscription = await hub.subscribe(TOPIC)
                views.append((subscription, View(subscription.first, role)))
            with contextlib.suppress(StepError, MachineMissing):
                await act(engine, machines, chance)
        _, offset = await store.position(TOPIC)
        await follow(*views[0], until=offset)  # by then the hub has heard all
        expected = await fresh(hub, TOPIC, role)
        assert (expected.offset, offset > 100, len(views) > 3) == (offset, True, True)
        for subscription, view in views:
            await follow(subscription, view, until=offset)
            assert view.machines == expected.machines
    async with Hub(store) as later:
        assert (await fresh(later, TOPIC, role)).machines == expected.machines


class NewCase(Chart):
    """The case chart of an imagined later release: `pending` is called `waiting`."""

    kind: ClassVar[str] = "case"
    version = 2
    context_type = CaseContext
    spawn_event = CaseSpawned
    spawn_topics = ("case",)
    event_types = (Hold, Proceed)

    open = State(initial=True)
    waiting = State()

    hold = open.to(waiting)
    proceed = waiting.to(open)


async def test_7_a_machine_survives_a_release_that_changes_its_chart(
    engine: Engine, store: RedisMachineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = (await engine.spawn("case", TOPIC, {"title": "A"}, actor="u1")).machine
    await engine.send(machine, "hold", {}, source="client", role="owner")
    before = await engine.load(machine)
    assert before is not None

    monkeypatch.setitem(stepping.CHARTS, "case", NewCase)
    with pytest.raises(WrongChart):
        await engine.send(machine, "proceed", {}, source="client", role="owner")
    assert await engine.load(machine) == before

    def rename_pending(old: Snapshot) -> Snapshot:
        names = ["waiting" if state == "pending" else state for state in old.configuration]
        return Snapshot.from_json(old.to_json() | {"configuration": names})

    present = stepping.hash_of("case")
    monkeypatch.setitem(MIGRATIONS, ("case", before.chart_hash), Migration(present, 2, rename_pending))
    async with Hub(store) as hub:
        subscription = await hub.subscribe(TOPIC)
        view = View(subscription.first)
        done = await engine.send(machine, "proceed", {}, source="client", role="owner")
        assert (done.configuration, done.revision) == (["open"], 3)
        await follow(subscription, view, until=3)
        assert view.machines == (await fresh(hub, TOPIC)).machines
    after = await engine.load(machine)
    assert after is not None
    assert (after.chart_hash, after.chart_version, after.context) == (present, 2, before.context)
