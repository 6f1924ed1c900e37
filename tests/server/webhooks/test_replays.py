"""Webhooks that begin again from an offset, or in an epoch that they do not know."""

from __future__ import annotations

from server.cloudevents import event_id
from storage.journal_stream import JournalStream
from storage.keys import shard_keys, topic_keys
from storage.machine_store import shard_of
from tests.server.runtime_parts import until
from tests.server.webhooks.owner import Owner, titles
from tests.server.webhooks.receiver import Receiver


async def test_a_replay_delivers_again_from_an_offset(ann: Owner, receiver: Receiver) -> None:
    hook = await ann.subscribe(receiver)
    await ann.rename("One", "Two", "Three")
    first = list(await receiver.until(3))
    await ann.reaches(offset=hook["offset"] + 3)
    await ann.call("POST", "/replay", {"offset": hook["offset"] + 1})
    await receiver.until(5)
    assert titles(receiver)[3:] == ["Two", "Three"]
    assert [request.json for request in receiver.taken[3:]] == [request.json for request in first[1:]]
    path = f"/api/webhooks/{hook['id']}/replay"
    assert (await ann.person.call("POST", path, {"offset": 10**6})).status_code == 422


async def test_a_replay_beyond_the_log_comes_out_of_the_journal(ann: Owner, receiver: Receiver) -> None:
    hook = await ann.subscribe(receiver)
    names = [f"Title {n}" for n in range(30)]
    await ann.rename(*names)
    first = {request.json["id"]: request.json for request in await receiver.until(30)}
    await ann.reaches(offset=hook["offset"] + 30)
    await ann.call("POST", "/pause")
    shard = shard_of(ann.topic, ann.live.parts.settings.shards)
    redis = ann.live.parts.redis
    stream = JournalStream(redis, shards=ann.live.parts.settings.shards)

    async def carried() -> bool:
        return not await stream.lengths()

    await until(carried)
    assert await redis.xtrim(topic_keys(shard, ann.topic).log, maxlen=5, approximate=False)
    # An access to evidence stands in the same chain, and is no entry.
    await ann.live.parts.journal.record_access(ann.topic, "ann", "read", 1)
    receiver.taken.clear()
    await ann.call("POST", "/replay", {"offset": 0})
    await ann.call("POST", "/resume")
    await receiver.until(31)
    events = [request.json for request in receiver.taken]
    assert events[0]["data"]["event"] == "spawn"
    assert [event["data"]["context"]["title"] for event in events[1:]] == names
    for event in events[1:]:
        known = first[event["id"]]
        assert event["type"] == known["type"] == "casewire.entry.v1"
        without = {name: v for name, v in known["data"].items() if name not in ("epoch", "offset")}
        assert {n: v for n, v in event["data"].items() if n not in ("epoch", "offset")} == without
    positions = [(event["data"]["epoch"], event["data"]["offset"]) for event in events]
    chained = positions.count(("", 0))
    assert 26 <= chained < 31
    assert positions[chained:] == [(hook["epoch"], hook["offset"] + n) for n in range(chained, 31)]
    await ann.reaches(offset=hook["offset"] + 30)


async def test_machines_that_left_make_a_replay_begin_earlier_and_never_later(
    ann: Owner, receiver: Receiver
) -> None:
    """The log counts a machine that leaves, and the journal does not."""
    user, engine, store = f"user:{ann.person.id}", ann.live.parts.engine, ann.live.parts.store
    response = await ann.person.call("POST", "/api/webhooks", {"topic": user, "url": receiver.url})
    ann.hook = response.json()

    async def told(title: str) -> str:
        machine = (await engine.spawn("notification", user, {"title": title})).machine

        async def delivered() -> bool:
            snapshot = await store.load(machine)
            return snapshot is not None and snapshot.configuration == ["delivered"]

        await until(delivered)
        return machine

    for number in range(6):
        machine = await told(f"{number}")
        await engine.send(machine, "mark_read", {}, source="client", role="owner")
        if number < 3:
            await store.evict(machine)
    await told("last")
    _, offset = await store.position(user)
    await ann.reaches(offset=offset)
    log = await store.read_log(user, ann.hook["epoch"], 0)
    assert log is not None
    after = 5
    wanted = [event_id(entry) for entry in log.entries[after:] if not entry["gone"]]
    await ann.call("POST", "/pause")
    shard = shard_of(user, ann.live.parts.settings.shards)
    await ann.live.parts.redis.xtrim(topic_keys(shard, user).log, maxlen=2, approximate=False)
    receiver.taken.clear()
    await ann.call("POST", "/replay", {"offset": after})
    await ann.call("POST", "/resume")
    await receiver.wait(lambda: bool(receiver.taken) and receiver.taken[-1].json["id"] == wanted[-1])
    ids = [request.json["id"] for request in receiver.taken]
    assert [each for each in ids if each in wanted] == wanted
    assert len(ids) <= len(wanted) + 3


async def test_another_epoch_brings_a_snapshot_that_says_so(ann: Owner, receiver: Receiver) -> None:
    await ann.subscribe(receiver)
    await ann.rename("One")
    await receiver.until(1)
    shard = shard_keys(shard_of(ann.topic, ann.live.parts.settings.shards))
    await ann.live.parts.redis.set(shard.era, "another")
    await ann.rename("Two")
    await receiver.until(2)
    event = receiver.taken[1].json
    assert (event["type"], event["data"]["epoch"].endswith(".another")) == ("casewire.snapshot.v1", True)
    assert event["data"]["machines"][0]["context"]["title"] == "Two"
    await ann.rename("Three")
    await receiver.until(3)
    assert receiver.taken[2].json["data"]["context"] == {"title": "Three"}
