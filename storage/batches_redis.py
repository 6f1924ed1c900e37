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
from dataclasses import dataclass
from typing import Any, Protocol, cast

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as NoAnswer

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


@dataclass(slots=True)
class _Call:
    packed: bytes
    reply: asyncio.Future[Any]


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
        self._waiting: deque[_Call] = deque()
        self._lanes: set[asyncio.Task[None]] = set()
        self._kept: list[AbstractConnection] = []
        self._opening = False

    def call(self, *command: Part) -> asyncio.Future[Any]:
        """Send one command; the future is its reply.

        Cancelling it leaves it done or not; the commands beside it are not touched.

        Raises:
            redis.ResponseError: Redis refused this command.
            redis.ConnectionError, redis.TimeoutError: Redis did not answer, however often asked.
        """
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # hiredis packs in a fraction of the time that a connection of redis-py takes.
        self._waiting.append(_Call(pack_command(cast(tuple[bytes], command)), reply))
        self._open_soon()
        return reply

    def _open_soon(self) -> None:
        if self._waiting and not self._opening and len(self._lanes) < MOST_LANES:
            self._opening = True
            asyncio.get_running_loop().call_soon(self._open)

    def _open(self) -> None:
        """As many lanes as what waits can fill, now that everybody in this turn has asked."""
        self._opening = False
        wanted = min(math.ceil(len(self._waiting) / MOST_COMMANDS), MOST_LANES - len(self._lanes))
        for _ in range(wanted):
            lane = asyncio.ensure_future(self._serve())
            self._lanes.add(lane)
            lane.add_done_callback(self._lanes.discard)

    async def _serve(self) -> None:
        """One lane, for as long as somebody waits."""
        taken: deque[_Call] = deque()
        retry = deepcopy(self._retry)  # it counts its pauses
        try:
            connection = await self._connection(retry)
        except Exception as error:  # noqa: BLE001 - those who wait are told, whatever it is
            _fail(self._waiting, error)
            return
        sound = False
        try:
            while self._waiting:
                self._take(taken)
                sound = False
                try:
                    await _exchange(connection, retry, taken)
                    sound = True
                except Exception as error:  # noqa: BLE001 - those who asked are told, whatever it is
                    _fail(taken, error)
                await asyncio.sleep(0)  # whoever got a reply may have more to ask
        finally:
            for call in taken:
                call.reply.cancel()
            if sound and not connection.should_reconnect():  # type: ignore[no-untyped-call]
                self._kept.append(connection)
            else:
                await connection.disconnect(nowait=True)
                await self._connections.release(connection)
            self._open_soon()

    async def _connection(self, retry: Retry) -> AbstractConnection:
        if self._kept:
            return self._kept.pop()
        return await retry.call_with_retry(self._connections.get_connection, _wait)

    def _take(self, taken: deque[_Call]) -> None:
        length = 0
        while self._waiting and len(taken) < MOST_COMMANDS and length < MOST_BYTES:
            call = self._waiting.popleft()
            if not call.reply.done():  # else cancelled before it was sent
                taken.append(call)
                length += len(call.packed)


async def _exchange(connection: AbstractConnection, retry: Retry, taken: deque[_Call]) -> None:
    """Send a batch and read its replies; calls leave `taken` with their reply."""

    async def send_and_read() -> None:
        packed = b"".join([call.packed for call in taken])
        try:
            await connection.send_packed_command(packed, check_health=False)
        except RuntimeError as error:  # how uvloop says that the transport has been closed
            raise LostConnection(str(error)) from error
        await _read(connection, taken)

    async def lost(_: Exception) -> None:
        await connection.disconnect(nowait=True)
        for call in [call for call in taken if call.reply.done()]:  # nobody waits for it any more
            taken.remove(call)

    if taken:
        await retry.call_with_retry(send_and_read, lost)


async def _read(connection: AbstractConnection, taken: deque[_Call]) -> None:
    try:
        async with asyncio.timeout(connection.socket_timeout) as limit:
            while taken:
                reply = taken[0].reply
                try:
                    answer = await connection.read_response(timeout=math.inf)
                except ResponseError as error:
                    if not reply.done():
                        reply.set_exception(error)
                else:
                    if not reply.done():
                        reply.set_result(answer)
                taken.popleft()
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise NoAnswer(f"no reply within {connection.socket_timeout} s") from error


async def _wait(_: Exception) -> None:
    """There is nothing to mend before the next try at a connection."""


def _fail(taken: deque[_Call], error: Exception) -> None:
    while taken:
        call = taken.popleft()
        if not call.reply.done():
            call.reply.set_exception(error)
