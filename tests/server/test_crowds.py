"""Many sockets on one topic: each gets every entry once, in order, whatever one of them does."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import stat
import struct
from typing import Any

import pytest

from server import audience as audience_module
from server import lane as lane_module
from server.errors import Close
from server.fanout import Counts, Descriptors, send_all
from server.known_topic import KnownTopic
from server.line import SocketLine
from server.published import Published
from server.rights import KNOWN_S
from tests.patience import PATIENCE_S
from tests.server.crowd import MANY, crowd, expected, lines_of, owners_and_viewers, rename, titles
from tests.server.live import Live, Wire


async def test_everybody_gets_every_entry_once_in_order(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        async with crowd(ann, f"case:{case['id']}") as wires:
            await rename(live, case["machine"], 30)
            for wire in wires:
                assert await titles(wire, 30) == expected(30)


async def test_one_who_stops_reading_is_sent_away_and_the_others_lose_nothing(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        topic = f"case:{case['id']}"
        async with crowd(ann, topic) as wires:
            slow, others = wires[0], wires[1:]
            slow.socket.transport.pause_reading()
            piece = "x" * 100_000
            for number in range(1_000):
                token = {"attempt": 1, "position": number * 200_000, "text": piece}
                await live.parts.engine.publish(topic, case["machine"], "token", token)
                for wire in others:
                    assert (await wire.read())["data"]["position"] == number * 200_000
                    wire.seen.clear()
                if len(live.parts.sockets) < MANY:
                    break
            assert len(live.parts.sockets) == MANY - 1
            slow.socket.transport.resume_reading()
            assert await slow.close_code() == Close.SLOW
            await rename(live, case["machine"], 5)
            for wire in others:
                assert await titles(wire, 5) == expected(5)


async def test_one_who_pauses_gets_the_rest_of_the_frame_and_all_that_followed(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        topic = f"case:{case['id']}"
        async with crowd(ann, topic) as wires:
            pausing = wires[0]
            pausing.socket.transport.pause_reading()
            filler = {"attempt": 1, "position": 0, "text": "x" * 400_000}
            for number in range(100):
                await live.parts.engine.publish(topic, case["machine"], f"filler {number}", filler)
                for wire in wires[1:]:
                    await wire.until(lambda m, what=f"filler {number}": m.get("what") == what)
                if sum(line.blocked for line in lines_of(live)) == 1:
                    break
            else:
                raise AssertionError("the kernel takes all of it")
            await rename(live, case["machine"], 10)
            for wire in wires[1:]:
                assert await titles(wire, 10) == expected(10)
            pausing.socket.transport.resume_reading()
            assert await titles(pausing, 10) == expected(10)
            assert not any(line.blocked for line in lines_of(live))
            await rename(live, case["machine"], 10, start=10)
            for wire in wires:
                assert (await titles(wire, 20))[-1] == "19"


async def test_a_membership_that_ended_unannounced_is_found_before_anything_is_sent(live: Live) -> None:
    async with owners_and_viewers(live) as (case, bob, owners, viewers):
        await live.parts.cases.remove_member(case["id"], bob.id)
        await asyncio.sleep(KNOWN_S)
        await rename(live, case["machine"], 2, start=1)
        for wire in viewers:
            assert (await wire.read())["type"] == "closed"
            assert (await wire.ask("ping"))["type"] == "ok"
            assert [m["type"] for m in wire.seen].count("entry") == 1
        for wire in owners:
            assert await titles(wire, 3) == expected(3)


async def test_what_waits_for_roles_reaches_also_those_whose_socket_stalls_meanwhile(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audience_module, "_TRY_S", PATIENCE_S)
    rights = live.parts.rights
    asking, answered = asyncio.Event(), asyncio.Event()
    ask = rights.ask

    async def slowly(topic: str, users: Any) -> None:
        asking.set()
        await answered.wait()
        await ask(topic, users)

    async with live.person() as ann:
        case = await ann.case()
        async with crowd(ann, f"case:{case['id']}") as wires:
            await rename(live, case["machine"], 1)
            for wire in wires:
                assert await titles(wire, 1) == expected(1)
            await asyncio.sleep(KNOWN_S)
            monkeypatch.setattr(rights, "ask", slowly)
            await rename(live, case["machine"], 3, start=1)
            async with asyncio.timeout(PATIENCE_S):
                await asking.wait()
            stalled = lines_of(live)[:5]
            for line in stalled:  # as their transports would
                line.pause_writing()
            await rename(live, case["machine"], 2, start=4)
            await asyncio.sleep(0.1)
            answered.set()
            for line in stalled:
                line.resume_writing()
            await rename(live, case["machine"], 1, start=6)
            for wire in wires:
                assert await titles(wire, 7) == expected(7)


def believed_long(known: KnownTopic) -> None:
    """Have the roles of who follows a topic believed, however long the test takes."""
    assert known.audience is not None
    known.audience._believed_until = math.inf


async def test_what_comes_in_one_turn_is_sent_at_once_and_whole(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def noting(fds: Descriptors, frame: bytes, sent: Counts) -> int:
        calls.append(len(frame))
        return send_all(fds, frame, sent)

    monkeypatch.setattr(lane_module, "send_all", noting)
    async with live.person() as ann:
        case = await ann.case()
        topic = f"case:{case['id']}"
        async with crowd(ann, topic) as wires:
            await rename(live, case["machine"], 1)
            for wire in wires:
                assert await titles(wire, 1) == expected(1)
            known = live.parts.hub._topics[topic]
            believed_long(known)

            def publish(first: int, count: int, size: int) -> None:
                for position in range(first, first + count):
                    data = {"attempt": 1, "position": position, "text": "x" * size}
                    message = {
                        "type": "passing",
                        "topic": topic,
                        "machine": "m",
                        "what": "token",
                        "data": data,
                    }
                    known.offer(Published(message, size))

            async def arrived(wire: Wire, first: int, count: int) -> None:
                for position in range(first, first + count):
                    assert (await wire.read())["data"]["position"] == position

            calls.clear()
            publish(0, 20, 100)
            assert calls == []
            for wire in wires:
                await arrived(wire, 0, 20)
            assert len(calls) == 1
            calls.clear()
            publish(20, 20, 40_000)  # much is not kept until the end of the turn
            assert len(calls) >= 9
            for wire in wires:
                await arrived(wire, 20, 20)
            assert max(calls) < 3 * 40_000
            calls.clear()
            assert known.audience is not None
            known.audience._believed_until = 0.0
            publish(40, 20, 40_000)  # nor sent in one piece once the roles have been looked up
            assert calls == []
            for wire in wires:
                await arrived(wire, 40, 20)
            assert max(calls) < 3 * 40_000
            # Whoever leaves the lane or the topic in the middle of a turn gets all, or nothing, of it.
            publish(60, 3, 100)
            stalled, gone = lines_of(live)[:2]
            stalled.pause_writing()
            stalled.resume_writing()
            gone.end(Close.SHUTDOWN)
            publish(63, 2, 100)
            leaving = gone.transport.get_extra_info("peername")
            for wire in wires:
                if wire.socket.local_address == leaving:
                    assert await wire.close_code() == Close.SHUTDOWN
                else:
                    await arrived(wire, 60, 5)


async def test_what_waits_for_the_end_of_a_turn_is_not_sent_to_whose_right_ends_in_it(live: Live) -> None:
    async with owners_and_viewers(live) as (case, bob, owners, viewers):
        topic = f"case:{case['id']}"
        await live.parts.cases.remove_member(case["id"], bob.id)
        token = {"type": "passing", "topic": topic, "machine": "m", "what": "token", "data": {}}
        live.parts.hub._topics[topic].offer(Published(token, 100))
        live.parts.rights._forget(bob.id)  # as when the announcement is heard
        for wire in owners:
            assert (await wire.read())["type"] == "passing"
        for wire in viewers:
            assert (await wire.read())["type"] == "closed"


async def test_a_few_do_not_wait_for_the_end_of_a_turn(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    async with live.person() as ann:
        case = await ann.case()
        topic = f"case:{case['id']}"
        async with crowd(ann, topic, 3) as wires:
            await rename(live, case["machine"], 1)
            for wire in wires:
                assert await titles(wire, 1) == expected(1)
            written: list[SocketLine] = []
            believed_long(live.parts.hub._topics[topic])
            monkeypatch.setattr(SocketLine, "write", lambda line, frame: written.append(line))
            token = {"type": "passing", "topic": topic, "machine": "m", "what": "token", "data": {}}
            live.parts.hub._topics[topic].offer(Published(token, 100))
            assert len(written) == 3
            monkeypatch.undo()


async def test_each_role_sees_what_it_may_do(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        case = await ann.case()
        topic = f"case:{case['id']}"
        await ann.invite(case, bob, "viewer")
        async with crowd(ann, topic) as owners, crowd(bob, topic) as viewers:
            await rename(live, case["machine"], 1)
            for wires, allowed in ((owners, ["close", "hold", "remove", "rename"]), (viewers, [])):
                for wire in wires:
                    entry = await wire.until(lambda m: m["type"] == "entry")
                    assert entry["allowed"] == allowed


async def test_a_descriptor_is_left_before_it_can_be_somebody_else_s(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_still = []
    over = SocketLine._over

    def noting(self: SocketLine, code: int | None) -> None:
        if self.fd >= 0:
            open_still.append(stat.S_ISSOCK(os.fstat(self.fd).st_mode))
        over(self, code)

    monkeypatch.setattr(SocketLine, "_over", noting)
    async with live.person() as ann:
        case = await ann.case()
        async with crowd(ann, f"case:{case['id']}") as wires:
            for wire in wires[:8]:  # a reset, which the next write meets
                raw = wire.socket.transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                wire.socket.transport.abort()
            for wire in wires[8:12]:
                await wire.socket.close()
            await rename(live, case["machine"], 5)
            for wire in wires[12:]:
                assert await titles(wire, 5) == expected(5)
            async with asyncio.timeout(PATIENCE_S):
                while len(live.parts.sockets) > MANY - 12:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
    assert open_still.count(True) == len(open_still) >= 12
