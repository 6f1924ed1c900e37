"""The sockets that follow one topic: most take each frame from one loop, the others when they can.

What is published to many in one turn of the event loop is sent together, since each call of the system
costs more than the bytes do. Nothing is sent to anybody whose role has been believed for longer than a
second. While messages come, the roles of all who are in a lane are asked with one question before that
second is over; where it is over, messages are held back until the answer is there.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque

from websockets.frames import Frame, Opcode

from machines.event import Role
from server.backlog import QUEUE_BYTES, QUEUE_MESSAGES, Backlog
from server.errors import Close
from server.faults import fault_of
from server.follower import Follower
from server.lane import Lane
from server.published import Published, encode
from server.rights import KNOWN_S, Rights

logger = logging.getLogger(__name__)

_ASK_AGAIN_S = 0.6 * KNOWN_S
"""Roles that are older are asked for while they still hold, so that no message waits for them."""
_TOGETHER_BYTES = 64 * 1024
"""So much is sent at a time, and does not wait for the end of the turn."""
_FEW = 8
"""So few sockets are sent to at once: a call for each costs less time than they would wait."""
_TURN = 500
"""Followers that are looked at before somebody else has a turn."""
_TRY_S = 5.0
"""How long messages are held back for roles that cannot be asked for."""


def framed(text: bytes) -> bytes:
    """A text as a server's websocket frame."""
    return Frame(Opcode.TEXT, text).serialize(mask=False)


class Audience:
    """Followers of a topic, in a lane by role or aside.

    Attributes:
        position: Epoch and offset of the newest message of the topic; its owner sets it before it
            offers a message.
    """

    def __init__(
        self,
        topic: str,
        rights: Rights,
        *,
        queue_bytes: int = QUEUE_BYTES,
        queue_messages: int = QUEUE_MESSAGES,
    ) -> None:
        self._topic = topic
        self._rights = rights
        self._queue_bytes = queue_bytes
        self._queue_messages = queue_messages
        self.position = ("", 0)
        self._sent = ("", 0)
        """The position of the lanes, behind `position` while messages are held back."""
        self._lanes: dict[Role, Lane] = {}
        self._aside: set[Follower] = set()
        self._held: deque[Published] = deque()
        self._held_bytes = 0
        self._believed_until = -math.inf
        self._joined_until = math.inf
        self._asking: asyncio.Task[None] | None = None
        self._end_of_turn: asyncio.Handle | None = None

    def __len__(self) -> int:
        return len(self._aside) + sum(len(lane.followers) for lane in self._lanes.values())

    def add(self, follower: Follower, first: Published) -> None:
        """Take in somebody who has `first`; nothing is sent before `settle`."""
        follower.audience = self
        follower.backlog = self._backlog((first["epoch"], first["offset"]))
        self._aside.add(follower)

    def remove(self, follower: Follower) -> None:
        """Forget a follower with all that waits for it."""
        if follower.place >= 0:
            self._lanes[follower.role].remove(follower)
        self._aside.discard(follower)
        follower.backlog = None
        follower.audience = None
        if not len(self):
            self._held.clear()
            self._held_bytes = 0
            if self._asking is not None:
                self._asking.cancel()

    def step_aside(self, follower: Follower) -> None:
        """Take a follower out of its lane, at the position that the lane has reached."""
        if follower.place < 0:
            return
        self._lanes[follower.role].remove(follower)
        follower.backlog = self._backlog(self._sent)
        follower.until = self._believed_until
        self._aside.add(follower)
        for message in self._held:
            follower.offer(message)

    def settle(self, follower: Follower) -> None:
        """Let a follower into the lane of its role, if nothing waits for it and nothing hinders."""
        backlog = follower.backlog
        if (
            backlog is None
            or follower not in self._aside
            or len(backlog)
            or self._held
            or backlog.position != self.position
            or not follower.can_send
            or follower.session.line.fd < 0
        ):
            return
        self._aside.discard(follower)
        follower.backlog = None
        self._sent = self.position
        self._lanes.setdefault(follower.role, Lane()).add(follower)
        # A lane is believed as long as the one in it whose role was asked for first.
        self._believed_until = min(self._believed_until, follower.until)
        self._joined_until = min(self._joined_until, follower.until)

    def offer(self, message: Published) -> None:
        """Send a message of the topic to everybody, in this turn or as soon as it can be."""
        # Whoever leaves a lane while it is sent to has had the message, and is not among these.
        aside = tuple(self._aside)
        if any(lane.followers for lane in self._lanes.values()):
            self._offer_to_lanes(message)
        for follower in aside:
            if follower.backlog is not None:
                follower.offer(message)
                self.settle(follower)

    def _offer_to_lanes(self, message: Published) -> None:
        self._held.append(message)
        self._held_bytes += message.size
        if time.monotonic() >= self._believed_until - KNOWN_S + _ASK_AGAIN_S:
            self._ask_soon()
        few = sum(len(lane.followers) for lane in self._lanes.values()) <= _FEW
        if few or self._held_bytes > _TOGETHER_BYTES:
            self._flush()
        elif self._end_of_turn is None:
            self._end_of_turn = asyncio.get_running_loop().call_soon(self._flush)

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def followers(self) -> list[Follower]:
        """Everybody."""
        return [*self._aside, *self._in_lanes()]

    def _in_lanes(self) -> list[Follower]:
        return [follower for lane in self._lanes.values() for follower in lane.followers]

    def _backlog(self, position: tuple[str, int]) -> Backlog:
        return Backlog(position, limit_bytes=self._queue_bytes, limit_messages=self._queue_messages)

    def _flush(self) -> None:
        """Send what is held, if the roles are believed; else it waits for those who ask for them."""
        if self._end_of_turn is not None:
            self._end_of_turn.cancel()
            self._end_of_turn = None
        if not self._held:
            return
        if time.monotonic() < self._believed_until:
            self._release()
            return
        self._ask_soon()
        if self._held_bytes > self._queue_bytes or len(self._held) > self._queue_messages:
            self._give_up()

    def _send(self, messages: list[Published]) -> None:
        for message in messages:
            if message["type"] != "passing":
                self._sent = (message["epoch"], message["offset"])
        for role, lane in self._lanes.items():
            if lane.followers:
                lane.send(b"".join([framed(encode(message, role)) for message in messages]))

    def _ask_soon(self) -> None:
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        """Look at the roles of all in the lanes, then send what was held back."""
        try:
            async with asyncio.timeout(_TRY_S):
                await self._look()
            # What waited for these answers is sent on them, even where asking took longer than they hold.
            self._release()
        except Exception as error:
            logger.warning(
                "The roles of a topic's followers cannot be asked for.",
                exc_info=fault_of(error).status == 500,
                extra={"action": "audience.roles", "topic": self._topic, "error": type(error).__name__},
            )
            if self._held:
                self._give_up()
        finally:
            self._asking = None

    async def _look(self) -> None:
        self._joined_until = math.inf
        asked = time.monotonic()
        followers = self._in_lanes()
        await self._rights.ask(self._topic, {follower.session.person.id for follower in followers})
        for number, follower in enumerate(followers, start=1):
            if follower.place >= 0 and await follower.session.role_on(self._topic) != follower.role:
                follower.doubted = True  # first, so that nothing of what is held is sent to it
                self.step_aside(follower)
                follower.session.doubt()
            if number % _TURN == 0:
                await asyncio.sleep(0)
        self._believed_until = min(asked + KNOWN_S, self._joined_until)

    def _release(self) -> None:
        while self._held:
            # A socket that does not take all of it keeps the rest to itself: no more than this.
            together: list[Published] = []
            size = 0
            while self._held and (not together or size + self._held[0].size <= _TOGETHER_BYTES):
                together.append(self._held.popleft())
                size += together[-1].size
            self._held_bytes -= size
            self._send(together)
        for follower in tuple(self._aside):
            self.settle(follower)

    def _give_up(self) -> None:
        self._held.clear()
        self._held_bytes = 0
        for follower in self._in_lanes():
            follower.session.line.end(Close.INSUFFICIENT)
