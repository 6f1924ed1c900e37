"""Topics of one process: each is heard and read once, whoever subscribes.

A topic is joined first and read then; what was heard meanwhile is dropped up to the offset read.
From there on every entry must carry the next offset. Where one is missing (messages can be lost,
connections break), the log fills the gap, or a whole snapshot replaces what subscribers have.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from server.ending import end
from server.published import Published, pushed, recovery_of, snapshot_of
from server.subscription import QUEUE_BYTES, QUEUE_MESSAGES, Subscription
from storage.machine_store import Heard, Log, MachineStore, Unavailable

logger = logging.getLogger(__name__)

_JOIN_S = 10.0
_HELD_BACK = 1_000
"""Entries kept while a position is being read; what falls out is a gap and comes from the log."""
_RECENT_BYTES = 2**20
_RECENT_ENTRIES = 1_000


@dataclass(frozen=True)
class Since:
    """Where a subscriber had come to."""

    epoch: str
    offset: int


class _Topic:
    """What this process knows of a topic.

    Attributes:
        epoch: Empty until the first read.
        offset: Of the last entry handed on.
        known: Whether the next entry can be handed on; else entries are held back.
        recent: The newest entries handed on, without gap, up to `offset`.
        snapshot: The state at an offset from which `recent` goes on.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.joined = asyncio.Event()
        self.reading = asyncio.Lock()
        self.epoch = ""
        self.offset = 0
        self.known = False
        self.held_back: deque[Published] = deque(maxlen=_HELD_BACK)
        self.recent: deque[Published] = deque()
        self.recent_bytes = 0
        self.snapshot: Published | None = None
        self.subscribers: set[Subscription] = set()
        self.arriving = 0

    @property
    def recent_from(self) -> int:
        """The offset after which every entry is in `recent`."""
        return self.offset - len(self.recent)

    def begin_at(self, epoch: str, offset: int) -> None:
        """Take a position that was read."""
        self.epoch, self.offset, self.known = epoch, offset, True
        self.recent.clear()
        self.recent_bytes = 0
        self.snapshot = None

    def after(self, offset: int) -> list[Published]:
        """Recent entries after an offset that `recent` reaches back to."""
        return list(self.recent)[offset - self.recent_from :]

    def hand_on(self, entry: Published) -> None:
        """Give the next entry to every subscriber."""
        self.offset = entry["offset"]
        self.recent.append(entry)
        self.recent_bytes += entry.size
        self._trim()
        for subscriber in list(self.subscribers):
            subscriber.offer(entry)

    def reach_back(self, log: Log, after: int) -> None:
        """Keep entries older than `recent`, so that the next one to resume there needs no read."""
        older = log.entries[: self.recent_from - after]
        if log.epoch == self.epoch and self.recent_from - after == len(older):
            entries = [Published(entry, size) for entry, size in zip(older, log.sizes, strict=False)]
            self.recent.extendleft(reversed(entries))
            self.recent_bytes += sum(entry.size for entry in entries)
            self._trim()

    def _trim(self) -> None:
        while self.recent_bytes > _RECENT_BYTES or len(self.recent) > _RECENT_ENTRIES:
            self.recent_bytes -= self.recent.popleft().size
        if self.snapshot is not None and self.snapshot["offset"] < self.recent_from:
            self.snapshot = None


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
        self._topics: dict[str, _Topic] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Hub:
        self._spawn(self._hear())
        self._spawn(self._check())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for topic in list(self._topics.values()):
            for subscriber in list(topic.subscribers):
                subscriber.close()
        await self._listener.aclose()
        tasks = list(self._tasks)
        await end(tasks)

    @property
    def topics(self) -> dict[str, int]:
        """How many subscribers each topic has in this process."""
        return {name: len(topic.subscribers) for name, topic in self._topics.items()}

    async def subscribe(self, topic: str, since: Since | None = None) -> Subscription:
        """Follow a topic from now on, or from `since` if its log still reaches back there.

        Raises:
            Unavailable: The store does not answer.
        """
        found = self._topics.get(topic)
        if found is None:
            found = self._topics[topic] = _Topic(topic)
        found.arriving += 1
        try:
            if not found.joined.is_set():
                await self._join(found)
            async with found.reading:
                if found.epoch and not found.known:
                    await self._catch_up(found)
                return await self._admit(found, since)
        finally:
            found.arriving -= 1
            self._leave_if_idle(found)

    async def _join(self, topic: _Topic) -> None:
        try:
            async with asyncio.timeout(_JOIN_S):
                await self._listener.join(topic.name)
                await topic.joined.wait()
        except TimeoutError:
            raise Unavailable("the store does not let a topic be heard") from None

    async def _admit(self, topic: _Topic, since: Since | None) -> Subscription:
        """Find the first answer, then add the subscriber without a pause in between."""
        while True:
            first = self._at_hand(topic, since) or await self._read(topic, since)
            if first["epoch"] != topic.epoch or first["offset"] >= topic.recent_from:
                break  # else so much has come during the read that `recent` has a gap to it
        subscription = Subscription(
            topic.name,
            first,
            on_close=self._remove,
            queue_bytes=self._queue_bytes,
            queue_messages=self._queue_messages,
        )
        topic.subscribers.add(subscription)
        if first["epoch"] != topic.epoch:
            self._lose(topic)
        elif first["offset"] < topic.offset:
            for entry in topic.after(first["offset"]):
                subscription.offer(entry)
        self._release(topic)
        return subscription

    def _at_hand(self, topic: _Topic, since: Since | None) -> Published | None:
        """The first answer without a read, if what is in memory suffices."""
        if not topic.known:
            return None
        if since is not None and since.epoch == topic.epoch:
            if topic.recent_from <= since.offset <= topic.offset:
                entries: list[dict[str, Any]] = list(topic.after(since.offset))
                return recovery_of(topic.name, topic.epoch, topic.offset, entries)
            return None
        return topic.snapshot

    async def _read(self, topic: _Topic, since: Since | None) -> Published:
        if since is not None:
            log = await self._store.read_log(topic.name, since.epoch, since.offset)
            if log is not None:
                if not topic.epoch:
                    topic.begin_at(log.epoch, log.offset)
                topic.reach_back(log, since.offset)
                return recovery_of(topic.name, log.epoch, log.offset, log.entries)
        snapshot = snapshot_of(await self._store.read_topic(topic.name))
        if not topic.epoch:
            topic.begin_at(snapshot["epoch"], snapshot["offset"])
        if snapshot["epoch"] == topic.epoch and topic.recent_from <= snapshot["offset"] <= topic.offset:
            topic.snapshot = snapshot
        return snapshot

    async def _hear(self) -> None:
        async for heard in self._listener:
            topic = self._topics.get(heard.topic)
            if topic is not None:
                self._take(topic, heard)

    def _take(self, topic: _Topic, heard: Heard) -> None:
        match heard.what:
            case "joined":
                if topic.joined.is_set():
                    self._lose(topic)  # the connection was away for a while
                topic.joined.set()
            case "passing":
                message = Published(heard.message, heard.size)
                for subscriber in list(topic.subscribers):
                    subscriber.offer(message)
            case "entry":
                self._receive(topic, Published(heard.message, heard.size))

    def _receive(self, topic: _Topic, entry: Published) -> None:
        if not topic.known:
            topic.held_back.append(entry)
        elif entry["epoch"] != topic.epoch or entry["offset"] > topic.offset + 1:
            topic.held_back.append(entry)
            self._lose(topic)
        elif entry["offset"] == topic.offset + 1:
            topic.hand_on(entry)

    def _release(self, topic: _Topic) -> None:
        """Hand on what was held back."""
        held_back = list(topic.held_back)
        topic.held_back.clear()
        for entry in held_back:
            self._receive(topic, entry)

    def _lose(self, topic: _Topic) -> None:
        """The position is in doubt: hold entries back and read it."""
        if topic.known:
            topic.known = False
            self._spawn(self._find_again(topic))

    async def _find_again(self, topic: _Topic) -> None:
        pause_s = 0.05
        while self._topics.get(topic.name) is topic and not topic.known:
            try:
                async with topic.reading:
                    if not topic.known:
                        await self._catch_up(topic)
            except Unavailable:
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(2.0, pause_s * 2)

    async def _catch_up(self, topic: _Topic) -> None:
        log = await self._store.read_log(topic.name, topic.epoch, topic.offset)
        if log is not None:
            topic.known = True
            for entry, size in zip(log.entries, log.sizes, strict=True):
                topic.hand_on(Published(entry, size))
        else:
            snapshot = snapshot_of(await self._store.read_topic(topic.name))
            topic.begin_at(snapshot["epoch"], snapshot["offset"])
            topic.snapshot = snapshot
            message = pushed(snapshot)
            for subscriber in list(topic.subscribers):
                subscriber.offer(message)
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

    def _leave_if_idle(self, topic: _Topic) -> None:
        idle = not topic.subscribers and not topic.arriving
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
            for topic in list(self._topics.values()):
                for subscriber in list(topic.subscribers):
                    subscriber.close()
