"""The websocket from outside: what it says, what it refuses, and how it ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from redis.exceptions import ConnectionError as LostConnection
from websockets.asyncio.client import connect
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.typing import Origin, Subprotocol
from websockets.uri import parse_uri

from server.client import Topic
from server.errors import Close
from server.services import Services
from server.settings import Settings
from server.views import machine_view
from tests.patience import PATIENCE_S
from tests.server.live import Live, Wire, running


def known(wire: Wire, topic: str) -> Topic:
    """What a client that applied everything it was sent knows of a topic."""
    state = Topic(topic)
    for message in wire.seen:
        if message.get("topic") == topic and "offset" in message:
            state.take(message)
    return state


async def ask_question(
    wire: Wire, topic: str, question: str = "Who signed?", **fields: Any
) -> dict[str, Any]:
    return await wire.ask("spawn", kind="query", topic=topic, data={"question": question}, **fields)


async def test_a_subscriber_gets_a_snapshot_and_then_what_happens(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        case = await ann.case("A bridge")
        topic = f"case:{case['id']}"
        first = await wire.ask("subscribe", topic=topic)
        assert (first["type"], first["recovered"], first["more"]) == ("ok", False, False)
        (machine,) = first["machines"]
        assert (machine["machine"], machine["configuration"]) == (case["machine"], ["open"])
        assert machine["allowed"] == ["close", "hold", "remove", "rename"]
        sent = await wire.ask("send", machine=case["machine"], event="hold", data={})
        assert (sent["to"], sent["revision"], sent["repeated"]) == (["pending"], 2, False)
        assert sent["allowed"] == ["close", "proceed", "remove", "rename"]
        entry = next((m for m in wire.seen if m["type"] == "entry"), None) or await wire.read()
        assert (entry["event"], entry["from"], entry["to"]) == ("hold", ["open"], ["pending"])
        assert (entry["offset"], entry["actor"], entry["gone"]) == (first["offset"] + 1, ann.id, False)


async def test_a_snapshot_and_its_entries_equal_a_fresh_snapshot(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        case = await ann.case()
        topic = f"case:{case['id']}"
        await wire.ask("subscribe", topic=topic)
        query = (await ask_question(wire, topic))["machine"]
        await wire.ask("send", machine=case["machine"], event="rename", data={"title": "Two bridges"})
        await wire.ask("send", machine=query, event="cancel", data={})
        await ask_question(wire, topic, "Who paid?")
        await ann.call("POST", f"/api/cases/{case['id']}/pois", {"name": "Ada Example"})
        there = await live.parts.store.read_topic(topic)
        while known(wire, topic).offset < there.offset:
            await wire.read()
        here = known(wire, topic)
        assert (here.epoch, here.offset) == (there.epoch, there.offset)
        assert here.machines == {machine.id: machine_view(machine, "owner") for machine in there.machines}


async def test_a_client_that_was_away_gets_what_it_missed_and_nothing_twice(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        topic = f"case:{case['id']}"
        async with ann.socket() as wire:
            first = await wire.ask("subscribe", topic=topic)
        async with ann.socket() as wire:
            for title in ("One", "Two", "Three"):
                await wire.ask("send", machine=case["machine"], event="rename", data={"title": title})
            since = {"epoch": first["epoch"], "offset": first["offset"]}
            again = await wire.ask("subscribe", topic=topic, since=since)
            assert again["recovered"] is True
            offsets = [entry["offset"] for entry in again["entries"]]
            assert offsets == [first["offset"] + n for n in (1, 2, 3)]
            assert [entry["context"]["title"] for entry in again["entries"]] == ["One", "Two", "Three"]
            assert all("allowed" in entry for entry in again["entries"])


async def test_an_unknown_epoch_is_answered_by_a_whole_snapshot(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        case = await ann.case()
        reply = await wire.ask(
            "subscribe", topic=f"case:{case['id']}", since={"epoch": "of another life", "offset": 1}
        )
        assert reply["recovered"] is False
        assert [machine["machine"] for machine in reply["machines"]] == [case["machine"]]


async def test_a_repeated_event_id_is_applied_once_and_answered_as_the_first_time(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        case = await ann.case()
        send = {"machine": case["machine"], "event": "hold", "data": {}, "event_id": "once"}
        first = await wire.ask("send", **send)
        again = await wire.ask("send", **send)
        assert (first["repeated"], again["repeated"]) == (False, True)
        assert (again["revision"], again["to"]) == (first["revision"], first["to"]) == (2, ["pending"])
        topic = f"case:{case['id']}"
        one = await ask_question(wire, topic, event_id="asked")
        two = await ask_question(wire, topic, event_id="asked")
        assert (two["machine"], two["repeated"]) == (one["machine"], True)


async def test_a_client_cannot_use_up_the_event_id_of_a_result(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        topic = f"case:{(await ann.case())['id']}"
        query = (await ask_question(wire, topic))["machine"]
        snapshot = await live.parts.engine.load(query)
        assert snapshot is not None
        effect = next(e for e, stage in snapshot.awaiting.items() if stage == "by_words")
        # A vote is not possible yet, a question is: any accepted event would do to take the id.
        await ask_question(wire, topic, event_id=effect)
        outcome = await live.parts.engine.send(
            query,
            "leg_found",
            {"effect": effect, "stage": "by_words", "found": []},
            source="handler",
            event_id=effect,
        )
        assert outcome.repeated is False


async def test_events_of_handlers_and_timers_cannot_be_sent_by_a_client(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        topic = f"case:{(await ann.case())['id']}"
        query = (await ask_question(wire, topic))["machine"]
        snapshot = await live.parts.engine.load(query)
        assert snapshot is not None
        effect = next(iter(snapshot.awaiting))
        for event, data in (
            ("leg_found", {"effect": effect, "stage": "by_words", "found": []}),
            ("deadline", {"stage": "by_words"}),
            ("broke", {"effect": effect, "stage": "by_words", "reason": "no"}),
        ):
            reply = await wire.ask("send", machine=query, event=event, data=data)
            assert (reply["type"], reply["code"]) == ("error", "event.forbidden")
        forged = await wire.ask("spawn", kind="case", topic=topic, data={"title": "Mine"})
        assert forged["code"] == "event.forbidden"
        unchanged = await live.parts.engine.load(query)
        assert unchanged is not None
        assert unchanged.revision == snapshot.revision


async def test_a_refused_event_tells_what_is_possible(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        case = await ann.case()
        reply = await wire.ask("send", machine=case["machine"], event="reopen", data={})
        assert (reply["type"], reply["code"], reply["temporary"]) == ("error", "event.not_allowed", False)
        assert reply["allowed"] == ["close", "hold", "remove", "rename"]
        unknown = await wire.ask("send", machine=case["machine"], event="__initial__", data={})
        assert unknown["code"] == "event.unknown"
        unfit = await wire.ask("send", machine=case["machine"], event="rename", data={"title": ""})
        assert unfit["code"] == "event.payload"
        nul = await wire.ask("send", machine=case["machine"], event="rename", data={"title": "a\0b"})
        assert nul["code"] == "request.invalid"


async def test_an_outdated_revision_is_refused(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        case = await ann.case()
        rename = {"machine": case["machine"], "event": "rename", "data": {"title": "New"}}
        assert (await wire.ask("send", **rename, if_revision=1))["revision"] == 2
        assert (await wire.ask("send", **rename, if_revision=1))["code"] == "machine.revision"


async def test_what_is_allowed_follows_the_role_of_each_page(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        case = await ann.case()
        topic = f"case:{case['id']}"
        await ann.invite(case, bob, "viewer")
        async with ann.socket() as owner, bob.socket() as viewer:
            assert (await viewer.ask("subscribe", topic=topic))["machines"][0]["allowed"] == []
            await owner.ask("subscribe", topic=topic)
            await owner.ask("send", machine=case["machine"], event="close", data={})
            seen = [await wire.until(lambda m: m["type"] == "entry") for wire in (owner, viewer)]
            assert [entry["allowed"] for entry in seen][1] == []
            entry = next(m for m in owner.seen if m["type"] == "entry")
            assert entry["allowed"] == ["remove", "reopen"]
            refused = await viewer.ask("send", machine=case["machine"], event="reopen", data={})
            assert refused["code"] == "event.forbidden"


async def test_topics_of_others_cannot_be_told_from_topics_that_are_not(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob, bob.socket() as wire:
        case = await ann.case()
        answers = [
            await wire.ask("subscribe", topic=topic)
            for topic in (f"case:{case['id']}", "case:nothing", f"user:{ann.id}", "system", "import:x", "x")
        ]
        assert {(a["type"], a["code"], a["message"]) for a in answers} == {
            ("error", "not_found", "there is no such topic")
        }
        for machine in (case["machine"], "case-0-nothing", "no id"):
            reply = await wire.ask("send", machine=machine, event="hold", data={})
            assert (reply["code"], reply["message"]) == ("not_found", "there is no such machine")
        reply = await ask_question(wire, f"case:{case['id']}")
        assert reply["code"] == "not_found"


async def test_the_system_s_topic_is_for_administrators(live: Live) -> None:
    async with live.person("first") as admin, admin.socket() as wire:
        assert (await wire.ask("subscribe", topic="system"))["type"] == "ok"


async def test_a_membership_that_ends_closes_the_topic_and_nothing_follows(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        case = await ann.case()
        topic = f"case:{case['id']}"
        await ann.invite(case, bob, "editor")
        async with bob.socket() as wire:
            await wire.ask("subscribe", topic=topic)
            await ann.call("DELETE", f"/api/cases/{case['id']}/members/{bob.id}")
            closed = await wire.until(lambda m: m["type"] == "closed")
            assert (closed["topic"], closed["code"]) == (topic, "access.ended")
            await ann.call("POST", f"/api/cases/{case['id']}/pois", {"name": "Ada Example"})
            await wire.ask("ping")
            after = wire.seen[wire.seen.index(closed) + 1 :]
            assert [message["type"] for message in after] == ["ok"]
            assert (await wire.ask("subscribe", topic=topic))["code"] == "not_found"


async def test_another_role_brings_a_snapshot_with_what_is_allowed_now(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        case = await ann.case()
        await ann.invite(case, bob, "viewer")
        async with bob.socket() as wire:
            await wire.ask("subscribe", topic=f"case:{case['id']}")
            await ann.invite(case, bob, "editor")
            snapshot = await wire.until(lambda m: m["type"] == "snapshot")
            allowed = {m["machine"]: m["allowed"] for m in snapshot["machines"]}
            assert allowed[case["machine"]] == ["hold", "rename"]


async def test_a_logout_closes_the_sockets_of_that_login_and_no_others(live: Live) -> None:
    async with live.person("ann") as ann, live.person("ann", login=False) as elsewhere:
        await elsewhere.login()
        async with ann.socket() as one, elsewhere.socket() as two:
            await one.ask("ping")
            await two.ask("ping")
            await ann.call("POST", "/api/logout")
            assert await one.close_code() == Close.UNAUTHENTICATED
            assert (await two.ask("ping"))["type"] == "ok"


async def test_nobody_gets_in_without_a_login(live: Live) -> None:
    async with live.person(login=False) as stranger, stranger.socket() as wire:
        assert await wire.close_code() == Close.UNAUTHENTICATED


async def test_a_page_of_another_site_cannot_use_the_login(live: Live) -> None:
    async with live.person() as ann, ann.socket(origin=Origin("https://evil.example.org")) as wire:
        assert await wire.close_code() == Close.FORBIDDEN_ORIGIN


async def test_another_subprotocol_is_refused_before_anything_is_said(live: Live) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(live.url.replace("http", "ws", 1) + "/ws", subprotocols=[Subprotocol("casewire.v0")])
    assert refused.value.response.status_code == 422
    body = refused.value.response.body
    assert body is not None
    assert json.loads(body)["code"] == "subprotocol.missing"


async def test_bad_frames_get_errors_and_too_many_of_them_the_end(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        frames: list[tuple[str | bytes, str]] = [
            ("{", "frame.not_json"),
            ('{"type": "dance", "id": 7}', "frame.invalid"),
            (json.dumps({"type": "ping", "id": 1, "data": "x" * 300_000}), "frame.too_large"),
            (b"\x00\x01", "frame.not_text"),
        ]
        for frame, code in frames:
            await wire.socket.send(frame)
            reply = await wire.read()
            assert (reply["type"], reply["code"]) == ("error", code)
            assert reply["id"] == (7 if "dance" in str(frame) else None)
        assert (await wire.ask("ping"))["type"] == "ok"
        for _ in range(5):
            await wire.socket.send("[]")
        assert await wire.close_code() == Close.BAD_FRAMES


async def test_a_server_that_stops_tells_its_pages_to_come_again(
    settings: Settings, services: Services, redis_client: Any, database: str
) -> None:
    async with running(settings, services) as live, live.person() as ann, ann.socket() as wire:
        await wire.ask("ping")
        await live.stop_sockets()
        assert await wire.close_code() == Close.SHUTDOWN
        assert len(live.parts.sockets) == 0


async def test_a_page_that_answers_no_ping_is_told_to_come_again(
    settings: Settings, services: Services, redis_client: Any, database: str
) -> None:
    async with running(settings, services, ping_s=0.1) as live, live.person() as ann:
        cookies = "; ".join(f"{name}={value}" for name, value in ann.http.cookies.items())
        uri = parse_uri(live.url.replace("http", "ws", 1) + "/ws")
        protocol = ClientProtocol(
            uri, origin=Origin(live.url), subprotocols=[Subprotocol("casewire.v1.json")]
        )
        reader, writer = await asyncio.open_connection(uri.host, uri.port)
        request = protocol.connect()
        request.headers["Cookie"] = cookies
        protocol.send_request(request)
        writer.writelines(protocol.data_to_send())
        closing: Frame | None = None
        async with asyncio.timeout(PATIENCE_S):
            while closing is None and (data := await reader.read(65536)):
                protocol.receive_data(data)  # its pongs are never written
                frames = [event for event in protocol.events_received() if isinstance(event, Frame)]
                closing = next((frame for frame in frames if frame.opcode is Opcode.CLOSE), None)
        writer.close()
        assert closing is not None
        assert int.from_bytes(bytes(closing.data)[:2], "big") == Close.NO_PONG


async def test_a_page_that_reads_too_slowly_is_closed_and_not_buffered(
    settings: Settings, services: Services, redis_client: Any, database: str
) -> None:
    async with running(settings, services, ping_s=600) as live, live.person() as ann:
        case = await ann.case()
        topic = f"case:{case['id']}"
        async with ann.socket(max_queue=None, compression=None) as wire:
            await wire.ask("subscribe", topic=topic)
            wire.socket.transport.pause_reading()
            piece = "x" * 100_000
            for number in range(2_000):
                # Pieces with gaps between them cannot be merged into one.
                token = {"attempt": 1, "position": number * 200_000, "text": piece}
                await live.parts.engine.publish(topic, case["machine"], "token", token)
                if not len(live.parts.sockets):
                    break
            assert len(live.parts.sockets) == 0
            wire.socket.transport.resume_reading()
            assert await wire.close_code() == Close.SLOW


async def test_a_store_that_is_down_at_the_handshake_means_come_again(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: object) -> None:
        raise LostConnection("no Redis")

    async with live.person() as ann:
        monkeypatch.setattr(live.parts.sessions, "find", silent)
        async with ann.socket() as wire:
            assert await wire.close_code() == Close.INSUFFICIENT
