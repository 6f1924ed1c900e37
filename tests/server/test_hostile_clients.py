"""Whatever one client sends, refuses to read or opens: nobody else feels it."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from server import inbox
from server import sockets as sockets_module
from server.errors import Close
from storage.batch import Batch
from storage.people import People
from tests.patience import PATIENCE_S
from tests.server.crowd import crowd, expected, lines_of, rename, titles
from tests.server.live import Live

HOSTILE: list[str | bytes] = [
    "{",
    "[]",
    "null",
    '{"type": "ping"}',
    '{"type": "ping", "id": 1, "more": 1}',
    '{"type": "subscribe", "id": 1, "topic": ""}',
    b"\x00\x01",
    "x" * 300_000,
    '{"type": "send", "id": 1, "machine": "case-0-x", "event": "' + "e" * 100_000 + '"}',
    "[" * 50_000,
    '{"type": "ping", "id": 99999999999999999999999999}',
    "\ud7ff\0",
]

FRAMES = 5000

FORGED = (
    "__initial__",
    "error.execution",
    "done.state.open",
    "done.invoke.x",
    "spawn",
    "model",
    "send",
    "__class__",
    "leg_found",
    "deadline",
)


async def test_nobody_notices_what_one_client_sends(live: Live) -> None:
    async with live.person("ann") as ann, live.person("eve") as eve:
        case, hers = await ann.case(), await eve.case()
        count = 0
        async with crowd(ann, f"case:{case['id']}", 10) as wires:

            async def unaffected() -> None:
                nonlocal count
                await rename(live, case["machine"], 1, start=count)
                count += 1
                for wire in wires:
                    assert await titles(wire, count) == expected(count)
                    assert (await wire.ask("ping"))["type"] == "ok"

            for frame in HOSTILE:
                async with eve.socket(compression=None) as wire:
                    for _ in range(5):
                        await wire.socket.send(frame)
                    assert await wire.close_code() == Close.BAD_FRAMES
                await unaffected()
            async with eve.socket(compression=None) as wire:
                for event in FORGED:
                    reply = await wire.ask("send", machine=hers["machine"], event=event, data={})
                    assert reply["code"] in ("event.unknown", "event.forbidden"), event
                    other = await wire.ask("send", machine=case["machine"], event=event, data={})
                    assert other["code"] == "not_found"
                await unaffected()
                unchanged = await live.parts.engine.load(hers["machine"])
                assert unchanged is not None
                assert unchanged.revision == 1
            async with eve.socket(compression=None) as wire:
                await wire.socket.send("x" * (2 << 20))  # beyond what the protocol takes at all
                assert await wire.close_code() == 1009
            await unaffected()
            async with eve.socket(compression=None) as wire:
                raw = wire.socket.transport
                raw.write(b"\x83\x80\x00\x00\x00\x00")  # an opcode that there is not
                assert await wire.close_code() == 1002
            await unaffected()
            async with eve.socket(compression=None) as wire:
                wire.socket.transport.write(b"\x81\x82\x00\x00\x00\x00\xff\xfe")  # no UTF-8
                assert await wire.close_code() == 1007
            await unaffected()


async def test_a_flood_ends_its_socket_and_is_felt_by_nobody_else(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Far more than even a starved server answers before it has counted them.
    monkeypatch.setattr(inbox, "FRAMES_AT_ONCE", FRAMES)
    monkeypatch.setattr(inbox, "FRAMES_PER_S", 1)
    async with live.person("ann") as ann, live.person("eve") as eve:
        case = await ann.case()
        async with crowd(ann, f"case:{case['id']}", 10) as wires, eve.socket(compression=None) as wire:
            text = json.dumps({"type": "ping", "id": 1}).encode()
            frame = bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text

            async def flood() -> None:
                try:
                    for _ in range(FRAMES * 4 // 100):
                        wire.socket.transport.write(frame * 100)
                        await asyncio.sleep(0)
                        while wire.socket.transport.get_write_buffer_size() > 1 << 20:  # noqa: ASYNC110
                            await asyncio.sleep(0.01)
                except ConnectionClosed:
                    return

            async def drink() -> None:
                try:
                    while True:
                        await wire.socket.recv()
                except ConnectionClosed:
                    return

            flooding, drinking = asyncio.create_task(flood()), asyncio.create_task(drink())
            for number in range(10):
                await rename(live, case["machine"], 1, start=number)
                for each in wires:
                    assert await titles(each, number + 1) == expected(number + 1)
            async with asyncio.timeout(PATIENCE_S):
                await drinking
            assert wire.socket.close_code == Close.FLOOD
            flooding.cancel()
            await asyncio.gather(flooding, return_exceptions=True)
            assert (await wires[0].ask("ping"))["type"] == "ok"


async def test_one_who_sends_pings_and_reads_no_answers_is_not_listened_to(live: Live) -> None:
    async with live.person() as ann, ann.socket(compression=None) as wire:
        await wire.ask("ping")
        (line,) = lines_of(live)
        wire.socket.transport.pause_reading()
        ping = bytes([0x89, 0x80 | 120, 0, 0, 0, 0]) + b"p" * 120
        for _ in range(400):
            wire.socket.transport.write(ping * 500)
            await asyncio.sleep(0.001)
            if line._choked:
                break
        async with asyncio.timeout(PATIENCE_S):
            while not line._choked:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        assert line.transport.get_write_buffer_size() < 1 << 20
        wire.socket.transport.resume_reading()
        assert (await wire.ask("ping", text="x" * 0))["type"] in ("ok", "error")


async def test_one_person_opens_so_many_sockets_and_no_more(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets_module, "MOST_OF_ONE_PERSON", 3)
    async with live.person("ann") as ann, live.person("bob") as bob, AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(ann.socket()) for _ in range(3)]
        for wire in wires:
            await wire.ask("ping")
        async with ann.socket() as fourth:
            assert await fourth.close_code() == Close.TOO_MANY_SOCKETS
        async with bob.socket() as other:
            assert (await other.ask("ping"))["type"] == "ok"
        await wires[0].socket.close()
        async with asyncio.timeout(PATIENCE_S):
            while not live.parts.sockets.has_room(ann.id):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        async with ann.socket() as again:
            assert (await again.ask("ping"))["type"] == "ok"


async def test_handshakes_without_a_login_ask_nothing_of_the_database(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    look = People._get_all

    async def noting(self: People, users: list[str]) -> Any:
        asked.append(users)
        return await look(self, users)

    # The batch was made with the method as it was.
    monkeypatch.setattr(live.parts.people, "_accounts", Batch(partial(noting, live.parts.people)))
    url = live.url.replace("http", "ws", 1) + "/ws"

    async def knock(cookie: str) -> int | None:
        headers = {"Cookie": cookie} if cookie else {}
        protocols = [Subprotocol("casewire.v1.json")]
        async with connect(url, subprotocols=protocols, additional_headers=headers) as socket:
            await socket.wait_closed()
            return socket.close_code

    cookies = ["", *(f"casewire_session=guess{number}" for number in range(30))]
    assert set(await asyncio.gather(*map(knock, cookies))) == {Close.UNAUTHENTICATED}
    assert asked == []
    async with live.person() as ann, ann.socket() as wire:
        await wire.ask("ping")
    assert asked  # the same way, with a login, is seen here
