"""uvicorn's websocket once its session is found: frames go in and out without a task or a queue of ASGI's.

A handshake that `handshake_in` reads is answered here and goes to `welcome`; every other is the
application's as ever. `attach` then gives the connection to a session, and either call may return.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from asyncio import BaseTransport, Transport
from collections.abc import Callable
from typing import Any, Protocol, cast

from starlette.requests import HTTPConnection
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from server.audience import framed
from server.errors import Close
from server.handshake import Handshake, handshake_in
from server.messages import SUBPROTOCOL

EXTENSION = "casewire.line"
"""Under this name the connection is found among the extensions of its ASGI scope."""

CLOSE_S = 5.0
"""How long a peer may take to answer a close frame, or to read up to it."""
BACKED_UP_BYTES = 256 * 1024
"""So much in front of a socket, and its requests have to wait."""
SLICE_BYTES = 4 * 1024
"""What is taken of one socket's bytes before others have a turn; frames may be as small as six bytes."""

_PING = Frame(Opcode.PING, b"").serialize(mask=False)


class Attached(Protocol):
    """What a line tells its session."""

    def hear(self, frame: str | bytes) -> None:
        """A frame has come."""

    def stalled(self) -> None:
        """The line is blocked."""

    def flowing(self) -> None:
        """The line takes bytes again."""

    def look(self) -> None:
        """Rights may have changed unannounced."""

    def ended(self) -> None:
        """The line is closed."""


class _Nowhere:
    """Where the base class tells the application what it no longer waits for."""

    def put_nowait(self, message: ASGIReceiveEvent) -> None:
        """Drop it."""


_NOWHERE = _Nowhere()


class SocketLine(WebSocketsSansIOProtocol, ABC):
    """A `ReadLine` on a connection of uvicorn's.

    Attributes:
        answered: Whether the last ping was answered.
        closed: Whether a close frame was sent or received, or the connection is gone.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fd = -1
        self.blocked = False
        self.answered = True
        self.closed = False
        self._fresh = True
        self._session: Attached | None = None
        self._on_end: Callable[[int | None], None] | None = None
        self._unread = b""
        self._parsing = False
        self._held = False
        self._choked = False

    # As the application and its session see it.

    def attach(self, session: Attached, on_end: Callable[[int | None], None]) -> None:
        """Give the connection to a session, with what has come since the handshake.

        Args:
            on_end: Called once, with the code that the connection was closed with, None where the
                peer has gone.
        """
        self._session, self._on_end = session, on_end
        if self.disconnected or self.close_sent or self.transport.is_closing():
            self._over(None)
            return
        # The transport then says so as soon as a byte waits, and when none does any more.
        self.transport.set_write_buffer_limits(high=0)
        peer = self.transport.get_extra_info("socket")
        plain = peer is not None and self.transport.get_extra_info("ssl_object") is None
        if plain and peer.type == socket.SOCK_STREAM:
            self.fd = peer.fileno()
        waiting, self.queue = self.queue, cast(Any, _NOWHERE)
        self.scope = self.request = self.response = cast(Any, None)
        while not waiting.empty():
            message = waiting.get_nowait()
            if message["type"] == "websocket.receive":
                text = message.get("text")
                session.hear(text if text is not None else cast(bytes, message["bytes"]))
        self.read_paused = False
        self._read_again()

    @property
    def backed_up(self) -> bool:
        """See `ReadLine`."""
        return self.blocked and self.transport.get_write_buffer_size() > BACKED_UP_BYTES

    def say(self, text: bytes) -> None:
        """See `Line.say`."""
        self.write(framed(text))

    def write(self, frame: bytes) -> None:
        """See `Line.write`."""
        if not self.closed:
            self.transport.write(frame)

    def hold(self) -> None:
        """See `ReadLine.hold`."""
        self._held = True
        self.transport.pause_reading()

    def read_on(self) -> None:
        """See `ReadLine.read_on`."""
        if self._held:
            self._held = False
            self._read_again()

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.answered = False
        self.write(_PING)

    def look(self) -> None:
        """Have the session look at its rights."""
        if self._session is not None:
            self._session.look()

    def end(self, code: Close) -> None:
        """See `Line.end`; the peer has a few seconds to read up to the close frame."""
        if self.closed or self.conn.state is not OPEN:
            return
        self._over(code)
        self.conn.send_close(code, code.name.lower())
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._read_again()
        self._end_soon()

    # As uvicorn's server and the transport see it.

    @abstractmethod
    async def welcome(self, connection: HTTPConnection) -> None:
        """Find out who is there, and attach a session or end."""

    def connection_made(self, transport: BaseTransport) -> None:
        """See uvicorn; which addresses are connected is asked for the application alone."""
        self.connections.add(self)
        self.transport = cast(Transport, transport)

    def handle_connect(self, event: Request) -> None:
        """See uvicorn."""
        super().connection_made(self.transport)
        super().handle_connect(event)

    async def run_asgi(self) -> None:
        """See uvicorn; what is attached stays open when the application returns."""
        cast(dict[str, Any], self.scope["extensions"])[EXTENSION] = self
        # As ASGI wants them; a parser of HTTP in front would have done it.
        self.scope["headers"] = [(name.lower(), value) for name, value in self.scope["headers"]]
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except BaseException:
            self.logger.exception("Exception in ASGI application\n")
            self.send_500_response()
        if self._session is None and self.close_timer is None:
            self.transport.close()

    async def send(self, message: ASGISendEvent) -> None:
        """See uvicorn; a peer that reads nothing is not waited for at the end."""
        if message["type"] != "websocket.close":
            await super().send(message)
            return
        self.writable.set()
        await super().send(message)
        self._end_soon()

    def start_keepalive(self) -> None:
        """Nothing: uvicorn has a timer for each socket, `Sockets` one for all."""

    def data_received(self, data: bytes) -> None:
        """See uvicorn."""
        if self._session is not None:
            self._unread += data
            self._parse()
            return
        found = handshake_in(data) if self._fresh else None
        self._fresh = False
        if found is not None and SUBPROTOCOL in found.subprotocols:
            self._greet(found)
        else:
            super().data_received(data)

    def send_receive_event_to_app(self) -> None:
        """See uvicorn; the frames of one whole message have come."""
        if self.conn.state is not OPEN:  # with a close frame behind them: nobody reads an answer
            self.frames = []
            return
        if self._session is None:
            super().send_receive_event_to_app()
            return
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.curr_msg_data_type == "bytes":
            self._session.hear(bytes(data))
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.conn.send_close(CloseCode.INVALID_DATA)
            self.handle_parser_exception()
        else:
            self._session.hear(text)

    def handle_pong(self, event: Frame) -> None:
        """See uvicorn."""
        self.answered = True

    def handle_close(self, event: Frame) -> None:
        """See uvicorn."""
        self._over(None)
        super().handle_close(event)
        self._gone_soon()

    def handle_parser_exception(self) -> None:
        """See uvicorn; the bytes were no frames."""
        self._over(None)
        super().handle_parser_exception()
        self._gone_soon()

    def pause_writing(self) -> None:
        """See uvicorn; before a session is attached, whoever sends is held up."""
        super().pause_writing()
        self.blocked = True
        if self._session is not None and not self.closed:
            self._session.stalled()

    def resume_writing(self) -> None:
        """See uvicorn."""
        super().resume_writing()
        self.blocked = False
        if self._session is not None and not self.closed:
            if self._choked:
                self._choked = False
                self._read_again()
            self._session.flowing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See uvicorn; the descriptor is closed, and may be somebody else's, only after this.

        Nothing may lead back here then, so that a crowd that goes is freed without a look for cycles.
        """
        self._over(None)
        super().connection_lost(exc)
        self._session = self._on_end = None
        self.conn.parser.close()

    def shutdown(self) -> None:
        """See uvicorn."""
        if self._session is not None:
            self.end(Close.SHUTDOWN)
        if self.handshake_complete and self.conn.state is not OPEN and not self.close_sent:
            self.transport.close()  # the peer has said so, and was answered
        else:
            super().shutdown()

    def _greet(self, handshake: Handshake) -> None:
        """Accept the connection, and look then who it is: a browser sees a close code, but no HTTP status."""
        self.handshake_initiated = self.handshake_complete = True
        self.conn = ServerProtocol(state=OPEN, max_size=self.config.ws_max_size, logger=self.logger)
        self.transport.write(handshake.answer(SUBPROTOCOL, self.default_headers))
        connection = HTTPConnection(
            {
                "type": "websocket",
                "headers": list(handshake.headers.items()),
                "state": self.app_state,
            }
        )
        task = self.loop.create_task(self._welcome(connection))
        task.add_done_callback(self.on_task_complete)
        self.tasks.add(task)

    async def _welcome(self, connection: HTTPConnection) -> None:
        try:
            await self.welcome(connection)
        except Exception:
            self.logger.exception("A websocket could not be welcomed.")
        if self._session is None and self.close_timer is None:
            self.transport.close()

    def _over(self, code: int | None) -> None:
        if self.closed or self._session is None:
            return
        self.closed = True
        self.fd = -1
        self._unread = b""
        self._session.ended()
        if self._on_end is not None:
            self._on_end(code)

    def _parse(self) -> None:
        """Take one slice of what has been read."""
        self._parsing = False
        if self.disconnected:
            return
        if self.closed:
            self.conn.receive_data(self._unread)  # up to the peer's close frame
        elif self._held or self._choked or not self._unread:
            return
        else:
            self.conn.receive_data(self._unread[:SLICE_BYTES])
        self._unread = b"" if self.closed else self._unread[SLICE_BYTES:]
        if self.conn.parser_exc is not None:
            self.handle_parser_exception()
            return
        self.handle_events()
        # A peer that sends pings and reads no pongs.
        self._choked = not self.closed and self.backed_up
        if self._unread or self._choked:
            self.transport.pause_reading()
        self._read_again()

    def _read_again(self) -> None:
        if self.closed:
            self.transport.resume_reading()
        elif self._held or self._choked or self._parsing:
            return
        elif self._unread:
            self._parsing = True
            self.loop.call_soon(self._parse)
        else:
            self.transport.resume_reading()

    def _gone_soon(self) -> None:
        """The transport closes, but not before the peer has read what waits for it."""
        if not self.disconnected and self.transport.get_write_buffer_size():
            self._end_soon()

    def _end_soon(self) -> None:
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(CLOSE_S, self.transport.abort)
