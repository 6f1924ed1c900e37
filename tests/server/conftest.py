"""A running server for the tests of the wire; engines on an emptied store for those of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from redis.asyncio import Redis

from server.engine import Engine
from server.services import Services
from server.settings import Settings
from storage.machine_store_redis import RedisMachineStore
from tests.server.live import Live, running

SHARDS = 4
TOPIC = "case:c1"


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """A hash is meant to cost a fifth of a second, which every login here would pay; see `test_passwords`."""
    quick = partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("server.passwords.PasswordHasher", quick)
        yield


class Hurried:
    """asyncio as uvicorn sees it, which looks ten times a second whether it shall end: it sleeps less."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, delay: float) -> None:
        await asyncio.sleep(delay / 10)


@pytest.fixture(scope="session", autouse=True)
def quick_ends() -> Iterator[None]:
    """Servers of a test end at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("uvicorn.server.asyncio", Hurried())
        yield


@pytest.fixture
def store(redis_client: Redis) -> RedisMachineStore:
    return RedisMachineStore(redis_client, shards=SHARDS, era="e0")


@pytest.fixture
def engine(store: RedisMachineStore) -> Engine:
    return Engine(store, shards=SHARDS)


@pytest_asyncio.fixture(loop_scope="session")
async def other(services: Services) -> AsyncIterator[Engine]:
    """An engine with connections of its own, as in another process."""
    client = Redis.from_url(services.redis_url)
    yield Engine(RedisMachineStore(client, shards=SHARDS, era="e0"), shards=SHARDS)
    await client.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def live(
    settings: Settings, services: Services, redis_client: Redis, database: str
) -> AsyncIterator[Live]:
    """A server on emptied stores."""
    async with running(settings, services) as started:
        yield started
