"""A connection of redis-py's whose transport is read and written directly.

redis-py makes the connection, with all that its settings say. From then on its transport belongs to
a protocol here, until one of both closes it: to wait for each reply in a task, and to write in
another one, takes longer than Redis does for a command.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any, cast

from hiredis import PushNotification, Reader
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import InvalidResponse

_MORE = object()
"""What the reader says while a reply is not whole; False is a reply of RESP3."""


class Taken(asyncio.Protocol, ABC):
    """Hears replies until the connection is lost.

    Args:
        connection: One that is connected and awaits no reply.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        # redis-py has no public names for these.
        writer = cast(asyncio.StreamWriter, connection._writer)
        refusal = connection._parser.parse_error
        self.connection = connection
        self._reader = Reader(protocolError=InvalidResponse, replyError=refusal, notEnoughData=_MORE)
        self._transport = writer.transport
        self._before = cast(asyncio.Protocol, self._transport.get_protocol())
        self._is_lost = False
        self._transport.set_protocol(self)

    @property
    def usable(self) -> bool:
        """Whether something can be sent."""
        return not self._is_lost and not self._transport.is_closing()

    @abstractmethod
    def hear(self, reply: Any) -> None:
        """A reply has come, or a `redis.ResponseError`; whatever is raised ends the connection."""

    @abstractmethod
    def lost(self, error: Exception) -> None:
        """Nothing will be heard any more, because of this; called once, unless `aclose` was."""

    async def aclose(self) -> None:
        """End the connection."""
        self._is_lost = True
        await self.connection.disconnect(nowait=True)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        try:
            self._reader.feed(data)
            while not self._is_lost and (reply := self._reader.gets()) is not _MORE:
                if isinstance(reply, LostConnection):  # such as that Redis still reads its file
                    raise reply
                if not isinstance(reply, PushNotification):
                    self.hear(reply)
        except Exception as error:  # noqa: BLE001 - whoever hears is told
            self._end(error)

    def eof_received(self) -> None:
        """See asyncio; the transport then closes itself."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._before.connection_lost(exc)  # the stream that redis-py holds
        self._end(LostConnection(f"Redis closed the connection: {exc or 'end of stream'}"))

    def pause_writing(self) -> None:
        """Nothing: what is sent is bounded, and its replies are awaited before more is."""

    def resume_writing(self) -> None:
        """Nothing."""

    def _end(self, error: Exception) -> None:
        if not self._is_lost:
            self._is_lost = True
            self.lost(error)
