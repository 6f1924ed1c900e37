"""What is remembered of requests says by itself who asked for what, for a second and within bounds."""

from __future__ import annotations

import time
from typing import Any

import pytest

from server import repeats, tracing
from server.repeats import HEAD, Answer, Belief, Repeats

PATH = "/api/charts"
ASKED = b"GET /api/charts HTTP/1.1\r\nHost: x\r\nCookie: c=1\r\n\r\n"
HEADERS = [(b"host", b"x"), (b"cookie", b"c=1")]


def scope_of(head: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> dict[str, Any]:
    """A request as a parser has understood it, and the bytes that it was taken from."""
    return {
        "raw_path": PATH.encode(),
        "headers": HEADERS if headers is None else headers,
        "extensions": {HEAD: head},
    }


def answer() -> Answer:
    start = {"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"2")]}
    return Answer([start, {"type": "http.response.body", "body": b"{}"}], PATH)


def lasting(seconds: float = 60.0) -> Belief:
    return Belief("ann", time.monotonic() + seconds)


def test_an_answer_has_the_lines_of_the_moment_behind_its_status() -> None:
    said = answer()
    assert said.whole([(b"Date", b"now")]) == b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 2\r\n\r\n{}"
    assert said.whole([]) == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@pytest.mark.parametrize("header", [(b"transfer-encoding", b"chunked"), (b"connection", b"close")])
def test_an_answer_that_is_not_whole_by_itself_cannot_be_kept(header: tuple[bytes, bytes]) -> None:
    for headers in ([header], [header, (b"content-length", b"0")], []):
        with pytest.raises(AssertionError):
            Answer([{"type": "http.response.start", "status": 200, "headers": headers}], PATH)


def test_a_request_is_learned_if_its_bytes_say_what_was_understood() -> None:
    known = Repeats([PATH])
    known.learn(scope_of(ASKED), answer(), lasting())
    assert list(known.known) == [ASKED]


@pytest.mark.parametrize(
    ("head", "headers"),
    [
        (ASKED.replace(b"Cookie: c=1\r\n", b""), None),
        (ASKED.replace(b"c=1", b"c=2"), None),
        (ASKED, [*HEADERS, (b"authorization", b"Bearer t")]),
        (ASKED.replace(b"charts", b"status"), None),
        (ASKED.replace(b"charts", b"charts?"), None),
        (ASKED.replace(b"GET", b"HEAD"), None),
        (ASKED.replace(b"1.1", b"1.0"), None),
        (ASKED * 2, HEADERS * 2),
        (ASKED[:-2], None),
        (ASKED + b"G", None),
        (ASKED + b"\0", None),
        (b"\0", None),
    ],
)
def test_bytes_that_say_something_else_are_not_learned(
    head: bytes, headers: list[tuple[bytes, bytes]] | None
) -> None:
    known = Repeats([PATH])
    known.learn(scope_of(head, headers), answer(), lasting())
    assert not known.known


def test_a_request_whose_bytes_did_not_come_whole_is_not_learned() -> None:
    known = Repeats([PATH])
    known.learn({"raw_path": PATH.encode(), "headers": HEADERS}, answer(), lasting())
    assert not known.known


def test_nothing_is_learned_where_each_request_has_a_span(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Repeats([PATH])
    monkeypatch.setattr(tracing, "sender", object())
    known.learn(scope_of(ASKED), answer(), lasting())
    assert not known.known


def test_what_is_believed_no_more_is_forgotten_with_the_next_that_is_learned() -> None:
    known = Repeats([PATH])
    said, ended = answer(), lasting()
    for n in range(3):
        known.learn(scope_of(_with(n), _headers(n)), said, ended)
    assert len(known.known) == 3
    ended.until = 0.0
    known.learn(scope_of(ASKED), said, lasting())
    assert list(known.known) == [ASKED]


def test_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "_HEADS", 3)
    known = Repeats([PATH])
    said, belief = answer(), lasting()
    for n in (0, 1, 2, 0, 3, 4):
        known.learn(scope_of(_with(n), _headers(n)), said, belief)
    assert list(known.known) == [_with(0), _with(3), _with(4)]


def _with(n: int) -> bytes:
    return ASKED.replace(b"c=1", b"c=%d" % n)


def _headers(n: int) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), (b"cookie", b"c=%d" % n)]
