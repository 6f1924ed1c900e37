"""Peers that close their websocket at an awkward moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import urlsplit

import pytest
from starlette.requests import HTTPConnection

from server import line as line_module
from server import ws as ws_module
from server.auth import Visitor, visitor_of
from server.line import SocketLine
from tests.patience import PATIENCE_S
from tests.server.live import Live, Person
from tests.server.test_handshake import USUAL, written

CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"
NO_TEXT = b"\x81\x82\0\0\0\0\xff\xfe"
NO_FRAME = b"\xff\xff\xff"


@asynccontextmanager
async def raw_socket(person: Person) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A websocket whose frames the test writes, byte by byte."""
    url = urlsplit(person.live.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in person.http.cookies.jar)
    writer.write(written([*USUAL, (b"Cookie", cookies.encode())]))
    await reader.readuntil(b"\r\n\r\n")
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def attached(live: Live) -> SocketLine:
    async with asyncio.timeout(PATIENCE_S):
        while not live.parts.sockets._turns:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    (line,) = live.parts.sockets._turns
    assert isinstance(line, SocketLine)
    return line


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


async def test_a_stranger_who_closes_before_it_is_known_is_no_error(
    live: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked, known, told = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slowly(connection: HTTPConnection) -> Visitor | None:
        asked.set()
        await known.wait()
        told.set()
        return await visitor_of(connection)

    monkeypatch.setattr(ws_module, "visitor_of", slowly)
    async with live.person(login=False) as eve, raw_socket(eve) as (reader, writer):
        await asked.wait()
        writer.write(CLOSE)
        assert await reader.read() == b"\x88\x02\x03\xe8"
        known.set()
        await told.wait()
        await asyncio.sleep(0.05)
    assert not errors_in(caplog)


async def test_what_is_no_text_is_no_error_with_a_close_frame_behind_it(
    live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    async with live.person() as ann, raw_socket(ann) as (reader, writer):
        await attached(live)
        writer.write(NO_TEXT + CLOSE)
        assert await reader.read() == b"\x88\x02\x03\xe8"
    assert not errors_in(caplog)


async def test_a_server_that_stops_may_meet_a_peer_that_has_just_closed(live: Live) -> None:
    async with live.person() as ann, raw_socket(ann) as (reader, _):
        line = await attached(live)
        line.data_received(CLOSE)
        line.shutdown()
        assert await reader.read() == b"\x88\x02\x03\xe8"


@pytest.mark.parametrize("last", [CLOSE, NO_FRAME], ids=["close", "nonsense"])
async def test_a_peer_that_closes_and_reads_nothing_is_not_kept(
    live: Live, last: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_module, "CLOSE_S", 0.1)
    async with live.person() as ann, raw_socket(ann) as (_, writer):
        cast(asyncio.Transport, writer.transport).pause_reading()
        line = await attached(live)
        line.write(b"x" * (16 << 20))
        # Else nothing is read of a peer that is backed up like this.
        line.transport.set_write_buffer_limits(high=32 << 20)
        line.resume_writing()
        writer.write(last)
        async with asyncio.timeout(PATIENCE_S):
            while not line.disconnected:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
