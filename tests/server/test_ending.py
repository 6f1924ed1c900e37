"""Tasks end although something they call takes their cancellation for its own."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from server.ending import end, pass_on_cancellation
from server.services import Services
from tests.patience import PATIENCE_S


async def swallow() -> None:
    """Waits like a library that goes on when it is cancelled."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return


async def test_a_part_that_asks_ends_although_its_cancellation_was_swallowed() -> None:
    cleaned: list[bool] = []

    async def part() -> None:
        try:
            while True:
                pass_on_cancellation()
                await swallow()
        finally:
            await asyncio.sleep(0.05)  # must not be cancelled a second time
            cleaned.append(True)

    task = asyncio.create_task(part())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(task), PATIENCE_S)
    assert cleaned == [True]


async def test_a_task_that_does_not_ask_is_cancelled_again() -> None:
    async def part() -> None:
        await swallow()
        await asyncio.sleep(60)

    task = asyncio.create_task(part())
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_S):
        await end([task], again_s=0.05)
    assert task.cancelled()


async def test_a_task_that_has_failed_or_ended_needs_no_waiting() -> None:
    async def failing() -> None:
        raise ValueError

    tasks = [asyncio.create_task(failing()), asyncio.create_task(asyncio.sleep(0))]
    await asyncio.sleep(0.01)
    await end(tasks)
    await end([])


async def test_a_part_that_talks_to_redis_all_the_time_ends_at_its_first_cancellation(
    services: Services,
) -> None:
    redis = Redis.from_url(services.redis_url)

    async def part() -> None:
        while True:
            pass_on_cancellation()
            await redis.ping()

    try:
        for turns in [*range(1, 9)] * 30:
            await redis.ping()  # from here on a connection is there
            task = asyncio.create_task(part())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            ended, _ = await asyncio.wait({task}, timeout=PATIENCE_S)
            assert ended, f"cancelled after {turns} turns of the loop, it goes on"
    finally:
        await redis.aclose()
