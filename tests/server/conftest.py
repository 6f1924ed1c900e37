"""A running server for the tests of the wire; engines on an emptied store for those of the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from server.engine import Engine
from server.services import Services
from server.settings import Settings
from storage.machine_store_redis import RedisMachineStore
from tests.server.live import Live, running

SHARDS = 4
TOPIC = "case:c1"


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
