"""A machine store on an emptied Redis, which is one server and then a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from server.services import Services
from storage.machine_store_redis import RedisMachineStore
from storage.redis_client import connect
from tests.storage.steps import SHARDS


@pytest_asyncio.fixture(loop_scope="session", params=["server", "cluster"])
async def redis_client(
    request: pytest.FixtureRequest, services: Services, cluster_url: str
) -> AsyncIterator[Redis]:
    """An empty Redis; replies are bytes. What is stored must hold on both kinds."""
    client = await connect(services.redis_url if request.param == "server" else cluster_url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
def store(redis_client: Redis) -> RedisMachineStore:
    return RedisMachineStore(redis_client, shards=SHARDS, era="e0")
