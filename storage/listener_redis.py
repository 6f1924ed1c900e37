"""Hearing topics over one Redis connection that is made anew whenever it breaks."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from storage.keys import topic_keys
from storage.machine_store import Heard, shard_of
from storage.outage import met_closed_transport
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
        self._connection: AbstractConnection | None = None
        self._unconfirmed: Counter[str] = Counter()
        self._wanted = asyncio.Event()
        self._sending = asyncio.Lock()
        self._ended = asyncio.Event()

    async def join(self, topic: str) -> None:
        """Ask to hear a topic; `Heard(topic, "joined")` tells when that has begun."""
        channel = topic_keys(shard_of(topic, self._shards), topic).channel
        self._channels[topic], self._topics[channel] = channel, topic
        self._wanted.set()
        await self._send("SUBSCRIBE", [channel])

    async def leave(self, topic: str) -> None:
        """Hear a topic no longer."""
        channel = self._channels.pop(topic, None)
        if channel is not None:
            del self._topics[channel]
            await self._send("UNSUBSCRIBE", [channel])

    async def aclose(self) -> None:
        """End the connection; the iteration ends."""
        self._ended.set()
        self._wanted.set()
        await self._drop()

    async def __aiter__(self) -> AsyncGenerator[Heard, None]:
        """What is published on the joined topics, as `Listener` promises."""
        pause_s = 0.0
        try:
            while not self._ended.is_set():
                await self._wanted.wait()
                try:
                    await self._connect()
                    async for heard in self._read():
                        pause_s = 0.0
                        yield heard
                except (RedisError, RedisClusterException, OSError, orjson.JSONDecodeError) as error:
                    if self._ended.is_set():
                        break
                    logger.warning(
                        "The connection that hears topics broke; it is made anew.",
                        extra={"action": "listener.lost", "error": str(error)},
                    )
                    await self._drop()
                    pause_s = min(_LONGEST_PAUSE_S, pause_s * 2 or 0.05)
                    await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
        finally:
            await self._drop()

    async def _connect(self) -> None:
        make: Any
        make, settings = await to_any(self._redis)
        settings = {k: v for k, v in settings.items() if not k.startswith("maint_notifications")}
        quiet: dict[str, Any] = {
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": 0,
        }
        connection = make(**settings | quiet)
        async with self._sending:
            self._unconfirmed.clear()
            self._connection = connection
            await connection.connect()
        # A topic joined since has sent its own; a second confirmation does no harm.
        if self._channels:
            await self._send("SUBSCRIBE", list(self._channels.values()))

    async def _drop(self) -> None:
        async with self._sending:
            connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def _send(self, command: str, channels: list[str]) -> None:
        async with self._sending:
            if self._connection is None:
                return  # whoever connects asks for every wanted channel
            if command == "SUBSCRIBE":
                self._unconfirmed.update(channels)
            try:
                await self._connection.send_command(command, *channels)
            except (RedisError, OSError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and not met_closed_transport(error):
                    raise
                # The reader meets the same broken connection, and asks for all channels again.
                await self._connection.disconnect(nowait=True)

    async def _read(self) -> AsyncIterator[Heard]:
        heard_at = time.monotonic()
        while not self._ended.is_set():
            connection = self._connection
            if connection is None or not connection.is_connected:
                raise ConnectionError("the connection is closed")
            reply = await connection.read_response(
                timeout=_LOOK_S, disable_decoding=True, disconnect_on_error=False
            )
            if reply is None:
                quiet_s = time.monotonic() - heard_at
                if quiet_s > _DEAD_S:
                    raise ConnectionError(f"no sign of life for {quiet_s:.0f} s")
                if quiet_s > _QUIET_S:
                    await self._send("PING", [])
                continue
            heard_at = time.monotonic()
            heard = self._understand(reply)
            if heard is not None:
                yield heard

    def _understand(self, reply: Any) -> Heard | None:
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
        if what != b"message" or topic is None:
            return None
        message = orjson.loads(reply[2])
        return Heard(topic, "entry" if message["type"] == "entry" else "passing", message, len(reply[2]))
