"""uvicorn, taught to send its websockets elsewhere before it stops."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from server.errors import Close
from server.settings import Settings

WS_FRAME_BYTES = 1 << 20
"""Beyond it the connection fails; between the session's own bound and this, the client gets an error."""

PING_S = 20.0
PONG_S = 20.0
CLOSE_S = 5.0
"""How long a peer may take to answer a close frame, or to read up to it."""
GRACE_S = 10.0


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Ends connections whose peer reads nothing: uvicorn would wait for it before it says goodbye."""

    async def send(self, message: ASGISendEvent) -> None:
        """See uvicorn; a close frame is queued behind what the peer has not read yet."""
        if message["type"] != "websocket.close":
            await super().send(message)
            return
        self.writable.set()
        await super().send(message)
        self._end_soon()

    def _end_soon(self) -> None:
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(CLOSE_S, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """See uvicorn; the close code tells a peer that answered no ping to come again."""
        if not self.close_sent and not self.transport.is_closing():
            self.pong_timer = None
            self.pending_ping_payload = None
            self.conn.fail(Close.NO_PONG, "no pong")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.transport.close()
            self._end_soon()


class Server(uvicorn.Server):
    """Ends on SIGINT and SIGTERM like uvicorn's, but returns, so that its caller can clean up."""

    def __init__(self, config: uvicorn.Config, before_shutdown: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._before_shutdown = before_shutdown

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Without raising them again at the end, as uvicorn does: that would end the process at once."""
        loop = asyncio.get_running_loop()
        names = (signal.SIGINT, signal.SIGTERM)
        try:
            for name in names:
                loop.add_signal_handler(name, self.handle_exit, name, None)
        except (RuntimeError, ValueError):  # not the main thread: whoever started the server stops it
            yield
            return
        try:
            yield
        finally:
            for name in names:
                loop.remove_signal_handler(name)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close websockets with a code that means reconnect, then all else."""
        await self._before_shutdown()
        await super().shutdown(sockets)


def server_of(
    app: Starlette,
    settings: Settings,
    before_shutdown: Callable[[], Awaitable[None]],
    *,
    ping_s: float = PING_S,
    pong_s: float = PONG_S,
) -> Server:
    """A server of the application, ready to `serve`."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        ws=WebSocketProtocol,
        ws_max_size=WS_FRAME_BYTES,
        ws_ping_interval=ping_s,
        ws_ping_timeout=pong_s,
        # Small messages at once; what compression would save is not worth its memory per socket.
        ws_per_message_deflate=False,
        server_header=False,
        # Behind a proxy the sender's address is in a header; elsewhere anybody could write one.
        proxy_headers=settings.public_url is not None,
        timeout_graceful_shutdown=int(GRACE_S),
        lifespan="on",
    )
    return Server(config, before_shutdown)
