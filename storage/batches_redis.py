"""Commands that come up together go to Redis together, and each caller gets its own reply.

What is asked for in one turn of the event loop is written to a connection at once, and so is what
comes up while every lane is busy. A Redis that syncs its append-only file before it answers syncs
once for all of them.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from copy import deepcopy
from typing import Any, Protocol, cast

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry

from storage.pipe_redis import Call, Pipe

Part = str | bytes | int | float

MOST_LANES = 4
"""Connections used at once: while Redis works on the commands of one, the replies of another are read.

Redis reads 16 KiB of each connection before it syncs and answers, so several connections also
group more commits into a sync than one would.
"""
MOST_COMMANDS = 32
"""Fewer would leave sooner, and share the price of a sync among fewer."""
MOST_BYTES = 1 << 18
"""Beyond either a batch takes no more; whatever waits goes with the next."""


class Connections(Protocol):
    """Where lanes borrow their connections: a pool, or a node of a cluster."""

    async def get_connection(self) -> AbstractConnection:
        """A connected one."""

    async def release(self, connection: AbstractConnection) -> None:
        """Give it back."""


class Batches:
    """Batches for one Redis server.

    A lane keeps its connection for the next one, since to borrow it again takes as long as Redis
    does for a command. Whoever owns the connections closes them all, these, too.

    Args:
        retry: How often a batch is sent again whose replies were lost, and after which pauses.
    """

    def __init__(self, connections: Connections, retry: Retry) -> None:
        self._connections = connections
        self._retry = retry
        self._waiting: deque[Call] = deque()
        self._lanes: set[asyncio.Task[None]] = set()
        self._kept: list[_Lane] = []
        self._opening = False
        self._looking = 0
        """Lanes that have read their replies, and look in this turn whether somebody waits."""

    def call(self, *command: Part) -> asyncio.Future[Any]:
        """Send one command; the future is its reply.

        Cancelling it leaves it done or not; the commands beside it are not touched.

        Raises:
            redis.ResponseError: Redis refused this command.
            redis.ConnectionError, redis.TimeoutError: Redis did not answer, however often asked.
        """
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # hiredis packs in a fraction of the time that a connection of redis-py takes.
        self._waiting.append(Call(pack_command(cast(tuple[bytes], command)), reply))
        self._open_soon()
        return reply

    def _open_soon(self) -> None:
        if self._waiting and not self._opening and len(self._lanes) < MOST_LANES:
            self._opening = True
            asyncio.get_running_loop().call_soon(self._open)

    def _open(self) -> None:
        """As many lanes as what waits can fill, now that everybody in this turn has asked."""
        self._opening = False
        wanted = math.ceil(len(self._waiting) / MOST_COMMANDS) - self._looking
        wanted = min(wanted, MOST_LANES - len(self._lanes))
        for _ in range(wanted):
            lane = asyncio.ensure_future(self._serve())
            self._lanes.add(lane)
            lane.add_done_callback(self._closed)

    def _closed(self, lane: asyncio.Task[None]) -> None:
        self._lanes.discard(lane)
        # Whoever asked while this one was at its end, and the others too, found no room for another.
        self._open_soon()

    async def _serve(self) -> None:
        """One lane, for as long as somebody waits."""
        taken: deque[Call] = deque()
        retry = deepcopy(self._retry)  # it counts its pauses
        try:
            lane = await self._lane(retry)
        except Exception as error:  # noqa: BLE001 - those who wait are told, whatever it is
            _fail(self._waiting, error)
            return
        try:
            while self._waiting:
                self._take(taken)
                try:
                    await lane.exchange(retry, taken)
                except Exception as error:  # noqa: BLE001 - those who asked are told, whatever it is
                    _fail(taken, error)
                self._looking += 1
                try:
                    await asyncio.sleep(0)  # whoever got a reply may have more to ask
                finally:
                    self._looking -= 1
        finally:
            sound = not taken and lane.sound
            for call in taken:
                call.reply.cancel()
            if sound:
                self._kept.append(lane)
            else:
                await lane.aclose()
                await self._connections.release(lane.connection)

    async def _lane(self, retry: Retry) -> _Lane:
        while self._kept:
            lane = self._kept.pop()
            if lane.sound:
                return lane
            await lane.aclose()
            await self._connections.release(lane.connection)
        return _Lane(await retry.call_with_retry(self._connections.get_connection, _wait))

    def _take(self, taken: deque[Call]) -> None:
        length = 0
        while self._waiting and len(taken) < MOST_COMMANDS and length < MOST_BYTES:
            call = self._waiting.popleft()
            if not call.reply.done():  # else cancelled before it was sent
                taken.append(call)
                length += len(call.packed)


class _Lane:
    """A connection that is made anew when it breaks while there is something to send again."""

    def __init__(self, connection: AbstractConnection) -> None:
        self.connection = connection
        self._pipe = Pipe(connection)

    @property
    def sound(self) -> bool:
        """Whether the next one may use it."""
        due: bool = self.connection.should_reconnect()  # type: ignore[no-untyped-call]
        return self._pipe.usable and not due

    async def exchange(self, retry: Retry, taken: deque[Call]) -> None:
        """Send a batch and read its replies; calls leave `taken` with their reply."""

        async def send_and_read() -> None:
            if not taken:  # all of them were cancelled, some perhaps while the connection was lost
                return
            if not self._pipe.usable:
                await self.aclose()
                await self.connection.connect()  # type: ignore[no-untyped-call]
                self._pipe = Pipe(self.connection)
            await self._pipe.exchange(taken, self.connection.socket_timeout)

        async def lost(_: Exception) -> None:
            await self.aclose()
            for call in [call for call in taken if call.reply.done()]:  # nobody waits for it any more
                taken.remove(call)

        await retry.call_with_retry(send_and_read, lost)

    async def aclose(self) -> None:
        """End the connection; it can be made anew."""
        await self._pipe.aclose()


async def _wait(_: Exception) -> None:
    """There is nothing to mend before the next try at a connection."""


def _fail(taken: deque[Call], error: Exception) -> None:
    while taken:
        call = taken.popleft()
        if not call.reply.done():
            call.reply.set_exception(error)
