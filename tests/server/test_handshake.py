"""Handshakes that are read at a glance: as `websockets` reads them, and no door that it would not open."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Iterator

import pytest
from starlette.requests import HTTPConnection
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Origin

from server import line as line_module
from server import ws as ws_module
from server.auth import Visitor, visitor_of
from server.errors import Close
from server.handshake import START, handshake_in
from server.line import SocketLine
from server.session import Session
from tests.patience import PATIENCE_S
from tests.server.live import Live

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
USUAL = [
    (b"Host", b"127.0.0.1:8040"),
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Key", KEY),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Protocol", b"casewire.v1.json"),
]
CHROME = [
    (b"Host", b"127.0.0.1:8040"),
    (b"Connection", b"Upgrade"),
    (b"Pragma", b"no-cache"),
    (b"Cache-Control", b"no-cache"),
    (
        b"User-Agent",
        b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0",
    ),
    (b"Upgrade", b"websocket"),
    (b"Origin", b"http://127.0.0.1:8040"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Accept-Encoding", b"gzip, deflate, br, zstd"),
    (b"Accept-Language", b"en-US,en;q=0.9"),
    (b"Cookie", b"casewire_session=abc_DEF-123; other=1"),
    (b"Sec-WebSocket-Key", KEY),
    (b"Sec-WebSocket-Extensions", b"permessage-deflate; client_max_window_bits"),
    (b"Sec-WebSocket-Protocol", b"casewire.v1.json"),
]
FIREFOX = [*CHROME[:1], (b"Connection", b"keep-alive, Upgrade"), *CHROME[2:]]
PROXY = [(name.lower(), value) for name, value in CHROME] + [(b"x-forwarded-for", b"10.0.0.1")]


def written(fields: list[tuple[bytes, bytes]], between: bytes = b": ") -> bytes:
    return START + b"".join(name + between + value + b"\r\n" for name, value in fields) + b"\r\n"


@pytest.mark.parametrize("fields", [USUAL, CHROME, FIREFOX, PROXY])
def test_what_browsers_and_proxies_write_is_read(fields: list[tuple[bytes, bytes]]) -> None:
    found = handshake_in(written(fields))
    assert found is not None
    assert found.subprotocols == ["casewire.v1.json"]
    assert list(found.headers.items()) == [(name.lower(), value) for name, value in fields]


NAMES = [*(name for name, _ in CHROME), b"Content-Length", b"Transfer-Encoding", b"X-Odd", b"x y", b""]
VALUES = [
    *(value for _, value in CHROME),
    *(
        b"",
        b"0",
        b"8",
        b"a, b",
        b"a,,b",
        b'"a"',
        b"a b",
        b"\tx",
        b"x ",
        b"x\ty",
        b"\xe9",
        b"x\0",
        b"x\ny",
        b"x\r\ny",
    ),
    *(
        b"Upgrade, Upgrade",
        b"upgrade",
        b"WebSocket",
        b"h2c",
        b"casewire.v1.json, x",
        b"casewire.v1.json,",
        b"a;b",
    ),
    *(KEY[:-1], b"!" + KEY[1:], KEY[:20] + b"====", KEY + KEY),
]


def variants() -> Iterator[bytes]:
    """A usual handshake with one thing otherwise: a field more, less or another, or how it is written."""
    for place, (name, _) in enumerate(CHROME):
        yield written(CHROME[:place] + CHROME[place + 1 :])
        for value in VALUES:
            yield written([*CHROME[:place], (name, value), *CHROME[place + 1 :]])
    for name in NAMES:
        for value in VALUES:
            yield written([*CHROME, (name, value)])
    for between in (b":", b":  ", b" : ", b":\t", b"", b" "):
        yield written(CHROME, between)
    whole = written(CHROME)
    yield from (whole + b"\x89\x80\0\0\0\0", whole + b"hello", whole[:-2], b"\r\n" + whole, whole + whole)
    yield from (
        whole.replace(b"\r\n", b"\n", 1),
        whole.replace(b"\r\n", b"\n"),
        whole.replace(b"1.1", b"1.0", 1),
    )
    yield from (whole.replace(b"GET", b"POST", 1), whole.replace(b"/ws", b"/ws?x", 1), whole[:-4] + b"\n\n")
    for size in (8_000, 9_000, 100_000):
        yield written([*CHROME, (b"X-Long", b"x" * size)])
    for count in (10, 100, 200):
        yield written(CHROME + [(b"X-%d" % number, b"") for number in range(count)])


def test_what_is_read_is_what_the_library_reads() -> None:
    read = 0
    for data in variants():
        found = handshake_in(data)
        if found is None:
            continue
        read += 1
        library = ServerProtocol(logger=logging.getLogger("tests.quiet"))
        library.receive_data(data)
        events = library.events_received()
        assert len(events) == 1, data
        (request,) = events
        assert isinstance(request, Request), data
        response = library.accept(request)
        assert response.status_code == 101, data
        assert response.headers["Sec-WebSocket-Accept"] == found.accept
        raw = [(name.lower().encode(), value.encode()) for name, value in request.headers.raw_items()]
        assert raw == list(found.headers.items()), data
        offered = request.headers.get_all("Sec-WebSocket-Protocol")
        assert [each.strip() for header in offered for each in header.split(",")] == found.subprotocols
    assert read > 100


def test_the_answer_is_the_library_s_with_the_subprotocol() -> None:
    found = handshake_in(written(USUAL))
    assert found is not None
    head, *fields = found.answer("casewire.v1.json", [(b"date", b"today")]).decode().split("\r\n")
    library = ServerProtocol()
    library.receive_data(written(USUAL))
    (request,) = library.events_received()
    assert isinstance(request, Request)
    theirs = library.accept(request)
    theirs.headers["Sec-WebSocket-Protocol"] = "casewire.v1.json"
    del theirs.headers["Date"]
    theirs.headers["date"] = "today"
    expected_head, *expected = theirs.serialize().decode().split("\r\n")
    assert head == expected_head
    assert sorted(fields) == sorted(expected)


@pytest.fixture(params=["at a glance", "by the application"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """How a handshake is read; that it is read so is checked at the end."""
    read = []

    def noting(data: bytes) -> object:
        read.append(handshake_in(data) if request.param == "at a glance" else None)
        return read[-1]

    monkeypatch.setattr(line_module, "handshake_in", noting)
    yield request.param
    assert read
    assert all(found is not None for found in read) == (request.param == "at a glance")


async def test_either_way_leads_to_the_same_session(live: Live, way: str) -> None:
    async with live.person() as ann, ann.socket() as wire:
        assert wire.socket.subprotocol == "casewire.v1.json"
        assert wire.socket.response is not None
        assert "date" in wire.socket.response.headers
        case = await ann.case()
        assert (await wire.ask("subscribe", topic=f"case:{case['id']}"))["type"] == "ok"


async def test_either_way_is_closed_to_strangers_and_to_other_sites(live: Live, way: str) -> None:
    async with live.person() as ann, ann.socket(origin=Origin("https://evil.example.org")) as wire:
        assert await wire.close_code() == Close.FORBIDDEN_ORIGIN
    async with live.person("eve", login=False) as eve, eve.socket() as wire:
        assert await wire.close_code() == Close.UNAUTHENTICATED


async def test_what_is_said_before_anybody_is_known_is_answered_then(
    live: Live, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = asyncio.Event()

    async def slowly(connection: HTTPConnection) -> Visitor | None:
        await known.wait()
        return await visitor_of(connection)

    monkeypatch.setattr(ws_module, "visitor_of", slowly)
    async with live.person() as ann, ann.socket() as wire:
        asked = asyncio.create_task(wire.ask("ping"))
        await asyncio.sleep(0.1)
        assert not asked.done()
        known.set()
        assert (await asked)["type"] == "ok"


async def test_a_closed_socket_leaves_nothing_that_only_a_look_for_cycles_would_free(
    live: Live, way: str
) -> None:
    async with live.person() as ann:
        case = await ann.case()
        kept: list[weakref.ref[object]] = []
        gc.collect()
        gc.disable()
        try:
            for leave in ("close", "abort"):
                async with ann.socket() as wire:
                    await wire.ask("subscribe", topic=f"case:{case['id']}")
                    (line,) = live.parts.sockets._turns
                    assert isinstance(line, SocketLine)
                    assert isinstance(line._session, Session)
                    parts = (line, line.conn, line._session, line._session._following)
                    kept += [weakref.ref(part) for part in parts]
                    del line, parts
                    if leave == "abort":
                        wire.socket.transport.abort()
                async with asyncio.timeout(PATIENCE_S):
                    while any(ref() is not None for ref in kept):  # noqa: ASYNC110 - nothing tells
                        await asyncio.sleep(0.01)
        finally:
            gc.enable()
