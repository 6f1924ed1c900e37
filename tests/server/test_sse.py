"""Streams of server-sent events: the same log as on the websocket, resumed anywhere, ended in time."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

import server.sse
from server.admission import Visitor
from server.client import Topic
from server.services import Services
from server.settings import Settings
from storage.keys import shard_keys
from storage.machine_store import shard_of
from tests.patience import PATIENCE_S
from tests.server.live import Live, Person, running
from tests.server.sse_reader import stream


async def until(ready: Callable[[], bool]) -> None:
    """Wait for what another task does."""
    async with asyncio.timeout(PATIENCE_S):
        while not ready():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def a_case(ann: Person) -> tuple[dict[str, Any], str]:
    case = await ann.case()
    return case, f"case:{case['id']}"


async def rename(live: Live, case: dict[str, Any], title: str) -> None:
    await live.parts.engine.send(
        case["machine"], "rename", {"title": title}, source="client", actor="x", role="owner"
    )


async def test_a_stream_begins_with_a_snapshot_and_goes_on_with_entries_as_cloudevents(live: Live) -> None:
    async with live.person() as ann:
        case, topic = await a_case(ann)
        async with stream(ann, topic) as reader:
            assert reader.response.headers["content-type"].startswith("text/event-stream")
            first = await reader.next()
            assert first is not None
            assert first.name == "snapshot"
            assert reader.retry_ms is not None
            assert first.data["type"] == "casewire.snapshot.v1"
            (machine,) = first.data["data"]["machines"]
            assert machine["machine"] == case["machine"]
            assert machine["allowed"] == ["close", "hold", "remove", "rename"]
            epoch, offset = first.data["data"]["epoch"], first.data["data"]["offset"]
            assert first.last_id == f"{epoch}:{offset}"
            await rename(live, case, "Two\nbridges")
            entry = await reader.next()
        assert entry is not None
        assert (entry.name, entry.last_id) == ("entry", f"{epoch}:{offset + 1}")
        event = entry.data
        assert (event["specversion"], event["type"]) == ("1.0", "casewire.entry.v1")
        assert (event["source"], event["subject"]) == (f"urn:casewire:{topic}", case["machine"])
        assert datetime.fromisoformat(event["time"]).timestamp() == pytest.approx(event["data"]["at"])
        assert event["datacontenttype"] == "application/json"
        assert event["data"]["context"] == {"title": "Two\nbridges"}
        assert event["data"]["allowed"] == ["close", "hold", "remove", "rename"]


async def test_what_a_stream_says_equals_what_the_websocket_says(live: Live) -> None:
    async with live.person() as ann, live.person("bob") as bob:
        case, topic = await a_case(ann)
        await ann.invite(case, bob, "viewer")
        async with bob.socket() as wire, stream(bob, topic) as reader:
            reply = await wire.ask("subscribe", topic=topic)
            first = await reader.next()
            assert first is not None
            for part in ("machines", "more", "epoch", "offset", "topic"):
                assert first.data["data"][part] == reply[part]
            await rename(live, case, "Other")
            entry = await reader.next()
            assert entry is not None
            assert entry.data["data"] == await wire.until(lambda message: message["type"] == "entry")


async def test_a_reader_that_reconnects_at_random_places_sees_each_entry_once(live: Live) -> None:
    """Its state is in the end that of a websocket that never left."""
    dice = random.Random(7)
    async with live.person() as ann, ann.socket() as wire:
        case, topic = await a_case(ann)
        here, there = Topic(topic), Topic(topic)
        there.take(await wire.ask("subscribe", topic=topic) | {"type": "ok"})
        count = 120
        offsets: list[int] = []
        last_id = ""

        async def write() -> None:
            for number in range(count):
                await rename(live, case, f"Title {number}")
                await asyncio.sleep(dice.uniform(0, 0.004))

        writing = asyncio.create_task(write())
        goal = there.offset + count
        while here.offset < goal:
            async with stream(ann, topic, last_id=last_id) as reader:
                for _ in range(dice.randint(1, 20)):
                    if here.offset >= goal:
                        break
                    event = await reader.next()
                    assert event is not None
                    if event.name == "entry":
                        offsets.append(event.data["data"]["offset"])
                    else:
                        assert not last_id, "the log reached back, so no snapshot was needed"
                        start = event.data["data"]["offset"]
                    here.take(event.data["data"])
                    last_id = event.last_id
        await writing
        assert offsets == list(range(start + 1, goal + 1))
        while there.offset < goal:
            there.take(await wire.until(lambda message: message["type"] == "entry"))
        assert (here.epoch, here.machines) == (there.epoch, there.machines)


async def test_another_epoch_is_answered_by_a_snapshot(live: Live) -> None:
    async with live.person() as ann:
        case, topic = await a_case(ann)
        async with stream(ann, topic) as reader:
            first = await reader.next()
            assert first is not None
            last_id = first.last_id
            shard = shard_keys(shard_of(topic, live.parts.settings.shards))
            await live.parts.redis.set(shard.era, "another")
            await rename(live, case, "After")
            again = await reader.until("snapshot")
            assert again.data["data"]["epoch"].endswith(".another")
        async with stream(ann, topic, last_id=last_id) as reader:
            event = await reader.next()
            assert event is not None
            assert event.name == "snapshot"
            assert event.data["data"]["machines"][0]["context"]["title"] == "After"


async def test_the_header_of_a_reader_goes_before_the_query_of_its_address(live: Live) -> None:
    async with live.person() as ann:
        case, topic = await a_case(ann)
        async with stream(ann, topic) as reader:
            first = await reader.next()
            assert first is not None
            for title in ("One", "Two"):
                await rename(live, case, title)
            one, two = await reader.next(), await reader.next()
        assert one is not None
        assert two is not None
        async with stream(ann, topic, since=first.last_id) as reader:
            again = await reader.next()
            assert again is not None
            assert again.data == one.data
        async with stream(ann, topic, last_id=one.last_id, since=first.last_id) as reader:
            again = await reader.next()
            assert again is not None
            assert again.data == two.data


async def test_passing_messages_come_only_where_asked_for_and_leave_the_position_alone(live: Live) -> None:
    async with live.person() as ann:
        case, topic = await a_case(ann)
        async with stream(ann, topic, passing="1") as with_, stream(ann, topic) as without:
            await with_.until("snapshot")
            await without.until("snapshot")
            await live.parts.engine.publish(topic, case["machine"], "progress", {"done": 1})
            await rename(live, case, "Later")
            passing = await with_.next()
            assert passing is not None
            assert (passing.name, passing.data["data"]["what"]) == ("passing", "progress")
            assert passing.last_id == with_.events[0].last_id
            entry = await without.next()
            assert entry is not None
            assert entry.name == "entry"


async def test_a_membership_that_ends_unannounced_closes_the_stream_at_the_second_look_at_most(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Visitor] = []
    lasts = live.parts.admission.lasts

    async def noting(visitor: Visitor) -> bool:
        looks.append(visitor)
        return await lasts(visitor)

    async with live.person() as ann, live.person("bob") as bob:
        case, topic = await a_case(ann)
        await ann.invite(case, bob, "viewer")
        async with stream(bob, topic) as reader:
            await reader.until("snapshot")
            # Behind the server's back, so that nothing is announced.
            await live.parts.cases.remove_member(case["id"], bob.id)
            monkeypatch.setattr(live.parts.admission, "lasts", noting)
            closed = await reader.next()
            # What was known when the first of them began may have been up to a second old.
            assert 1 <= len(looks) <= 2
            assert closed is not None
            assert (closed.name, closed.data["data"]["code"]) == ("closed", "access.ended")
            assert await reader.next() is None
        response = await bob.call("GET", f"/streams/{topic}")
        assert response.status_code == 404


async def test_nothing_is_sent_after_a_right_has_ended(live: Live) -> None:
    async with live.person() as ann, live.person("bob") as bob:
        case, topic = await a_case(ann)
        await ann.invite(case, bob, "viewer")
        async with stream(bob, topic) as reader:
            await reader.until("snapshot")
            removed = await ann.call("DELETE", f"/api/cases/{case['id']}/members/{bob.id}")
            assert removed.status_code == 204
            await rename(live, case, "Secret")
            while (event := await reader.next()) is not None:
                assert "Secret" not in str(event.data)
            assert reader.events[-1].name == "closed"


async def test_the_right_is_asked_before_each_event(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.sse, "RECHECK_S", 60.0)
    async with live.person() as ann, live.person("bob") as bob:
        case, topic = await a_case(ann)
        await ann.invite(case, bob, "viewer")
        async with stream(bob, topic) as reader:
            await reader.until("snapshot")
            await live.parts.cases.remove_member(case["id"], bob.id)
            await asyncio.sleep(1.1)  # a role is believed for a second
            await rename(live, case, "Secret")
            closed = await reader.next()
            assert closed is not None
            assert closed.name == "closed"


async def test_a_login_that_ends_closes_the_stream(live: Live) -> None:
    async with live.person() as ann:
        _, topic = await a_case(ann)
        async with stream(ann, topic) as reader:
            await reader.until("snapshot")
            await ann.call("POST", "/api/logout")
            closed = await reader.until("closed")
            assert closed.data["data"]["code"] == "auth.required"


async def test_another_role_brings_a_snapshot_with_what_is_allowed_now(live: Live) -> None:
    async with live.person() as ann, live.person("bob") as bob:
        case, topic = await a_case(ann)
        await ann.invite(case, bob, "viewer")
        async with stream(bob, topic) as reader:
            first = await reader.until("snapshot")
            assert first.data["data"]["machines"][0]["allowed"] == []
            await ann.invite(case, bob, "editor")
            again = await reader.until("snapshot")
            assert again.data["data"]["machines"][0]["allowed"] == ["hold", "rename"]
            await rename(live, case, "On")
            entry = await reader.until("entry")
            assert entry.data["data"]["allowed"] == ["hold", "rename"]


async def test_a_server_that_stops_asks_its_readers_to_come_again(
    settings: Settings, services: Services, redis_client: Any, database: str
) -> None:
    async with running(settings, services) as live, live.person() as ann:
        _, topic = await a_case(ann)
        async with stream(ann, topic) as reader:
            await reader.until("snapshot")
            reader.retry_ms = None
            await live.stop_sockets()
            end = await reader.until("resume")
            assert end.data["data"]["code"] == "shutdown"
            assert reader.retry_ms is not None
            assert await reader.next() is None


async def test_a_reader_that_reads_too_slowly_is_told_to_resume_and_not_buffered(live: Live) -> None:
    async with live.person() as ann:
        case, topic = await a_case(ann)
        with socket.create_connection(("127.0.0.1", live.parts.settings.port)) as lazy:
            cookies = "; ".join(f"{name}={value}" for name, value in ann.http.cookies.items())
            head = f"GET /streams/{topic}?passing=1 HTTP/1.1\r\nHost: x\r\nCookie: {cookies}\r\n\r\n"
            lazy.sendall(head.encode())
            await until(lambda: bool(live.parts.hub.topics.get(topic)))
            piece = "x" * 100_000
            for number in range(2_000):
                token = {"attempt": 1, "position": number * 200_000, "text": piece}
                await live.parts.engine.publish(topic, case["machine"], "token", token)
                if not live.parts.hub.topics.get(topic):
                    break
            assert not live.parts.hub.topics.get(topic)
            await until(lambda: not live.parts.sockets.streams)


async def test_a_quiet_stream_says_that_it_is_there(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.sse, "KEEP_ALIVE_S", 0.05)
    async with live.person() as ann:
        _, topic = await a_case(ann)
        async with stream(ann, topic) as reader:
            await reader.until("snapshot")
            reading = asyncio.create_task(reader.next())
            await until(lambda: bool(reader.comments))
            assert not reading.done()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def test_a_reader_that_has_gone_leaves_nothing_behind(live: Live) -> None:
    async with live.person() as ann:
        _, topic = await a_case(ann)
        async with stream(ann, topic) as reader:
            await reader.until("snapshot")
            assert live.parts.sockets.streams == 1
        await until(lambda: not live.parts.sockets.streams and not live.parts.hub.topics)


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/streams/case:none", {}, 404, "not_found"),
        ("/streams/nonsense", {}, 404, "not_found"),
        ("/streams/case:a%00b", {}, 422, "request.invalid"),
        ("{topic}?since=nonsense", {}, 422, "position.invalid"),
        ("{topic}?since=e:-1", {}, 422, "position.invalid"),
        ("{topic}?since=e:99999999999999999999", {}, 422, "position.invalid"),
        ("{topic}", {"Last-Event-ID": "one"}, 422, "position.invalid"),
        ("{topic}?passing=yes", {}, 422, "request.invalid"),
        ("{topic}?color=red", {}, 422, "request.invalid"),
    ],
)
async def test_a_stream_that_cannot_be_is_refused_with_a_problem(
    live: Live, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    async with live.person() as ann:
        _, topic = await a_case(ann)
        response = await ann.http.get(path.format(topic=f"/streams/{topic}"), headers=headers)
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert response.headers["content-type"] == "application/problem+json"


async def test_a_stream_needs_a_login_and_a_head_request_opens_none(live: Live) -> None:
    async with live.person() as ann, live.person("eve", login=False) as eve:
        _, topic = await a_case(ann)
        refused = await eve.http.get(f"/streams/{topic}")
        assert (refused.status_code, refused.json()["code"]) == (401, "auth.required")
        head = await ann.http.head(f"/streams/{topic}")
        assert head.status_code == 200
        assert head.headers["content-type"].startswith("text/event-stream")
        assert head.content == b""
        assert not live.parts.hub.topics
