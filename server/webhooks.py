"""Every webhook of the instance, each delivered by one server at a time.

A server takes what nobody holds, by a lease that it renews; it looks for more now and then, and at
once when somebody changed a webhook.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from secrets import token_hex

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from server.ending import end
from server.engine import Engine
from server.hub import Hub
from server.rights import Rights
from server.settings import Settings
from server.webhooks_delivery import Delivery, Patience, Tools
from server.webhooks_sending import TIMEOUT_S, Sender
from storage.journal_reading import JournalReading
from storage.machine_store import Unavailable
from storage.people import People
from storage.webhook_deliveries import LeaseLost, WebhookDeliveries
from storage.webhooks import Hook

logger = logging.getLogger(__name__)

CHANNEL = "webhooks"
LEASE_S = 30.0
LOOK_S = 5.0
FIRST_WAIT_S = 5.0
LONGEST_WAIT_S = 3600.0
assert LEASE_S > TIMEOUT_S + 2 * LOOK_S, "a request begun under a lease must end under it"


async def announce(redis: Redis) -> None:
    """Have every server look at the webhooks again."""
    await redis.publish(CHANNEL, b"")


def deliverer_of(
    settings: Settings,
    engine: Engine,
    hub: Hub,
    rights: Rights,
    people: People,
    deliveries: WebhookDeliveries,
    sender: Sender,
    *,
    redis: Redis,
    database: AsyncEngine,
) -> Deliverer:
    """The deliverer of this server, as patient as the settings say."""
    patience = Patience(
        tries=settings.webhook_attempts,
        pause_after_s=settings.webhook_pause_days * 86_400,
        first_wait_s=FIRST_WAIT_S,
        longest_wait_s=LONGEST_WAIT_S,
    )
    journal = JournalReading(database)
    tools = Tools(engine, hub, rights, people, journal, deliveries, sender, patience)
    name = f"{socket.gethostname()}-{os.getpid()}-{token_hex(4)}"
    return Deliverer(redis, tools, holder=name, lease_s=LEASE_S, look_s=LOOK_S)


class Deliverer:
    """The deliveries of one server.

    Args:
        holder: Unique among servers and their starts.
        lease_s: How long others wait before they take over from a server that is silent.
        look_s: How often leases are renewed and free webhooks looked for.
    """

    def __init__(self, redis: Redis, tools: Tools, *, holder: str, lease_s: float, look_s: float) -> None:
        self._redis = redis
        self._tools = tools
        self._holder = holder
        self._lease_s = lease_s
        self._look_s = look_s
        self._held_until = 0.0
        self._tasks: dict[str, tuple[int, asyncio.Task[None]]] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Deliver until cancelled; then let others go on at once."""
        listening = asyncio.create_task(self._listen())
        try:
            while True:
                self._changed.clear()
                await self._look()
                try:
                    async with asyncio.timeout(self._look_s):
                        await self._changed.wait()
                except TimeoutError:
                    pass
        finally:
            await end([listening, *(task for _, task in self._tasks.values())])
            self._tasks.clear()
            try:
                await self._tools.deliveries.release(self._holder)
            except (SQLAlchemyError, OSError):
                logger.warning("Webhooks wait for their lease to end.", extra={"action": "webhook.held"})

    async def _look(self) -> None:
        asked = time.monotonic()
        held = {
            hook.id: hook for hook in await self._tools.deliveries.hold(self._holder, lease_s=self._lease_s)
        }
        self._held_until = asked + self._lease_s
        ended = {
            name: task
            for name, (term, task) in self._tasks.items()
            if task.done() or name not in held or held[name].term != term
        }
        await end(task for task in ended.values() if not task.done())
        for name in ended:
            del self._tasks[name]
        for name, hook in held.items():
            if name not in self._tasks:
                self._tasks[name] = (hook.term, asyncio.create_task(self._deliver(hook)))

    async def _deliver(self, hook: Hook) -> None:
        try:
            await Delivery(hook, self._tools, lambda: self._held_until).run()
        except LeaseLost:
            logger.info(
                "A webhook is delivered elsewhere.", extra={"action": "webhook.lost", "webhook": hook.id}
            )
        except (Unavailable, RedisError, SQLAlchemyError, OSError) as error:
            logger.warning(
                "A webhook waits for the stores.",
                extra={"action": "webhook.waits", "webhook": hook.id, "error": type(error).__name__},
            )
        except Exception:  # one webhook's fault is not the others'; the next look tries again
            logger.exception("A webhook failed.", extra={"action": "webhook.failed", "webhook": hook.id})

    async def _listen(self) -> None:
        """Hear of changes; after a lost connection the regular look finds them."""
        while True:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(CHANNEL)
                    async for _ in channel.listen():
                        self._changed.set()
            except (RedisError, OSError) as error:
                logger.warning(
                    "The channel of webhooks was lost.",
                    extra={"action": "webhook.deaf", "error": type(error).__name__},
                )
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    return  # what was lost is the cancellation: closing the connection failed on the way out
            await asyncio.sleep(0.5)
