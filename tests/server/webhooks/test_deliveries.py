"""Webhooks against a real receiver: signed, in order, what was asked for, and nothing else."""

from __future__ import annotations

import asyncio
import time

from sqlalchemy import text

from tests.server.runtime_parts import until
from tests.server.webhooks.owner import Owner, titles
from tests.server.webhooks.receiver import Receiver


async def test_entries_come_in_order_signed_and_equal_to_those_of_the_websocket(
    ann: Owner, receiver: Receiver
) -> None:
    hook = await ann.subscribe(receiver)
    async with ann.person.socket() as wire:
        reply = await wire.ask("subscribe", topic=ann.topic)
        await ann.rename("One", "Two", "Three")
        requests = await receiver.until(3)
        for request in requests:
            entry = await wire.until(lambda message: message["type"] == "entry")
            event = request.json
            assert event["data"] == entry
            assert (event["specversion"], event["type"]) == ("1.0", "casewire.entry.v1")
            assert request.headers["content-type"] == "application/cloudevents+json"
            assert request.headers["webhook-id"] == event["id"]
            assert abs(time.time() - int(request.headers["webhook-timestamp"])) < 60
            assert request.signed_by(hook["secret"])
            assert not request.signed_by("whsec_" + "A" * 44)
    assert [request.offset for request in requests] == [reply["offset"] + n for n in (1, 2, 3)]
    assert len({request.headers["webhook-id"] for request in requests}) == 3
    attempts = await ann.call("GET", "/attempts")
    assert [each["status"] for each in attempts] == [200] * 3
    assert all(each["delivered"] and each["duration_ms"] > 0 for each in attempts)
    assert "secret" not in await ann.call("GET")


async def test_only_what_is_asked_for_is_delivered(ann: Owner, receiver: Receiver) -> None:
    await ann.subscribe(receiver, kinds=["case"], events=["hold", "proceed"])
    await ann.rename("Not this")
    engine = ann.live.parts.engine
    await engine.send(ann.case["machine"], "hold", {}, source="client", role="owner")
    await ann.rename("Nor this")
    await engine.send(ann.case["machine"], "proceed", {}, source="client", role="owner")
    requests = await receiver.until(2)
    assert [request.json["data"]["event"] for request in requests] == ["hold", "proceed"]


async def test_batches_come_only_where_asked_for_and_hold_each_entry_once(
    ann: Owner, receiver: Receiver
) -> None:
    hook = await ann.subscribe(receiver, batch=10)
    await asyncio.gather(*(ann.rename(f"{n}") for n in range(25)))
    await receiver.wait(lambda: sum(len(request.json) for request in receiver.taken) >= 25)
    assert all(r.headers["content-type"] == "application/cloudevents-batch+json" for r in receiver.taken)
    assert all(request.signed_by(hook["secret"]) for request in receiver.taken)
    offsets = [event["data"]["offset"] for request in receiver.taken for event in request.json]
    assert offsets == list(range(hook["offset"] + 1, hook["offset"] + 26))
    assert len(receiver.taken) < 25


async def test_a_new_secret_and_the_old_one_sign_side_by_side_for_a_day(
    ann: Owner, receiver: Receiver
) -> None:
    old = (await ann.subscribe(receiver))["secret"]
    new = (await ann.call("POST", "/secret"))["secret"]
    assert new != old
    await ann.held()
    await ann.rename("One")
    (request,) = await receiver.until(1)
    assert request.signed_by(old)
    assert request.signed_by(new)
    async with ann.live.parts.database.begin() as connection:
        await connection.execute(text("UPDATE webhooks SET previous_until = now() - interval '1 second'"))
    await ann.call("POST", "/resume")
    await ann.held()
    await ann.rename("Two")
    await receiver.until(2)
    assert receiver.taken[1].signed_by(new)
    assert not receiver.taken[1].signed_by(old)


async def test_a_pause_holds_everything_back(ann: Owner, receiver: Receiver) -> None:
    await ann.subscribe(receiver)
    assert (await ann.call("POST", "/pause"))["paused"] == "paused"
    await ann.rename("One", "Two")
    await asyncio.sleep(0.5)
    assert receiver.requests == []
    await ann.call("POST", "/resume")
    await receiver.until(2)
    assert titles(receiver) == ["One", "Two"]


async def test_a_ping_tells_whether_the_address_works(ann: Owner, receiver: Receiver) -> None:
    hook = await ann.subscribe(receiver)
    assert (await ann.call("POST", "/ping"))["delivered"] is True
    (request,) = receiver.taken
    assert request.json["type"] == "casewire.ping.v1"
    assert request.signed_by(hook["secret"])
    receiver.always = 404
    answer = await ann.call("POST", "/ping")
    assert (answer["delivered"], answer["status"]) == (False, 404)
    assert len(await ann.call("GET", "/attempts")) == 2
    assert (await ann.call("GET"))["offset"] == hook["offset"]


async def test_an_idle_webhook_costs_the_database_no_writes_of_its_position(
    ann: Owner, receiver: Receiver
) -> None:
    """What nobody wants moves the position in memory; what is delivered next moves it for good."""
    hook = await ann.subscribe(receiver, events=["hold"])
    await ann.rename("One", "Two")
    await asyncio.sleep(0.3)
    assert (await ann.call("GET"))["offset"] == hook["offset"]
    await ann.live.parts.engine.send(ann.case["machine"], "hold", {}, source="client", role="owner")
    await receiver.until(1)
    await ann.reaches(offset=hook["offset"] + 3)


async def test_a_deleted_webhook_delivers_nothing_more(ann: Owner, receiver: Receiver) -> None:
    await ann.subscribe(receiver)
    await ann.rename("One")
    await receiver.until(1)
    await ann.call("DELETE")

    async def left() -> bool:
        return ann.topic not in ann.live.parts.hub.topics

    await until(left)
    await ann.rename("Two")
    await asyncio.sleep(0.5)
    assert titles(receiver) == ["One"]
    assert (await ann.person.call("GET", f"/api/webhooks/{ann.hook['id']}")).status_code == 404


async def test_a_person_follows_their_own_topic(ann: Owner, receiver: Receiver) -> None:
    topic = f"user:{ann.person.id}"
    response = await ann.person.call("POST", "/api/webhooks", {"topic": topic, "url": receiver.url})
    assert response.status_code == 201
    await ann.live.parts.engine.spawn("notification", topic, {"title": "Hello"})
    await receiver.until(1)
    assert receiver.taken[0].json["subject"].startswith("notification-")
    listed = (await ann.person.call("GET", "/api/webhooks")).json()
    assert [hook["topic"] for hook in listed] == [topic]
