"""One webhook's deliveries: its topic's entries in order, each until it is taken or given up.

The position is written after the answer. Whoever is killed between the two leaves it to the next
holder of the lease to send the same once more, with the same ids.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from machines.event import Role
from server.cloudevents import BATCH_CONTENT_TYPE, CONTENT_TYPE, batch, cloud_event, event_id
from server.engine import Engine
from server.hub import Hub, Since
from server.published import pushed
from server.rights import Rights
from server.subscription import Slow, Subscription
from server.webhooks_hosts import TargetRefused
from server.webhooks_replay import missed
from server.webhooks_sending import Parcel, Sender, Sent
from storage.journal_reading import JournalReading
from storage.people import People
from storage.webhook_deliveries import Attempt, LeaseLost, WebhookDeliveries
from storage.webhooks import Hook

logger = logging.getLogger(__name__)

ROLE: Role = "owner"
"""Whoever sends a topic's entries elsewhere must be its owner, and stay it."""

ACCESS_ENDED = "access.ended"
REFUSED = "target.refused"
GONE = "target.gone"
FAILED = "target.failing"

_LINGER_S = 0.05
"""How long a webhook that takes batches waits for one to fill."""
_SAVE_S = 5.0
"""How often a position is written that only entries moved which nobody wants."""

Message = dict[str, Any]
Chunk = list[tuple[Message, Since]]
"""Messages, each with the position that they bring the webhook to."""


@dataclass(frozen=True)
class Patience:
    """How often and for how long a delivery is tried; times are seconds."""

    tries: int
    pause_after_s: float
    first_wait_s: float
    longest_wait_s: float

    def wait_s(self, tries: int, asked_s: float) -> float:
        """How long to wait after so many tries: twice as long each time, never all at the same moment."""
        wait_s = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(tries - 1, 30))
        return max(asked_s, wait_s * random.uniform(0.5, 1.0))


@dataclass(frozen=True)
class Tools:
    """What every delivery works with."""

    engine: Engine
    hub: Hub
    rights: Rights
    people: People
    journal: JournalReading
    deliveries: WebhookDeliveries
    sender: Sender
    patience: Patience


class Delivery:
    """Delivers one webhook for as long as its lease lasts; `run` ends with `LeaseLost`, or when it is paused.

    Args:
        held_until: When the lease ends, by `time.monotonic`.
    """

    def __init__(self, hook: Hook, tools: Tools, held_until: Callable[[], float]) -> None:
        self._hook = hook
        self._tools = tools
        self._held_until = held_until
        self._position = Since(hook.epoch, hook.position)
        self._tries = hook.tries
        self._failing_since = hook.failing_since
        self._next_try_at = hook.next_try_at
        self._saved_at = time.monotonic()
        self._paused = False

    async def run(self) -> None:
        """Deliver.

        Raises:
            LeaseLost: Another server may deliver by now, or the webhook was changed.
            Unavailable, RedisError, SQLAlchemyError: A store does not answer.
        """
        while not self._paused:
            if self._next_try_at is not None:
                await asyncio.sleep((self._next_try_at - datetime.now(UTC)).total_seconds())
            subscription = await self._tools.hub.subscribe(self._hook.topic, self._position)
            try:
                async for chunk in self._chunks(subscription):
                    if not await self._deliver(chunk):
                        break
            except Slow:
                pass  # the log has what did not fit
            finally:
                subscription.close()

    async def _chunks(self, subscription: Subscription) -> AsyncIterator[Chunk]:
        """What there is to deliver, at first what was missed; ends where it must be asked for anew."""
        first = subscription.first
        now = Since(first["epoch"], first["offset"])
        if first["recovered"]:
            yield [(entry, _position(entry)) for entry in first["entries"]]
        else:
            tools, topic = self._tools, self._hook.topic
            pages = await missed(tools.engine.store, tools.journal, topic, self._position, now)
            if pages is not None:
                subscription.close()
                async for page in pages:
                    yield [(entry, Since(now.epoch, offset)) for entry, offset in page]
                return
            yield [(pushed(first), now)]
        while True:
            try:
                chunk = [await anext(subscription)]
                if self._hook.batch > 1:
                    await self._fill(chunk, subscription)
            except StopAsyncIteration:
                return
            yield [(message, _position(message)) for message in chunk if message["type"] != "passing"]

    async def _fill(self, chunk: list[Any], subscription: Subscription) -> None:
        try:
            async with asyncio.timeout(_LINGER_S):
                while len(chunk) < self._hook.batch:
                    chunk.append(await anext(subscription))
        except TimeoutError:
            return

    async def _deliver(self, chunk: Chunk) -> bool:
        """Send what is wanted of a chunk; False where something has to be tried again later."""
        wanted = [(self._shown(message), there) for message, there in chunk if self._wants(message)]
        for start in range(0, len(wanted), self._hook.batch):
            part = wanted[start : start + self._hook.batch]
            if not await self._send([message for message, _ in part], part[-1][1]):
                return False
        if chunk and chunk[-1][1] != self._position:
            self._position = chunk[-1][1]
            if time.monotonic() - self._saved_at > _SAVE_S:
                await self._save(None)
        return True

    async def _send(self, messages: Sequence[Message], there: Since) -> bool:
        role = await self._role()
        if role != ROLE:
            return await self._pause(ACCESS_ENDED)
        try:
            self._tools.sender.targets.check(self._hook.url)
        except TargetRefused:
            return await self._pause(REFUSED)
        parcel = self._parcel(messages, role)
        if time.monotonic() + self._tools.sender.timeout_s > self._held_until():
            raise LeaseLost(self._hook.id)
        sent = await self._tools.sender.send(self._hook, parcel)
        if sent.attempt.delivered:
            self._position, self._tries, self._failing_since, self._next_try_at = there, 0, None, None
            await self._save(sent.attempt)
            return True
        return await self._failed(sent, parcel, there)

    async def _failed(self, sent: Sent, parcel: Parcel, there: Since) -> bool:
        patience, attempt = self._tools.patience, sent.attempt
        self._tries += 1
        since = self._failing_since = self._failing_since or attempt.at
        if attempt.status == 410:
            return await self._pause(GONE, attempt)
        if (attempt.at - since).total_seconds() >= patience.pause_after_s:
            return await self._pause(FAILED, attempt)
        if self._tries >= patience.tries:
            await self._tools.deliveries.give_up(
                self._hook,
                attempt,
                epoch=there.epoch,
                position=there.offset,
                since=since,
                content_type=parcel.content_type,
                body=parcel.body,
                tries=self._tries,
            )
            self._position, self._tries, self._next_try_at = there, 0, None
            return True
        wait_s = patience.wait_s(self._tries, sent.retry_after_s)
        self._next_try_at = datetime.now(UTC) + timedelta(seconds=wait_s)
        await self._tools.deliveries.postpone(
            self._hook, attempt, tries=self._tries, since=since, until=self._next_try_at
        )
        return False

    async def _pause(self, why: str, attempt: Attempt | None = None) -> bool:
        self._paused = True
        logger.warning(
            "A webhook was paused.", extra={"action": "webhook.paused", "webhook": self._hook.id, "why": why}
        )
        if attempt is not None:
            await self._notify(why, attempt)
        await self._tools.deliveries.stop(self._hook, why, attempt)
        return False

    async def _notify(self, why: str, attempt: Attempt) -> None:
        """Tell the owner, before it is noted: a repeat tells nothing twice."""
        cause = "says that it is gone" if why == GONE else "has taken nothing for days"
        reason = attempt.error or f"HTTP status {attempt.status}"
        await self._tools.engine.spawn(
            "notification",
            f"user:{self._hook.user_id}",
            {
                "title": "A webhook was paused",
                "body": f"{self._hook.url[:300]} {cause} ({reason}). Nothing is lost: resume it, and it goes "
                "on where it stopped.",
                "level": "warning",
                "about": self._hook.topic,
            },
            event_id=f"webhook:{self._hook.id}:{self._hook.term}:{why}",
        )

    async def _save(self, attempt: Attempt | None) -> None:
        self._saved_at = time.monotonic()
        await self._tools.deliveries.advance(self._hook, self._position.epoch, self._position.offset, attempt)

    async def _role(self) -> Role | None:
        person = await self._tools.people.get(self._hook.user_id)
        return None if person is None else await self._tools.rights.role(person, self._hook.topic)

    def _wants(self, message: Message) -> bool:
        if message["type"] == "snapshot":
            return True  # it says that entries are missing, whichever they were
        hook = self._hook
        return (not hook.kinds or message["kind"] in hook.kinds) and (
            not hook.events or message["event"] in hook.events
        )

    def _shown(self, message: Message) -> Message:
        """A snapshot holds only machines of the kinds that are wanted."""
        if message["type"] != "snapshot" or not self._hook.kinds:
            return message
        machines = [each for each in message["machines"] if each["kind"] in self._hook.kinds]
        return {**message, "machines": machines}

    def _parcel(self, messages: Sequence[Message], role: Role) -> Parcel:
        events = [cloud_event(message, role, at=time.time()) for message in messages]
        message_id = event_id(messages[0])
        if self._hook.batch == 1:
            return Parcel(message_id, CONTENT_TYPE, events[0])
        if len(messages) > 1:
            message_id += f"+{len(messages) - 1}"
        return Parcel(message_id, BATCH_CONTENT_TYPE, batch(events), len(events))


def _position(message: Message) -> Since:
    return Since(message["epoch"], message["offset"])
