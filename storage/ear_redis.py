"""A connection of redis-py's whose replies are heard in the moment they come.

redis-py makes the connection, with all that its settings say; from then on its transport belongs to
this protocol. To wait for each reply in a task takes half as long again as to hear it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from hiredis import HiredisError, Reader, ReplyError, pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as LostConnection


class Ear(asyncio.Protocol):
    """Hears replies until the connection is lost; nothing is asked and answered over it."""

    def __init__(self, connection: AbstractConnection, take: Callable[[Any], None]) -> None:
        # redis-py has no public name for it.
        writer = cast(asyncio.StreamWriter, connection._writer)
        self._connection = connection
        self._take = take
        self._reader = Reader()
        self._transport = writer.transport
        self._before = cast(asyncio.Protocol, self._transport.get_protocol())
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport.set_protocol(self)

    @classmethod
    async def connected(cls, connection: AbstractConnection, take: Callable[[Any], None]) -> Ear:
        """Connect, and have `take` called with each reply; what it raises ends the connection.

        Raises:
            redis.RedisError, OSError: There is no connection.
        """
        await connection.connect()  # type: ignore[no-untyped-call]
        return cls(connection, take)

    def ask(self, *command: str) -> None:
        """Send a command; a connection that is lost takes it in vain."""
        if not self._transport.is_closing():
            self._transport.write(pack_command(cast(tuple[bytes], command)))

    async def lost_within(self, seconds: float) -> bool:
        """Wait so long; False where all is well.

        Raises:
            redis.ConnectionError: Redis closed the connection, or says what nobody understands.
            Exception: What `take` raised.
        """
        done, _ = await asyncio.wait((self._lost,), timeout=seconds)
        for lost in done:
            lost.result()
        return bool(done)

    async def aclose(self) -> None:
        """End the connection."""
        self._end(None)
        self._lost.exception()  # so that asyncio does not miss a reader for how it was lost
        await self._connection.disconnect(nowait=True)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False and not self._lost.done():
                if isinstance(reply, ReplyError):
                    raise LostConnection(str(reply))
                self._take(reply)
        except HiredisError as error:
            self._end(LostConnection(f"Redis says what nobody understands: {error}"))
        except Exception as error:  # noqa: BLE001 - whoever waits for the end is told
            self._end(error)

    def eof_received(self) -> None:
        """See asyncio; the transport then closes itself."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._before.connection_lost(exc)  # the stream that redis-py holds
        self._end(LostConnection(f"Redis closed the connection: {exc or 'end of stream'}"))

    def pause_writing(self) -> None:
        """Nothing: what is asked is small."""

    def resume_writing(self) -> None:
        """Nothing."""

    def _end(self, error: Exception | None) -> None:
        if self._lost.done():
            return
        if error is None:
            self._lost.set_result(None)
        else:
            self._lost.set_exception(error)
