"""How the adapters talk to Redis: scripts by digest, few connections at a time, one kind of failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import TimeoutError as NoAnswer

from storage.machine_store import Unavailable

_AT_A_TIME = 48
"""Below redis-py's limit of 100 connections a pool, beyond which it raises instead of waiting."""

_DOWN = (
    LostConnection,
    NoAnswer,
    ReadOnlyError,
    OutOfMemoryError,
    ClusterDownError,
    MasterDownError,
    TryAgainError,
)


@cache
def _source(name: str) -> str:
    return (Path(__file__).parent / f"{name}.lua").read_text()


class RedisCalls:
    """Calls with a client whose replies are bytes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._scripts = {
            name: redis.register_script(_source(name))
            for name in ("commit", "evict", "read_topic", "read_log", "retry", "lease", "drop_timer")
        }
        self._free = asyncio.Semaphore(_AT_A_TIME)

    @asynccontextmanager
    async def _answered(self) -> AsyncIterator[None]:
        """Wait for a turn; a Redis that does not answer, or takes no writes, is `Unavailable`."""
        async with self._free:
            try:
                yield
            except _DOWN as error:
                raise Unavailable(f"Redis does not answer: {error}") from error

    async def _run(self, script: str, keys: Sequence[str], args: Sequence[str | bytes | int | float]) -> Any:
        """Run a script by its digest, loading it where Redis has forgotten it."""
        async with self._answered():
            return await self._scripts[script](keys=keys, args=args)

    async def _each(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send independent commands in one go and return their replies."""
        async with self._answered():
            pipeline = self._redis.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            replies: list[Any] = await pipeline.execute()
            return replies
