"""Hearing topics over one Redis connection that is made anew whenever it breaks."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from storage.ear_redis import Ear
from storage.keys import topic_keys
from storage.machine_store import Heard, shard_of
from storage.redis_client import to_any

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
_QUIET_S = 10.0
"""A connection that has been quiet for this long is asked for a sign of life."""
_DEAD_S = 25.0
_LONGEST_PAUSE_S = 2.0


class RedisListener:
    """A connection of its own in RESP2, where a published message is an ordinary reply.

    redis-py's PubSub is not used: it reconnects behind the caller's back, and a listener must know
    when messages were missed.
    """

    def __init__(self, redis: Redis, *, shards: int) -> None:
        self._redis = redis
        self._shards = shards
        self._channels: dict[str, str] = {}
        self._topics: dict[str, str] = {}
        self._ear: Ear | None = None
        self._unconfirmed: Counter[str] = Counter()
        self._heard_at = 0.0
        self._take: Callable[[Heard], None] | None = None
        self._wanted = asyncio.Event()
        self._ended = asyncio.Event()

    async def join(self, topic: str) -> None:
        """Ask to hear a topic; `Heard(topic, "joined")` tells when that has begun."""
        channel = topic_keys(shard_of(topic, self._shards), topic).channel
        self._channels[topic], self._topics[channel] = channel, topic
        self._wanted.set()
        self._ask("SUBSCRIBE", [channel])

    async def leave(self, topic: str) -> None:
        """Hear a topic no longer."""
        channel = self._channels.pop(topic, None)
        if channel is not None:
            del self._topics[channel]
            self._ask("UNSUBSCRIBE", [channel])

    async def aclose(self) -> None:
        """End the connection; `hear` returns."""
        self._ended.set()
        self._wanted.set()
        await self._drop()

    async def hear(self, take: Callable[[Heard], None]) -> None:
        """Hand on what is published on the joined topics, as `Listener` promises."""
        pause_s = 0.0
        self._take = take
        try:
            while not self._ended.is_set():
                await self._wanted.wait()
                began = time.monotonic()
                try:
                    await self._listen()
                except (RedisError, RedisClusterException, OSError, orjson.JSONDecodeError) as error:
                    if self._ended.is_set():
                        break
                    logger.warning(
                        "The connection that hears topics broke; it is made anew.",
                        extra={"action": "listener.lost", "error": str(error)},
                    )
                    await self._drop()
                    if self._heard_at >= began:
                        pause_s = 0.0
                    pause_s = min(_LONGEST_PAUSE_S, pause_s * 2 or 0.05)
                    await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
        finally:
            self._take = None
            await self._drop()

    async def _listen(self) -> None:
        """Hear until the connection breaks.

        Raises:
            redis.RedisError, OSError: How it broke, or that it could not be made.
        """
        make: Any
        make, settings = await to_any(self._redis)
        settings = {k: v for k, v in settings.items() if not k.startswith("maint_notifications")}
        quiet: dict[str, Any] = {
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": 0,
        }
        ear = await Ear.connected(make(**settings | quiet), self._understand)
        if self._ended.is_set():
            await ear.aclose()
            return
        self._ear = ear
        self._unconfirmed.clear()
        connected_at = time.monotonic()
        if self._channels:
            self._ask("SUBSCRIBE", list(self._channels.values()))
        while not await ear.lost_within(_LOOK_S):
            quiet_s = time.monotonic() - max(self._heard_at, connected_at)
            if quiet_s > _DEAD_S:
                raise ConnectionError(f"no sign of life for {quiet_s:.0f} s")
            if quiet_s > _QUIET_S:
                self._ask("PING", [])

    async def _drop(self) -> None:
        ear, self._ear = self._ear, None
        if ear is not None:
            await ear.aclose()

    def _ask(self, command: str, channels: list[str]) -> None:
        if self._ear is None:
            return  # whoever connects asks for every wanted channel
        if command == "SUBSCRIBE":
            self._unconfirmed.update(channels)
        self._ear.ask(command, *channels)

    def _understand(self, reply: Any) -> None:
        self._heard_at = time.monotonic()
        heard = self._heard_in(reply)
        if heard is not None and self._take is not None:
            self._take(heard)

    def _heard_in(self, reply: Any) -> Heard | None:
        if not isinstance(reply, list):
            return None  # a pong while no channel is joined
        what, channel = reply[0], reply[1].decode()
        topic = self._topics.get(channel)
        if what == b"subscribe":
            # Only the last of several requests counts: between an earlier one and it, the channel
            # may have been left.
            self._unconfirmed[channel] -= 1
            if self._unconfirmed[channel] > 0:
                return None
            del self._unconfirmed[channel]
            return None if topic is None else Heard(topic, "joined", {})
        # Before the confirmation comes what was published while an earlier joining lasted.
        if what != b"message" or topic is None or channel in self._unconfirmed:
            return None
        message = orjson.loads(reply[2])
        return Heard(topic, "entry" if message["type"] == "entry" else "passing", message, len(reply[2]))
