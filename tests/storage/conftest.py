"""A machine store on an emptied Redis."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from storage.machine_store_redis import RedisMachineStore
from tests.storage.steps import SHARDS


@pytest.fixture
def store(redis_client: Redis) -> RedisMachineStore:
    return RedisMachineStore(redis_client, shards=SHARDS, era="e0")
