"""uvicorn, taught to send its websockets elsewhere before it stops."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import cast

import uvicorn
from starlette.applications import Starlette

from server.door import Door
from server.front import Front
from server.settings import Settings
from server.sockets import PING_S
from server.watching import WatchedRequests
from server.ws import VisitorLine

WS_FRAME_BYTES = 1 << 20
"""Beyond it the connection fails; between the session's own bound and this, the client gets an error."""

GRACE_S = 10.0
KEEP_ALIVE_S = 75
"""For which a connection stays that asks for nothing: longer than proxies keep an idle one to a server (nginx
a minute), so that none sends on a connection that is just being closed."""
BACKLOG = 4096
"""Connections that wait to be accepted: a crowd comes back at once. The system may allow fewer."""


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
) -> Server:
    """A server of the application, ready to `serve`."""
    front = Front(app)
    config = uvicorn.Config(
        WatchedRequests(front),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        http=cast(type[asyncio.Protocol], partial(Door, front.repeats)),
        ws=VisitorLine,
        ws_max_size=WS_FRAME_BYTES,
        ws_ping_interval=ping_s,
        backlog=BACKLOG,
        # Small messages at once; what compression would save is not worth its memory per socket.
        ws_per_message_deflate=False,
        server_header=False,
        # Behind a proxy the sender's address is in a header; elsewhere anybody could write one.
        proxy_headers=settings.public_url is not None,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(GRACE_S),
        lifespan="on",
    )
    return Server(config, before_shutdown)
