"""What a server process says of itself every two seconds, for the status page and its supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time

import psutil
from redis.exceptions import RedisError

from gpu.memory.device import main_memory
from server.ending import pass_on_cancellation
from server.hub import Hub
from server.sockets import Sockets
from storage.runtime_records import RuntimeRecords, ServerState

EVERY_S = 2.0


class Presence:
    """Reports until cancelled.

    Args:
        name: Unique to this life of this process.
    """

    def __init__(self, name: str, records: RuntimeRecords, hub: Hub, sockets: Sockets) -> None:
        self._name = name
        self._records = records
        self._hub = hub
        self._sockets = sockets
        self._since = time.time()
        self._lag_s = 0.0

    async def run(self) -> None:
        """Report, also after an outage of Redis, and take the report back at the end."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                with contextlib.suppress(RedisError):  # nobody sees it meanwhile, and nothing is lost
                    await self.report()
                pass_on_cancellation()
                due = loop.time() + EVERY_S
                await asyncio.sleep(EVERY_S)
                self._lag_s = max(0.0, loop.time() - due)
        finally:
            with contextlib.suppress(RedisError):
                await self._records.forget_server(self._name)

    async def report(self) -> None:
        """Once.

        Raises:
            RedisError: Redis does not answer.
        """
        await self._records.report_server(self._state())

    def _state(self) -> ServerState:
        followed = self._hub.topics
        free, total = main_memory()
        return ServerState(
            name=self._name,
            host=socket.gethostname(),
            pid=os.getpid(),
            sockets=len(self._sockets),
            topics=len(followed),
            subscribers=sum(followed.values()),
            since=self._since,
            rss_bytes=psutil.Process().memory_info().rss,
            beat_at=time.time(),
            streams=self._sockets.streams,
            memory_free_bytes=free,
            memory_bytes=total,
            lag_s=round(self._lag_s, 4),
        )
