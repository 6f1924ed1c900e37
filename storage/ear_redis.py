"""A connection on which published messages are heard in the moment they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import ResponseError

from storage.taken_redis import Taken


class Ear(Taken):
    """Nothing is asked and answered over it; what is asked is confirmed in between."""

    def __init__(self, connection: AbstractConnection, take: Callable[[Any], None]) -> None:
        super().__init__(connection)
        self._take = take
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

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
        if self.usable:
            self._transport.write(pack_command(cast(tuple[bytes], command)))

    async def lost_within(self, seconds: float) -> bool:
        """Wait so long; False where all is well.

        Raises:
            redis.ConnectionError: Redis closed the connection, or refused something.
            redis.InvalidResponse: It says what nobody understands.
            Exception: What `take` raised.
        """
        done, _ = await asyncio.wait((self._over,), timeout=seconds)
        for over in done:
            over.result()
        return bool(done)

    async def aclose(self) -> None:
        """See `Taken`."""
        if not self._over.done():
            self._over.set_result(None)
        self._over.exception()  # so that asyncio does not miss a reader for how it was lost
        await super().aclose()

    def hear(self, reply: Any) -> None:
        """See `Taken`."""
        if isinstance(reply, ResponseError):
            raise LostConnection(str(reply)) from reply
        self._take(reply)

    def lost(self, error: Exception) -> None:
        """See `Taken`."""
        if not self._over.done():
            self._over.set_exception(error)
