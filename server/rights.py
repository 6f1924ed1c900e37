"""Who may do what on which topic, remembered for a second and forgotten at once when it changes."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from machines.event import Role
from machines.topics import case_of
from server.admission import Visitor
from storage.cases import Cases
from storage.people import Person

logger = logging.getLogger(__name__)

KNOWN_S = 1.0
_KNOWN_TOPICS = 1000
"""Of one user; whoever asks for made-up topics shall not fill the memory."""

_FEW = 16

_CHANNEL = "user-rights:"

Watcher = Callable[[], None]


async def announce(redis: Redis, user: str) -> None:
    """Have every server process look again at what the user may do."""
    await redis.publish(_CHANNEL + user, b"")


class Rights:
    """Roles by (user, topic).

    A case's topics give the member's role; `user:<id>` belongs to that user; `system` to the
    administrators. Nothing else gives any role.

    Attributes:
        changes: How often something was announced, here or elsewhere, about anybody.
    """

    def __init__(self, cases: Cases, redis: Redis) -> None:
        self._cases = cases
        self._redis = redis
        self._known: dict[str, dict[str, tuple[float, Role | None]]] = {}
        self._leaving: dict[str, tuple[float, bool]] = {}
        self._watchers: dict[str, set[Watcher]] = {}
        self.changes = 0

    async def role(self, user: Person, topic: str) -> Role | None:
        """The user's role on a topic, at most a second old."""
        prefix, _, name = topic.partition(":")
        if prefix == "user":
            return "owner" if name == user.id else None
        if topic == "system":
            return "owner" if user.is_admin else None
        case = case_of(topic)
        if not case or "\0" in case:  # PostgreSQL takes no NUL, not even to compare
            return None
        known = self._known.setdefault(user.id, {})
        until, role = known.get(topic, (0.0, None))
        if until <= time.monotonic():
            asked = time.monotonic()
            role = await self._cases.role(case, user.id)
            self._note(user.id, known, topic, asked, role)
        return role

    async def role_for(self, visitor: Visitor, topic: str) -> Role | None:
        """What is left of the person's role to whoever acts for them, by login or by token."""
        return visitor.limits.cap(await self.role(visitor.person, topic), topic)

    async def topics_of(self, visitor: Visitor) -> list[str]:
        """Every topic that may be read: the person's own, the cases', the system's."""
        person = visitor.person
        topics = [f"user:{person.id}", *(f"case:{case.id}" for case in await self._cases.of_user(person.id))]
        if person.is_admin:
            topics.append("system")
        return [topic for topic in topics if visitor.limits.reach(topic)]

    async def ask(self, topic: str, users: Iterable[str]) -> None:
        """Look anew, with one question, at the roles of all these users on a topic of a case."""
        case = case_of(topic)
        if not case:
            return
        known = {user: self._known.setdefault(user, {}) for user in users}
        asked = time.monotonic()
        roles: dict[str, Role | None]
        if len(known) <= _FEW:  # together with those of other topics
            found = await asyncio.gather(*(self._cases.role(case, user) for user in known))
            roles = dict(zip(known, found, strict=True))
        else:
            roles = {**await self._cases.roles(case, list(known))}
        for user, topics in known.items():
            self._note(user, topics, topic, asked, roles.get(user))

    def known_until(self, user: str, topic: str) -> float:
        """Until when, on the monotonic clock, what `role` last said of a user and a topic may be believed."""
        if not case_of(topic):
            return math.inf
        return self._known.get(user, {}).get(topic, (0.0, None))[0]

    def _note(
        self,
        user: str,
        known: dict[str, tuple[float, Role | None]],
        topic: str,
        asked: float,
        role: Role | None,
    ) -> None:
        # A change announced meanwhile has put a new dictionary there; this answer may be older.
        if self._known.get(user) is known:
            if len(known) >= _KNOWN_TOPICS:
                known.clear()
            known[topic] = (asked + KNOWN_S, role)

    async def leaving(self, topic: str) -> bool:
        """Whether a topic's case waits to be deleted, so that nobody changes anything there; a second old."""
        case = case_of(topic)
        if not case or "\0" in case:
            return False
        until, leaving = self._leaving.get(case, (0.0, False))
        if until <= time.monotonic():
            asked = time.monotonic()
            leaving = await self._cases.is_hidden(case)
            if len(self._leaving) >= _KNOWN_TOPICS:
                self._leaving.clear()
            self._leaving[case] = (asked + KNOWN_S, leaving)
        return leaving

    async def announce(self, user: str) -> None:
        """Have every process look again at what the user may do."""
        self._forget(user)
        await announce(self._redis, user)

    @contextmanager
    def watching(self, user: str, watcher: Watcher) -> Iterator[None]:
        """Have `watcher` called whenever the user's rights may have changed."""
        self.watch(user, watcher)
        try:
            yield
        finally:
            self.unwatch(user, watcher)

    def watch(self, user: str, watcher: Watcher) -> None:
        """Call `watcher` whenever the user's rights may have changed, until `unwatch`."""
        self._watchers.setdefault(user, set()).add(watcher)

    def unwatch(self, user: str, watcher: Watcher) -> None:
        """Call it no longer."""
        watchers = self._watchers.get(user, set())
        watchers.discard(watcher)
        if not watchers:
            self._watchers.pop(user, None)

    async def follow(self) -> None:
        """Hear other processes' announcements until cancelled; after a lost connection ask all anew."""
        while True:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.psubscribe(_CHANNEL + "*")
                    async for message in channel.listen():
                        if message["type"] == "psubscribe":
                            # Also after the client's own reconnect: what was said meanwhile is lost.
                            for user in list(self._watchers.keys() | self._known.keys()):
                                self._forget(user)
                        elif message["type"] == "pmessage":
                            self._forget(message["channel"].decode().removeprefix(_CHANNEL))
            except (RedisError, OSError) as error:
                logger.warning(
                    "The channel of rights was lost.",
                    extra={"action": "rights.lost", "error": type(error).__name__},
                )
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    return  # what was lost is the cancellation: closing the connection failed on the way out
            await asyncio.sleep(0.5)

    def _forget(self, user: str) -> None:
        self.changes += 1
        self._known.pop(user, None)
        for watcher in tuple(self._watchers.get(user, ())):
            watcher()
