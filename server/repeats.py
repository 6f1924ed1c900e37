"""Requests that were answered within the last second, by their bytes, and what answers the same bytes again.

What `front` answers depends on nothing but the path and who is asking, and the bytes of a request say both.
That these say it, and not what came before them on the connection, is asked of a parser that has seen no
others.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from starlette.types import Message, Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from server import watching

HEAD: Final = "casewire.head"
"""Under this name a request's bytes are among the extensions of its ASGI scope, where they came whole."""

HEAD_BYTES: Final = 4096
"""Longer requests are not repeated."""
_HEADS: Final = 4000


@dataclass(slots=True)
class Belief:
    """Somebody who was let in, and until when on the monotonic clock that holds."""

    user: str
    until: float


class Answer:
    """An answer as it goes over the wire, in one piece.

    Attributes:
        count: To be told each time that it is given, and how many seconds that took.
    """

    def __init__(self, messages: Iterable[Message], route: str) -> None:
        start, *bodies = messages
        names = {name.lower() for name, _ in start["headers"]}
        # Its length is told and the connection stays open: nothing more is uvicorn's to add.
        assert b"content-length" in names
        assert not names & {b"transfer-encoding", b"connection"}
        body = b"".join(message.get("body", b"") for message in bodies)
        self.count = watching.repeated(route)
        self._status = STATUS_LINE[start["status"]]
        self._rest = _lines(start["headers"]) + b"\r\n" + body
        self._with: list[tuple[bytes, bytes]] | None = None
        self._whole = b""

    def whole(self, default_headers: list[tuple[bytes, bytes]]) -> bytes:
        """The answer with the headers of this second, which uvicorn keeps in a new list each time."""
        if default_headers is not self._with:
            self._with = default_headers
            self._whole = self._status + _lines(default_headers) + self._rest
        return self._whole


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(name.lower() + b": " + value + b"\r\n" for name, value in headers)


@dataclass(frozen=True, slots=True)
class Repeat:
    """What answers the same bytes once more, while its belief holds."""

    answer: Answer
    belief: Belief


class Repeats:
    """The repeats of one server.

    Attributes:
        paths: Of the requests that it may learn.
        known: By the bytes of a whole request; not more than a few thousand.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = frozenset(paths)
        self.known: dict[bytes, Repeat] = {}

    def learn(self, scope: Scope, answer: Answer, belief: Belief) -> None:
        """Have the bytes of a request that was given this answer get it again, if they came whole."""
        head = scope.get("extensions", {}).get(HEAD)
        if head is None or watching.watches_each() or not _says(head, scope):
            return
        self._forget_old()
        self.known.pop(head, None)  # so that the oldest stand first
        self.known[head] = Repeat(answer, belief)

    def _forget_old(self) -> None:
        now = time.monotonic()
        while self.known:
            oldest = next(iter(self.known))
            if self.known[oldest].belief.until > now and len(self.known) < _HEADS:
                return
            del self.known[oldest]


class _Alone:
    """What a parser says of bytes if it has seen no others."""

    def __init__(self, head: bytes) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.begun = self.complete = 0
        self.plain = False
        self._parser = HttpRequestParser(self)
        self._parser.feed_data(head)

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        self.plain = (
            parser.get_method() == b"GET"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
        )

    def on_message_complete(self) -> None:
        self.complete += 1


def _says(head: bytes, scope: Scope) -> bool:
    """Whether the bytes are this one request and no more, after which the connection stays open."""
    try:
        alone = _Alone(head)
    except (HttpParserError, HttpParserUpgrade):  # the second of whoever asks for another protocol
        return False
    return (
        alone.plain
        and (alone.begun, alone.complete) == (1, 1)
        and alone.url == scope["raw_path"]
        and alone.headers == list(scope["headers"])
    )
