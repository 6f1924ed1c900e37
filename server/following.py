"""The topics that one socket follows: who may see them is looked up anew, what waits takes turns."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable

import orjson

from machines.event import Role
from server.errors import Close, Closing, Invalid, Missing
from server.faults import fault_of
from server.follower import Follower
from server.hub import Hub, Since
from server.inbox import ReadLine
from server.published import encode, pushed, reply
from server.rights import Rights
from storage.people import Person

logger = logging.getLogger(__name__)

MOST_TOPICS = 100
MOST_BYTES = 8 * 2**20
"""Of all topics together that wait for one socket."""

Roles = Callable[[str], Awaitable[Role | None]]


class Following:
    """Followers by topic.

    Args:
        role_on: The person's role on a topic now.
        look: Has `recheck` called soon.
    """

    def __init__(
        self,
        line: ReadLine,
        person: Person,
        *,
        hub: Hub,
        rights: Rights,
        role_on: Roles,
        look: Callable[[], None],
    ) -> None:
        self.line: ReadLine = line
        self.person = person
        self._hub = hub
        self._rights = rights
        self._role_on = role_on
        self._look = look
        self._topics: dict[str, Follower] = {}
        self._pending: deque[Follower] = deque()
        self._draining = False
        self._doubts = 0
        self._asking: set[asyncio.Task[None]] = set()
        self._over = False

    def __len__(self) -> int:
        return len(self._topics)

    async def role_on(self, topic: str) -> Role | None:
        """See `Listening.role_on`."""
        return await self._role_on(topic)

    async def subscribe(self, request: int | str, topic: str, since: Since | None) -> None:
        """Follow a topic; the answer to the request goes before all that follows.

        Raises:
            Missing: The person has no role there.
            Invalid: There are too many topics.
            Unavailable: The store does not answer.
        """
        if await self._role_on(topic) is None:
            raise Missing("there is no such topic")
        self.leave(topic)
        if len(self._topics) >= MOST_TOPICS:
            raise Invalid(f"one connection follows at most {MOST_TOPICS} topics", code="topic.too_many")
        follower, doubts = Follower(topic, self), self._doubts
        first = await self._hub.follow(follower, self._rights, since)
        try:
            role = await self._role_on(topic)  # reading may have taken longer than a role is believed
            if role is None:
                raise Missing("there is no such topic")
            self.line.say(reply(request, encode(first, role)))
        except BaseException:
            self._hub.unfollow(follower)
            raise
        self._begin(follower, role, doubts)

    def leave(self, topic: str) -> None:
        """Follow a topic no more, and forget what of it waits."""
        follower = self._topics.pop(topic, None)
        if follower is not None:
            self._hub.unfollow(follower)

    def end(self) -> None:
        """Follow nothing any more."""
        self._over = True
        self._pending.clear()
        for task in self._asking:
            task.cancel()
        for topic in list(self._topics):
            self.leave(topic)
        # Both lead back to whoever made this; without them a closed socket is freed at once.
        self._role_on, self._look = _no_role, _no_look

    async def recheck(self) -> None:
        """Look at the role on every topic: end those without one, begin anew those with another.

        Raises:
            Closing: The peer does not read what would have to be said.
            Unavailable: The store does not answer.
        """
        for topic, follower in list(self._topics.items()):
            doubts = self._doubts
            role = await self._role_on(topic)
            if self._topics.get(topic) is not follower:
                continue
            if role is None:
                self.leave(topic)
                self.line.say(orjson.dumps({"type": "closed", "topic": topic, "code": "access.ended"}))
            elif role != follower.role:
                # The events that are allowed have changed in every machine.
                self.leave(topic)
                renewed = Follower(topic, self)
                first = await self._hub.follow(renewed, self._rights)
                if self.line.backed_up:
                    self._hub.unfollow(renewed)
                    raise Closing(Close.INSUFFICIENT)
                self.line.say(encode(pushed(first), role))
                self._begin(renewed, role, doubts)
            elif follower.doubted:
                self._begin(follower, role, doubts)

    def doubt(self) -> None:
        """See `Listening.doubt`."""
        self._doubts += 1
        for follower in self._topics.values():
            follower.doubted = True  # first, so that nothing of what waits in the lane is sent aside
            follower.step_aside()
        self._look()

    def stalled(self) -> None:
        """The line is blocked: what is published from now on waits here."""
        for follower in self._topics.values():
            follower.step_aside()

    def flowing(self) -> None:
        """The line takes bytes again."""
        self._drain()
        if not self.line.blocked:
            for follower in tuple(self._topics.values()):
                follower.settle()

    def wait(self, follower: Follower) -> None:
        """See `Listening.wait`."""
        if follower not in self._pending:
            self._pending.append(follower)
        self._drain()
        if len(self._pending) > 1 and self._bytes() > MOST_BYTES:
            self.line.end(Close.SLOW)

    def _bytes(self) -> int:
        return sum(each.backlog.bytes for each in self._topics.values() if each.backlog is not None)

    def _begin(self, follower: Follower, role: Role, doubts: int) -> None:
        if self._over:
            self._hub.unfollow(follower)
            return
        self._topics[follower.topic] = follower
        follower.role = role
        if doubts != self._doubts:
            self._look()  # the rights have changed since they were asked for
            return
        follower.until = self._rights.known_until(self.person.id, follower.topic)
        follower.doubted = False
        self.wait(follower)
        follower.settle()

    def _ask(self, follower: Follower) -> None:
        follower.doubted = True
        task = asyncio.create_task(self._ask_role(follower, self._doubts))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask_role(self, follower: Follower, doubts: int) -> None:
        try:
            role = await self._role_on(follower.topic)
        except Exception as error:
            logger.warning(
                "The role of a topic's follower cannot be asked for.",
                exc_info=fault_of(error).status == 500,
                extra={"action": "following.role", "topic": follower.topic, "error": type(error).__name__},
            )
            self.line.end(Close.INSUFFICIENT)
            return
        if self._topics.get(follower.topic) is not follower:
            return
        if role == follower.role:
            self._begin(follower, role, doubts)
        else:
            self._look()

    def _drain(self) -> None:
        """Send what waits, one message of each topic in turn, while the socket takes it."""
        if self._draining:
            return
        self._draining = True
        try:
            while self._pending and not self.line.blocked:
                follower = self._pending.popleft()
                if follower.doubted or follower.backlog is None:
                    continue
                if len(follower.backlog) and time.monotonic() >= follower.until:
                    self._ask(follower)
                    continue
                message = follower.backlog.take()
                if message is None:
                    follower.settle()
                    continue
                self._pending.append(follower)
                self.line.say(encode(message, follower.role))
        finally:
            self._draining = False


async def _no_role(topic: str) -> Role | None:
    return None


def _no_look() -> None:
    pass
