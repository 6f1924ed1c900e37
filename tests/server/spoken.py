"""A connection to a server's protocol without a network: bytes go in as cut, what is written is kept."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import uvicorn
from uvicorn.server import ServerState

from server.parts import Parts

TODAY = [(b"date", b"Thu, 01 Jan 2026 00:00:00 GMT")]
_ROUNDS = 1000


class Recorded(asyncio.Transport):
    """A transport whose peer reads everything at once."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = False
        self.paused = False
        self.protocol: asyncio.BaseProtocol | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closing = True

    abort = close

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self.protocol is not None
        return self.protocol


class Spoken:
    """One connection.

    Attributes:
        state: What uvicorn's server would keep beside its connections.
    """

    def __init__(self, config: uvicorn.Config, parts: Parts) -> None:
        self.state = ServerState()
        self.state.default_headers = TODAY
        self.transport = Recorded()
        self._unread: list[bytes] = []
        make = cast(Any, config.http_protocol_class)
        protocol = make(config=config, server_state=self.state, app_state={"parts": parts})
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)

    @property
    def protocol(self) -> Any:
        """Whoever hears the bytes now."""
        return self.transport.get_protocol()

    def hear(self, *chunks: bytes) -> bytes:
        """What is written before anything else has had a turn."""
        before = len(self.transport.written)
        self._unread += chunks
        self._read()
        return self.transport.written[before:]

    async def ask(self, chunk: bytes) -> bytes:
        """What is written until nothing is left to do."""
        before = len(self.transport.written)
        self.hear(chunk)
        await self.settle()
        return self.transport.written[before:]

    async def settle(self) -> None:
        """Wait for everything that was asked for."""
        for _ in range(_ROUNDS):
            if self.state.tasks:
                await asyncio.wait(self.state.tasks)
            await asyncio.sleep(0)
            self._read()
            if not self.state.tasks and (not self._unread or self.transport.closing):
                return
        raise AssertionError("this connection has no end")

    def end(self) -> None:
        """The peer goes."""
        self.protocol.connection_lost(None)

    def _read(self) -> None:
        while self._unread and not self.transport.paused and not self.transport.closing:
            self.protocol.data_received(self._unread.pop(0))
