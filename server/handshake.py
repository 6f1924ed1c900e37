"""The request of a websocket handshake as browsers and most programs write it, read at a glance.

What is written in any other way, and all that has to be refused, is left to the parser of
`websockets`; what is read here it would read the same. A crowd that comes back pays a tenth of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from websockets.utils import accept_key

START = b"GET /ws HTTP/1.1\r\n"
MOST_BYTES = 8 * 1024
MOST_FIELDS = 64

_FIELDS = re.compile(rb"(?:[A-Za-z0-9-]+: *(?:[!-~](?:[ -~]*[!-~])?)?\r\n)+\r\n")
_CONNECTION = (b"upgrade", b"keep-alive, upgrade")
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
_SUBPROTOCOLS = re.compile(rb"[A-Za-z0-9.-]+(?:, ?[A-Za-z0-9.-]+)*")
_ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %b\r\nSec-WebSocket-Protocol: %b\r\n%b\r\n"
)
_BODY = (b"content-length", b"transfer-encoding")


@dataclass(frozen=True, slots=True)
class Handshake:
    """A request that asks for a websocket and for nothing unusual.

    Attributes:
        headers: Each name once and in lower case, with its value.
        subprotocols: Those offered.
        accept: What proves to the client that its key was read.
    """

    headers: dict[bytes, bytes]
    subprotocols: list[str]
    accept: str

    def answer(self, subprotocol: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The response that opens the websocket, with more headers such as the date."""
        others = b"".join([b"%b: %b\r\n" % field for field in headers])
        return _ANSWER % (self.accept.encode(), subprotocol.encode(), others)


def handshake_in(data: bytes) -> Handshake | None:
    """The handshake that these bytes are, from the first to the last; None for somebody else to tell."""
    if not data.startswith(START) or len(data) > MOST_BYTES or not _FIELDS.fullmatch(data, len(START)):
        return None
    lines = data[len(START) : -4].split(b"\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.lstrip(b" ")
    key = headers.get(b"sec-websocket-key", b"")
    offered = headers.get(b"sec-websocket-protocol", b"")
    usual = (
        len(headers) == len(lines) <= MOST_FIELDS
        and headers.get(b"upgrade", b"").lower() == b"websocket"
        and headers.get(b"connection", b"").lower() in _CONNECTION
        and headers.get(b"sec-websocket-version") == b"13"
        and _KEY.fullmatch(key)
        and _SUBPROTOCOLS.fullmatch(offered)
        and not any(name in headers for name in _BODY)
    )
    if not usual:
        return None
    subprotocols = [each.strip() for each in offered.decode().split(",")]
    return Handshake(headers, subprotocols, accept_key(key.decode()))
