"""A new era begins when Redis may have lost history, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.database import create_engine
from storage.era import WRITER_S, advance_marker, close_era, settle_era
from storage.keys import ERA
from storage.machine_store_redis import RedisMachineStore

SHARDS = 3


@pytest_asyncio.fixture(loop_scope="session")
async def postgres(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


async def restarted(redis: Redis) -> None:
    """As after a restart, which gives Redis another run id."""
    await redis.hset(ERA, "run", "an earlier run")


async def test_an_era_lasts_while_redis_runs(redis_client: Redis, postgres: AsyncEngine) -> None:
    first = await settle_era(redis_client, postgres, shards=SHARDS)
    for _ in range(3):
        assert await advance_marker(redis_client, postgres, shards=SHARDS) == first


async def test_processes_that_settle_at_once_agree(redis_client: Redis, postgres: AsyncEngine) -> None:
    eras = await asyncio.gather(*(settle_era(redis_client, postgres, shards=SHARDS) for _ in range(5)))
    assert len(set(eras)) == 1


async def test_an_emptied_redis_begins_a_new_era(redis_client: Redis, postgres: AsyncEngine) -> None:
    first = await settle_era(redis_client, postgres, shards=SHARDS)
    await redis_client.flushall()
    assert await settle_era(redis_client, postgres, shards=SHARDS) != first


async def test_a_redis_behind_the_marker_begins_a_new_era_once(
    redis_client: Redis, postgres: AsyncEngine
) -> None:
    first = await settle_era(redis_client, postgres, shards=SHARDS)
    older = await redis_client.hgetall(ERA)
    await advance_marker(redis_client, postgres, shards=SHARDS)
    await close_era(redis_client)
    await redis_client.hset(ERA, mapping=older)
    second = await settle_era(redis_client, postgres, shards=SHARDS)
    assert second != first
    assert await advance_marker(redis_client, postgres, shards=SHARDS) == second


async def test_a_copy_with_another_past_begins_a_new_era(redis_client: Redis, postgres: AsyncEngine) -> None:
    first = await settle_era(redis_client, postgres, shards=SHARDS)
    await redis_client.hset(ERA, mapping={"id": "foreign", "tick": 1_000_000})
    assert await settle_era(redis_client, postgres, shards=SHARDS) not in (first, "foreign")


async def test_a_restart_begins_a_new_era_unless_all_writers_had_stopped(
    redis_client: Redis, postgres: AsyncEngine
) -> None:
    first = await settle_era(redis_client, postgres, shards=SHARDS)
    await close_era(redis_client)
    await restarted(redis_client)
    assert await settle_era(redis_client, postgres, shards=SHARDS) == first
    await restarted(redis_client)
    assert await settle_era(redis_client, postgres, shards=SHARDS) != first


async def test_running_stores_see_a_new_era_at_once(redis_client: Redis, postgres: AsyncEngine) -> None:
    first = await settle_era(redis_client, postgres, shards=SHARDS)
    store = RedisMachineStore(redis_client, shards=SHARDS, era=first)
    topics = [f"case:{n}" for n in range(9)]
    assert all([(await store.position(topic))[0].endswith(f".{first}") for topic in topics])
    await redis_client.hdel(ERA, "id")
    second = await advance_marker(redis_client, postgres, shards=SHARDS)
    assert all([(await store.position(topic))[0].endswith(f".{second}") for topic in topics])


async def test_the_last_writer_closes_the_era_and_no_other(
    redis_client: Redis, postgres: AsyncEngine
) -> None:
    for writer in ("one", "two"):
        era = await advance_marker(redis_client, postgres, shards=SHARDS, writer=writer)
    assert not await close_era(redis_client, "one")
    await restarted(redis_client)
    lost = await advance_marker(redis_client, postgres, shards=SHARDS, writer="two")
    assert lost != era  # Redis was restarted while somebody wrote
    assert await close_era(redis_client, "two")
    await restarted(redis_client)
    assert await settle_era(redis_client, postgres, shards=SHARDS) == lost


async def test_a_writer_that_was_killed_keeps_the_era_open_for_a_while_only(
    redis_client: Redis, postgres: AsyncEngine
) -> None:
    for writer in ("killed", "other"):
        await advance_marker(redis_client, postgres, shards=SHARDS, writer=writer)
    assert not await close_era(redis_client, "other")
    seconds, _ = await redis_client.time()
    await redis_client.hset(ERA, "writer:killed", seconds - WRITER_S)
    assert await close_era(redis_client, "other")
    assert not await redis_client.hexists(ERA, "writer:killed")
