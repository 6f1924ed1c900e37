"""Topics of one process: each is heard and read once, whoever subscribes.

A topic is joined first and read then; what was heard meanwhile is dropped up to the offset read.
From there on every entry must carry the next offset. Where one is missing (messages can be lost,
connections break), the log fills the gap, or a whole snapshot replaces what subscribers have.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from server.audience import Audience
from server.backlog import QUEUE_BYTES, QUEUE_MESSAGES
from server.ending import end
from server.errors import Close
from server.follower import Follower
from server.known_topic import KnownTopic
from server.published import Published, pushed, snapshot_of
from server.rights import Rights
from server.subscription import Subscription
from storage.machine_store import Heard, Log, MachineStore, Unavailable

logger = logging.getLogger(__name__)

_JOIN_S = 10.0
_STEADY_S = 10.0
"""A listener that has gone well for so long begins anew without a pause."""


Admitted = TypeVar("Admitted")


@dataclass(frozen=True)
class Since:
    """Where a subscriber had come to."""

    epoch: str
    offset: int


class Hub:
    """Subscriptions to topics of a store; use it as an async context manager.

    Args:
        check_s: How often a topic's position is compared with the store's, in seconds, about.
        queue_bytes: Bound of each subscriber's queue.
        queue_messages: Bound of each subscriber's queue.
    """

    def __init__(
        self,
        store: MachineStore,
        *,
        check_s: float = 40.0,
        queue_bytes: int = QUEUE_BYTES,
        queue_messages: int = QUEUE_MESSAGES,
    ) -> None:
        self._store = store
        self._check_s = check_s
        self._queue_bytes = queue_bytes
        self._queue_messages = queue_messages
        self._listener = store.listen()
        self._topics: dict[str, KnownTopic] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Hub:
        self._spawn(self._hear())
        self._spawn(self._check())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        audiences = [topic.audience for topic in self._topics.values() if topic.audience is not None]
        self._give_up()
        await self._listener.aclose()
        tasks = list(self._tasks)
        await end(tasks)
        for audience in audiences:
            await audience.close()

    @property
    def topics(self) -> dict[str, int]:
        """How many subscribers each topic has in this process."""
        return {name: len(topic) for name, topic in self._topics.items()}

    async def subscribe(self, topic: str, since: Since | None = None) -> Subscription:
        """Follow a topic from now on, or from `since` if its log still reaches back there.

        Raises:
            Unavailable: The store does not answer.
        """

        def admit(found: KnownTopic, first: Published) -> Subscription:
            subscription = Subscription(
                topic,
                first,
                on_close=self._remove,
                queue_bytes=self._queue_bytes,
                queue_messages=self._queue_messages,
            )
            found.subscribers.add(subscription)
            for entry in found.after(first):
                subscription.offer(entry)
            return subscription

        return await self._arrive(topic, since, admit)

    async def follow(self, follower: Follower, rights: Rights, since: Since | None = None) -> Published:
        """As `subscribe`, for a socket: the first answer, after which nothing is sent until `settle`.

        Raises:
            Unavailable: The store does not answer.
        """

        def admit(found: KnownTopic, first: Published) -> Published:
            audience = found.audience
            if audience is None:
                audience = found.audience = Audience(
                    found.name, rights, queue_bytes=self._queue_bytes, queue_messages=self._queue_messages
                )
                audience.position = (found.epoch, found.offset)
            audience.add(follower, first)
            for entry in found.after(first):
                follower.offer(entry)
            return first

        return await self._arrive(follower.topic, since, admit)

    def unfollow(self, follower: Follower) -> None:
        """Forget a follower."""
        topic = self._topics.get(follower.topic)
        if topic is not None and topic.audience is not None:
            topic.audience.remove(follower)
            self._leave_if_idle(topic)

    async def _arrive(
        self, name: str, since: Since | None, admit: Callable[[KnownTopic, Published], Admitted]
    ) -> Admitted:
        found = self._topics.get(name)
        if found is None:
            found = self._topics[name] = KnownTopic(name)
        found.arriving += 1
        try:
            if not found.joined.is_set():
                await self._join(found)
            async with found.reading:
                if found.epoch and not found.known:
                    await self._catch_up(found)
                first = await self._first(found, since)
                # From here on without a pause, so that nothing comes in between.
                admitted = admit(found, first)
                if first["epoch"] != found.epoch:
                    self._lose(found)
                self._release(found)
                return admitted
        finally:
            found.arriving -= 1
            self._leave_if_idle(found)

    async def _join(self, topic: KnownTopic) -> None:
        try:
            async with asyncio.timeout(_JOIN_S):
                if not topic.asked:
                    # Once for a crowd: what is joined again may have missed something, and is read anew.
                    topic.asked = True
                    self._spawn(self._listener.join(topic.name))
                await topic.joined.wait()
        except TimeoutError:
            raise Unavailable("the store does not let a topic be heard") from None

    async def _first(self, topic: KnownTopic, since: Since | None) -> Published:
        while True:
            first = self._at_hand(topic, since) or await self._read(topic, since)
            if first["epoch"] != topic.epoch or first["offset"] >= topic.recent_from:
                return first  # else so much has come during the read that `recent` has a gap to it

    def _at_hand(self, topic: KnownTopic, since: Since | None) -> Published | None:
        """The first answer without a read, if what is in memory suffices."""
        if not topic.known:
            return None
        if since is not None and since.epoch == topic.epoch:
            found = topic.recoveries.get(since.offset)
            if found is None and topic.recent_from <= since.offset <= topic.offset:
                entries = topic.since(since.offset)
                found = topic.recovery(topic.epoch, since.offset, topic.offset, entries)
            return found
        return topic.snapshot

    async def _read(self, topic: KnownTopic, since: Since | None) -> Published:
        if since is not None:
            log = await self._store.read_log(topic.name, since.epoch, since.offset)
            if log is not None:
                if not topic.epoch:
                    topic.begin_at(log.epoch, log.offset)
                entries = _published(log)
                topic.reach_back(log.epoch, entries, since.offset)
                return topic.recovery(log.epoch, since.offset, log.offset, entries)
        snapshot = snapshot_of(await self._store.read_topic(topic.name))
        if not topic.epoch:
            topic.begin_at(snapshot["epoch"], snapshot["offset"])
        if snapshot["epoch"] == topic.epoch and topic.recent_from <= snapshot["offset"] <= topic.offset:
            topic.snapshot = snapshot
        return snapshot

    async def _hear(self) -> None:
        pause_s = 0.05
        while True:
            began = time.monotonic()
            try:
                # Begun anew, it joins every topic anew, and each is then read again.
                await self._listener.hear(self._take)
                return
            except Exception:
                logger.exception(
                    "Topics cannot be heard; listening begins anew.", extra={"action": "hub.deaf"}
                )
            if time.monotonic() - began > _STEADY_S:
                pause_s = 0.05
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2.0, pause_s * 2)

    def _take(self, heard: Heard) -> None:
        topic = self._topics.get(heard.topic)
        if topic is None:
            return
        match heard.what:
            case "joined":
                if topic.joined.is_set():
                    self._lose(topic)  # the connection was away for a while
                topic.joined.set()
            case "passing":
                topic.offer(Published(heard.message, heard.size))
            case "entry":
                self._receive(topic, Published(heard.message, heard.size))

    def _receive(self, topic: KnownTopic, entry: Published) -> None:
        if not topic.known:
            topic.held_back.append(entry)
        elif entry["epoch"] != topic.epoch or entry["offset"] > topic.offset + 1:
            topic.held_back.append(entry)
            self._lose(topic)
        elif entry["offset"] == topic.offset + 1:
            topic.hand_on(entry)

    def _release(self, topic: KnownTopic) -> None:
        """Hand on what was held back."""
        held_back = list(topic.held_back)
        topic.held_back.clear()
        for entry in held_back:
            self._receive(topic, entry)

    def _lose(self, topic: KnownTopic) -> None:
        """The position is in doubt: hold entries back and read it."""
        if topic.known:
            topic.known = False
            self._spawn(self._find_again(topic))

    async def _find_again(self, topic: KnownTopic) -> None:
        pause_s = 0.05
        while self._topics.get(topic.name) is topic and not topic.known:
            try:
                async with topic.reading:
                    if not topic.known:
                        await self._catch_up(topic)
            except Unavailable:
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(2.0, pause_s * 2)

    async def _catch_up(self, topic: KnownTopic) -> None:
        log = await self._store.read_log(topic.name, topic.epoch, topic.offset)
        if log is not None:
            topic.known = True
            for entry in _published(log):
                topic.hand_on(entry)
        else:
            snapshot = snapshot_of(await self._store.read_topic(topic.name))
            topic.begin_at(snapshot["epoch"], snapshot["offset"])
            topic.snapshot = snapshot
            topic.offer(pushed(snapshot))
        self._release(topic)

    async def _check(self) -> None:
        """Compare positions: a lost message shows only by the next one, which may never come."""
        while True:
            await asyncio.sleep(self._check_s * random.uniform(0.75, 1.25))
            for topic in list(self._topics.values()):
                try:
                    position = await self._store.position(topic.name)
                except Unavailable:
                    break  # the listener notices, too, and every topic is read again
                if topic.known and position != (topic.epoch, topic.offset):
                    self._lose(topic)

    def _remove(self, subscription: Subscription) -> None:
        topic = self._topics.get(subscription.topic)
        if topic is not None:
            topic.subscribers.discard(subscription)
            self._leave_if_idle(topic)

    def _leave_if_idle(self, topic: KnownTopic) -> None:
        idle = not len(topic) and not topic.arriving
        if idle and self._topics.get(topic.name) is topic:
            del self._topics[topic.name]
            self._spawn(self._leave(topic.name))

    async def _leave(self, name: str) -> None:
        if name not in self._topics:  # nobody has come back since
            await self._listener.leave(name)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error(
                "A task of the hub failed; subscribers must connect again.",
                extra={"action": "hub.failed"},
                exc_info=error,
            )
            self._give_up()

    def _give_up(self) -> None:
        """Send every subscriber away, who can come again."""
        for topic in list(self._topics.values()):
            for subscriber in list(topic.subscribers):
                subscriber.close()
            for follower in topic.audience.followers() if topic.audience is not None else ():
                follower.session.line.end(Close.INSUFFICIENT)


def _published(log: Log) -> list[Published]:
    return [Published(entry, size) for entry, size in zip(log.entries, log.sizes, strict=True)]
