"""How the adapters talk to Redis: scripts by digest, calls in batches, one kind of failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    TryAgainError,
)
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import TimeoutError as NoAnswer

from storage.batches_redis import Part
from storage.machine_store import Unavailable
from storage.outage import met_closed_transport
from storage.redis_client import Calls

_AT_A_TIME = 32
"""Connections for what does not go in batches, below the client's limit."""

_DOWN = (
    LostConnection,
    NoAnswer,
    ReadOnlyError,
    OutOfMemoryError,
    ClusterDownError,
    MasterDownError,
    RedisClusterException,
    TryAgainError,
    OSError,
)
_MAY_BE_DOWN = (*_DOWN, RuntimeError)


@cache
def _script(name: str) -> tuple[str, str]:
    """Digest and source of a script."""
    source = (Path(__file__).parent / f"{name}.lua").read_text(encoding="utf-8")
    return sha1(source.encode(), usedforsecurity=False).hexdigest(), source


@contextmanager
def _answered() -> Iterator[None]:
    """A Redis that does not answer, or takes no writes, is `Unavailable`."""
    try:
        yield
    except _MAY_BE_DOWN as error:
        if (told := _no_answer(error)) is None:
            raise
        raise told from error


def _no_answer(error: Exception) -> Unavailable | None:
    """What an outage is told as; None for an error that is none."""
    if isinstance(error, _DOWN):
        return Unavailable(f"Redis does not answer: {error}")
    if isinstance(error, RuntimeError) and met_closed_transport(error):
        return Unavailable("Redis does not answer: the connection ended")
    return None


class RedisCalls:
    """Calls with a client whose replies are bytes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._calls = Calls(redis)
        self._free = asyncio.Semaphore(_AT_A_TIME)

    async def _call(self, key: str, *command: Part) -> Any:
        """Run one command on one key, together with whatever else is called for now."""
        with _answered():
            return await self._calls.call(key, *command)

    async def _run(self, name: str, keys: Sequence[str], args: Sequence[Part]) -> Any:
        """Run a script by its digest like a command, giving it to a Redis that does not know it."""
        digest, source = _script(name)
        try:
            return await self._calls.call(keys[0], "EVALSHA", digest, len(keys), *keys, *args)
        except NoScriptError:
            return await self._call(keys[0], "EVAL", source, len(keys), *keys, *args)
        except _MAY_BE_DOWN as error:
            if (told := _no_answer(error)) is None:
                raise
            raise told from error

    async def _run_apart(self, name: str, keys: Sequence[str], args: Sequence[Part]) -> Any:
        """Run a script whose reply may be large."""
        digest, source = _script(name)
        async with self._apart():
            try:
                return await self._redis.evalsha(digest, len(keys), *keys, *args)
            except NoScriptError:
                return await self._redis.eval(source, len(keys), *keys, *args)

    @asynccontextmanager
    async def _apart(self) -> AsyncIterator[None]:
        """A turn for what is large, or waits, and would hold up a batch."""
        async with self._free:
            with _answered():
                yield

    async def _each(self, commands: Sequence[tuple[Any, ...]], *, failing: bool = False) -> list[Any]:
        """Send independent commands in one go and return their replies.

        With `failing`, what Redis refuses is among them as its exception.
        """
        if not commands:
            return []
        async with self._apart():
            pipeline = self._redis.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            replies: list[Any] = await pipeline.execute(raise_on_error=not failing)
            return replies
