"""A follower that keeps up as in a server, for as long as a test lets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from server.keeping_up import KeepingUp
from storage.follow import Follower
from storage.machine_store_redis import RedisMachineStore
from storage.marks import Marks


@asynccontextmanager
async def keeping_up(
    redis: Redis, marks: Marks, follower: Follower, *, pauses_s: tuple[float, float]
) -> AsyncIterator[None]:
    store = RedisMachineStore(redis, shards=4, era="e0")
    loop = KeepingUp(store, marks, follower, holder="test", every_s=0.02, pauses_s=pauses_s)
    task = asyncio.create_task(loop.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
