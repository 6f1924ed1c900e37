"""A new connection goes to whom its first bytes ask for: a websocket is not parsed as HTTP first.

uvicorn parses the request of a handshake, writes it anew and has `websockets` parse it again, which
is a quarter of what a crowd costs that comes back at once. Everything else is for `ready`.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from server.ready import ReadyLine
from server.repeats import Repeats
from server.ws import VisitorLine

_REQUEST = b"GET /ws HTTP/1.1\r\n"
_UPGRADE = b"\r\nupgrade: websocket\r\n"


class Door(asyncio.Protocol):
    """The protocol of a connection until its first bytes have come."""

    def __init__(
        self,
        repeats: Repeats,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._arguments = {
            "config": config,
            "server_state": server_state,
            "app_state": app_state,
            "_loop": _loop,
        }
        self._repeats = repeats
        self._connections = cast(set[Any], server_state.connections)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Let whoever is asked for take over, first of all these bytes."""
        assert self._transport is not None
        self._connections.discard(self)
        protocol: VisitorLine | ReadyLine
        if _is_handshake(data):
            protocol = VisitorLine(**self._arguments)
        else:
            protocol = ReadyLine(self._repeats, **self._arguments)
        protocol.connection_made(self._transport)
        self._transport.set_protocol(protocol)
        protocol.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody asked for anything."""
        self._connections.discard(self)

    def shutdown(self) -> None:
        """The server stops."""
        assert self._transport is not None
        self._transport.close()


def _is_handshake(data: bytes) -> bool:
    """Whether these bytes are a whole handshake; anything else is for a parser of HTTP to say."""
    return data.startswith(_REQUEST) and data.endswith(b"\r\n\r\n") and _UPGRADE in data.lower()
