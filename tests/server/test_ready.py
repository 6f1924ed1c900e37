"""Repeated requests are answered without being parsed, to the byte as uvicorn answers them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import pytest_asyncio
import uvicorn
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server import front, ready
from server.app import create_app
from server.auth import COOKIE
from server.front import FOR_VISITORS, PUBLIC
from server.metrics import tally
from server.repeats import HEAD_BYTES
from server.rights import KNOWN_S
from server.serving import server_of
from tests.server.live import Live, Person
from tests.server.spoken import TODAY, Spoken

LOGIN = b"<login>"
"""Stands in generated requests for a cookie that is only known later."""
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass
class Sides:
    """The same application behind our protocol, and behind uvicorn's own."""

    live: Live
    ours: uvicorn.Config
    stock: uvicorn.Config
    login: bytes
    ann: Person

    def connect(self) -> Spoken:
        """To ours."""
        return Spoken(self.ours, self.live.parts)

    def charts(self, path: str = "/api/charts/case.json") -> bytes:
        """A request for what needs a login, with one."""
        return f"GET {path} HTTP/1.1\r\nHost: x\r\nCookie: ".encode() + self.login + b"\r\n\r\n"


@pytest_asyncio.fixture(loop_scope="session")
async def sides(live: Live, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sides]:
    """Beliefs last long, so that a slow machine does not end them."""
    monkeypatch.setattr(front, "KNOWN_S", 600.0)

    async def nothing() -> None:
        """No websocket is to be closed."""

    def config() -> uvicorn.Config:
        parts = live.parts
        made = server_of(create_app(parts.settings, parts.services), parts.settings, nothing).config
        made.load()
        return made

    stock = config()
    stock.http_protocol_class = HttpToolsProtocol
    async with live.person() as ann:
        login = f"{COOKIE}={ann.http.cookies[COOKIE]}".encode()
        yield Sides(live, config(), stock, login, ann)


def answered() -> dict[tuple[str, ...], float]:
    """Requests by route, and how many were timed."""
    found: dict[tuple[str, ...], float] = {}
    for series, value in tally.sums.items():
        if series[0] == "casewire_http_requests":
            found[series] = value
        elif series[0] == "casewire_http_request_seconds" and series[-1] != "sum":
            found[series[:2]] = found.get(series[:2], 0.0) + value
    return found


TARGETS = st.sampled_from(
    [
        *PUBLIC[:1],
        *FOR_VISITORS[:3],
        "/healthz?",
        "/healthz?active=",
        "/health%7a",
        "/healthz#part",
        "//healthz",
        "/healthz/",
        "/api/nothing",
        "http://x/healthz",
        "*",
        "",
    ]
).map(str.encode)
LINES = st.sampled_from(
    [
        b"Host: x",
        b"Cookie: " + LOGIN,
        b"cookie:" + LOGIN,
        b"Cookie: casewire_session=wrong",
        b"Authorization: Bearer wrong",
        b"Authorization: Basic eDp5",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: Upgrade\r\nUpgrade: h2c",
        b"Content-Length: 0",
        b"Content-Length: 3",
        b"Content-Length: x",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue",
        b"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        b"If-None-Match: *",
        b"X:",
        b": of no name",
        b"X: \0",
        b"X: \xff",
        b" folded",
    ]
)


@st.composite
def odd_requests(draw: st.DrawFn) -> bytes:
    """Something like a request."""
    method = draw(st.sampled_from([b"GET", b"GET", b"HEAD", b"POST", b"get", b"CONNECT", b"PRI"]))
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"http/1.1", b""]))
    newline = draw(st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\r"]))
    lines = [b" ".join((method, draw(TARGETS), version)), *draw(st.lists(LINES, max_size=4))]
    trailer = b"1\r\na\r\n0\r\nCookie: " + LOGIN + b"\r\n\r\n"
    rest = draw(st.sampled_from([b"", b"", b"abc", b"0\r\n\r\n", trailer]))
    return newline.join(lines) + newline * 2 + rest


GOOD_REQUESTS = st.sampled_from(
    [
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nCookie: ".encode() + LOGIN + b"\r\n\r\n"
        for path in (PUBLIC[0], *FOR_VISITORS[:2])
        for method in ("GET", "GET", "GET", "HEAD")
    ]
    + [b"POST /healthz HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"]
)


@st.composite
def conversations(draw: st.DrawFn, requests: st.SearchStrategy[bytes]) -> list[bytes]:
    """Chunks of bytes: requests, some of them repeated, joined and cut anywhere."""
    some = draw(st.lists(requests, min_size=1, max_size=3))
    said = draw(st.lists(st.sampled_from([*some, *some, b"\r\n"]), min_size=1, max_size=7))
    chunks: list[bytes] = []
    for number, request in enumerate(said):
        how = draw(st.sampled_from(["whole", "whole", "joined", "cut"]))
        if how == "joined" and number:
            chunks[-1] += request
        elif how == "cut":
            at = draw(st.integers(1, len(request) - 1))
            chunks += [request[:at], request[at:]]
        else:
            chunks.append(request)
    return chunks


async def told(config: uvicorn.Config, sides: Sides, said: list[bytes], *, patient: bool) -> object:
    """What comes of a conversation: the bytes, whether the connection stays open, what was counted.

    Args:
        patient: Each chunk is answered before the next.
    """
    before = answered()
    spoken = Spoken(config, sides.live.parts)
    for chunk in said:
        spoken.hear(chunk.replace(LOGIN, sides.login))
        if patient:
            await spoken.settle()
    await spoken.settle()
    spoken.end()
    counted = {series: value - before.get(series, 0.0) for series, value in answered().items()}
    return (
        spoken.transport.written,
        spoken.transport.closing,
        spoken.state.total_requests,
        {series: value for series, value in counted.items() if value},
    )


often = given_settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.slow
@often
@given(said=conversations(GOOD_REQUESTS | odd_requests()))
async def test_every_conversation_goes_as_with_uvicorn(sides: Sides, said: list[bytes]) -> None:
    ours, stock = [await told(side, sides, said, patient=True) for side in (sides.ours, sides.stock)]
    assert ours == stock


@pytest.mark.slow
@often
@given(said=conversations(GOOD_REQUESTS))
async def test_whoever_does_not_wait_gets_the_same_in_order(sides: Sides, said: list[bytes]) -> None:
    ours, stock = [await told(side, sides, said, patient=False) for side in (sides.ours, sides.stock)]
    assert ours == stock


async def test_the_same_bytes_are_answered_at_once_on_any_connection(sides: Sides) -> None:
    for path in (*PUBLIC, *FOR_VISITORS):
        request = sides.charts(path)
        first = sides.connect()
        whole = await first.ask(request)
        assert whole.startswith(b"HTTP/1.1 200 OK\r\n"), path
        if len(request) <= HEAD_BYTES:
            for spoken in (first, first, sides.connect()):
                assert spoken.hear(request) == whole, path
                assert not spoken.state.tasks


async def test_an_answer_has_the_time_of_this_second(sides: Sides) -> None:
    spoken = sides.connect()
    whole = await spoken.ask(HEALTH)
    spoken.state.default_headers = [(b"date", b"Fri, 02 Jan 2026 00:00:00 GMT")]
    assert spoken.hear(HEALTH) == whole.replace(TODAY[0][1], b"Fri, 02 Jan 2026 00:00:00 GMT")
    assert whole != spoken.hear(HEALTH)


async def test_what_is_said_of_a_person_ends_the_belief_before_the_next_request(sides: Sides) -> None:
    spoken = sides.connect()
    await spoken.ask(sides.charts())
    assert spoken.hear(sides.charts())
    await sides.live.parts.rights.announce(sides.ann.id)
    assert not spoken.hear(sides.charts())
    await spoken.settle()


async def test_a_logout_is_felt_by_the_same_bytes(sides: Sides) -> None:
    spoken = sides.connect()
    await spoken.ask(sides.charts())
    assert spoken.hear(sides.charts())
    await sides.ann.call("POST", "/api/logout")
    assert (await spoken.ask(sides.charts())).startswith(b"HTTP/1.1 401 ")


async def test_the_same_bytes_are_believed_for_a_second_at_most(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "KNOWN_S", KNOWN_S)
    spoken = sides.connect()
    for _ in range(2):
        assert (await spoken.ask(sides.charts())).startswith(b"HTTP/1.1 200 ")
    login = await sides.live.parts.sessions.find(sides.ann.http.cookies[COOKIE])
    assert login is not None
    await sides.live.parts.sessions.end(login)
    await asyncio.sleep(KNOWN_S)
    assert (await spoken.ask(sides.charts())).startswith(b"HTTP/1.1 401 ")


async def test_bytes_of_a_body_are_no_request(sides: Sides) -> None:
    spoken = sides.connect()
    await spoken.ask(HEALTH)
    post = f"POST /healthz HTTP/1.1\r\nContent-Length: {len(HEALTH)}\r\n\r\n".encode()
    assert (await spoken.ask(post)).startswith(b"HTTP/1.1 405 ")
    assert await spoken.ask(HEALTH) == b""
    assert spoken.hear(HEALTH)


async def test_a_repeat_waits_for_what_was_asked_before(sides: Sides) -> None:
    spoken = sides.connect()
    whole = await spoken.ask(HEALTH)
    assert spoken.hear(b"GET /api/nothing HTTP/1.1\r\n\r\n", HEALTH) == b""
    await spoken.settle()
    _, found, rest = spoken.transport.written.removeprefix(whole).partition(b"HTTP/1.1 404 ")
    assert found
    assert rest.endswith(whole)


async def test_nothing_is_written_to_a_peer_that_does_not_read(sides: Sides) -> None:
    spoken = sides.connect()
    whole = await spoken.ask(HEALTH)
    spoken.protocol.pause_writing()
    assert spoken.hear(HEALTH) == b""
    spoken.protocol.resume_writing()
    await spoken.settle()
    assert spoken.transport.written == whole * 2


async def test_a_connection_closes_once_it_has_asked_for_nothing_for_long(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sides.connect().ask(HEALTH)
    spoken = sides.connect()
    timers = set()
    for moment in (0.0, 4.0, 8.0):
        monkeypatch.setattr(ready, "time", SimpleNamespace(monotonic=lambda at=moment: at))
        assert spoken.hear(HEALTH)
        timers.add(spoken.protocol.timeout_keep_alive_task)
    [timer] = timers
    assert timer is not None
    keep_s = spoken.protocol.timeout_keep_alive
    assert keep_s > 60  # as long as proxies keep a connection that they may use again
    for moment, closes in ((keep_s, False), (8.0 + keep_s - 0.1, False), (8.0 + keep_s, True)):
        monkeypatch.setattr(ready, "time", SimpleNamespace(monotonic=lambda at=moment: at))
        spoken.protocol.timeout_keep_alive_handler()
        assert spoken.transport.closing is closes


async def test_a_stopping_server_closes_a_connection_that_only_repeated(sides: Sides) -> None:
    await sides.connect().ask(HEALTH)
    spoken = sides.connect()
    assert spoken.hear(HEALTH)
    spoken.protocol.shutdown()
    assert spoken.transport.closing


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HEAD /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz?active= HTTP/1.1\r\n\r\n",
        b"GET http://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/charts HTTP/1.1\r\n\r\n",
        b"GET /api/nothing HTTP/1.1\r\n\r\n",
        HEALTH * 2,
        HEALTH + HEALTH[:5],
        HEALTH.replace(b"Host: x", b"Host: " + b"x" * HEAD_BYTES),
    ],
)
async def test_only_one_whole_plain_request_of_a_ready_answer_is_learned(
    sides: Sides, request_: bytes
) -> None:
    await sides.connect().ask(request_)
    spoken = sides.connect()
    assert spoken.hear(request_) == b""
    await spoken.settle()


async def test_bytes_that_came_in_parts_are_not_learned(sides: Sides) -> None:
    spoken = sides.connect()
    spoken.hear(HEALTH[:20])
    assert (await spoken.ask(HEALTH[20:])).startswith(b"HTTP/1.1 200 ")
    assert spoken.hear(HEALTH[20:]).startswith(b"HTTP/1.1 400 ")


async def test_where_each_request_is_told_each_goes_the_ordinary_way(
    sides: Sides, caplog: pytest.LogCaptureFixture
) -> None:
    spoken = sides.connect()
    with caplog.at_level(logging.DEBUG, "server.watching"):
        for _ in range(3):
            await spoken.ask(HEALTH)
            assert spoken.hear(HEALTH) == b""
            await spoken.settle()
    assert [record.getMessage() for record in caplog.records].count("A request was answered.") == 6
