"""The parts of a server come back when what they need does."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as LostConnection

from server import runtime
from server.ending import end
from server.services import Services
from server.settings import Settings
from storage.machine_store import Unavailable
from tests.patience import PATIENCE_S
from tests.server.live import running


async def test_a_part_that_fails_is_started_again_and_ends_when_it_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtime, "_FIRST_PAUSE_S", 0.001)
    starts: list[int] = []
    well = asyncio.Event()

    async def part() -> None:
        starts.append(1)
        if len(starts) < 4:
            raise Unavailable("Redis does not answer")
        well.set()
        await asyncio.Event().wait()

    task = runtime.keep("part", part)
    await asyncio.wait_for(well.wait(), PATIENCE_S)
    await end([task])
    assert task.cancelled()
    assert len(starts) == 4
    assert caplog.text.count("A part of the server waits") == 3


async def test_a_redis_that_is_gone_at_the_end_does_not_keep_a_server_from_ending_well(
    settings: Settings,
    services: Services,
    redis_client: Redis,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def gone(_: Redis, writer: str) -> None:
        raise LostConnection("Redis went first")

    monkeypatch.setattr("server.runtime.close_era", gone)
    async with running(settings, services):
        pass
    assert "the next start begins a new era" in caplog.text


async def test_a_part_whose_cancellation_turns_into_another_error_ends_nevertheless() -> None:
    began = asyncio.Event()

    async def part() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise Unavailable("the connection could not be closed")

    task = runtime.keep("part", part)
    await began.wait()
    async with asyncio.timeout(PATIENCE_S):
        await end([task])
    assert task.cancelled()
