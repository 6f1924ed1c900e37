"""One reader of a topic over server-sent events, without the socket: frames out, until it is over.

Durable events carry the id `<epoch>:<offset>`, from which a reader resumes; passing ones carry none.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any

from machines.event import BIGGEST, Role
from server.auth import Visitor
from server.cloudevents import cloud_event
from server.errors import Invalid
from server.hub import Since
from server.outgoing import Outgoing
from server.parts import Parts
from server.published import Published, pushed
from server.subscription import Slow, Subscription

RECHECK_S = 1.0
KEEP_ALIVE_S = 15.0
_RETRY_MS = (1000, 5000)
_ID_CHARACTERS = 200


class Over(Exception):
    """The stream ends; `last` is the message that says why and what to do."""

    def __init__(self, last: Mapping[str, Any]) -> None:
        super().__init__(str(last["code"]))
        self.last = last


def resume(topic: str, code: str) -> Over:
    """An end after which the reader should come again, with the id of the last event."""
    return Over({"type": "resume", "topic": topic, "code": code})


def closed(topic: str, code: str) -> Over:
    """An end after which coming again has no use."""
    return Over({"type": "closed", "topic": topic, "code": code})


def since_of(text: str) -> Since | None:
    """The position `<epoch>:<offset>`; None for an empty text.

    Raises:
        Invalid: It is neither.
    """
    if not text:
        return None
    epoch, _, offset = text.rpartition(":")
    fits = epoch and len(text) <= _ID_CHARACTERS and offset.isascii() and offset.isdigit()
    if not fits or int(offset) > BIGGEST:
        raise Invalid("a position is <epoch>:<offset>, as in the id of an event", code="position.invalid")
    return Since(epoch, int(offset))


def retry() -> bytes:
    """Ask the reader to wait before it comes again: each another time, lest all come at once."""
    return b"retry: %d\n\n" % random.randint(*_RETRY_MS)


class EventStream:
    """What one person gets of one topic, as long as they may see it.

    Run `pump`, `watch` and `keep_alive`; each ends with `Over` when the stream does. Whoever runs
    them takes frames from `outgoing`.
    """

    def __init__(self, parts: Parts, visitor: Visitor, topic: str, role: Role, *, passing: bool) -> None:
        self.outgoing = Outgoing()
        self._parts = parts
        self._visitor = visitor
        self._topic = topic
        self._role = role
        self._passing = passing
        self._role_has_changed = False
        self._subscription: Subscription | None = None
        self._slow: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, since: Since | None) -> None:
        """Subscribe; nothing is sent yet.

        Raises:
            Unavailable: The store does not answer.
        """
        self._subscription = await self._parts.hub.subscribe(self._topic, since)
        # The pump may be waiting for the socket, and would find out too late.
        self._subscription.on_slow = self._found_slow

    async def pump(self) -> None:
        """Frames of the first answer, then of all that follows."""
        assert self._subscription is not None
        await self.outgoing.put(retry())
        await self._put_first(self._subscription.first)
        while True:
            try:
                message = await anext(self._subscription)
            except StopAsyncIteration:
                if not self._role_has_changed:
                    raise resume(self._topic, "insufficient") from None
                # The events that are allowed have changed in every machine.
                self._role_has_changed = False
                self._role = await self._right()
                await self.open(None)
                await self._put_first(self._subscription.first)
            except Slow:
                raise resume(self._topic, "slow") from None
            else:
                await self._put(message)

    async def watch(self, changed: asyncio.Event) -> None:
        """Look at the right again each second, and at once when `changed` says so."""
        while True:
            try:
                async with asyncio.timeout(RECHECK_S):
                    await changed.wait()
            except TimeoutError:
                pass
            changed.clear()
            if not await self._parts.admission.lasts(self._visitor):
                raise closed(self._topic, "auth.required")
            self._compare(await self._right())

    async def keep_alive(self) -> None:
        """A comment now and then, so that no proxy takes the stream for dead."""
        while True:
            await asyncio.sleep(KEEP_ALIVE_S)
            await self.outgoing.put(b": still here\n\n")

    async def too_slow(self) -> None:
        """Ends when the reader turns out too slow."""
        await self._slow
        raise resume(self._topic, "slow")

    def close(self) -> None:
        """Follow the topic no more."""
        self._slow.cancel()
        if self._subscription is not None:
            self._subscription.close()

    def last_frame(self, over: Over) -> bytes:
        """What ends the stream: why, and for those who should come again, when."""
        frame = self._frame(over.last, self._role)
        return retry() + frame if over.last["type"] == "resume" else frame

    async def _put_first(self, first: Published) -> None:
        if first["recovered"]:
            for entry in first["entries"]:
                await self._put(entry)
        else:
            await self._put(pushed(first))

    async def _put(self, message: Mapping[str, Any]) -> None:
        if self._compare(await self._right()) and (message["type"] != "passing" or self._passing):
            await self.outgoing.put(self._frame(message, self._role))

    async def _right(self) -> Role:
        role = await self._parts.rights.role_for(self._visitor, self._topic)
        if role is None:
            raise closed(self._topic, "access.ended")
        return role

    def _compare(self, role: Role) -> bool:
        """Whether the role is as before; if not, the pump begins anew."""
        if role != self._role:
            assert self._subscription is not None
            self._role_has_changed = True
            self._subscription.close()
        return not self._role_has_changed

    def _frame(self, message: Mapping[str, Any], role: Role) -> bytes:
        durable = message["type"] in ("entry", "snapshot")
        position = f"id: {message['epoch']}:{message['offset']}\n" if durable else ""
        data = cloud_event(message, role, at=time.time())
        return b"%bevent: %b\ndata: %b\n\n" % (position.encode(), message["type"].encode(), data)

    def _found_slow(self) -> None:
        if not self._slow.done():
            self._slow.set_result(None)
