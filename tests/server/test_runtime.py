"""The parts of a server come back when what they need does."""

from __future__ import annotations

import asyncio

import pytest

from server import runtime
from storage.machine_store import Unavailable


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

    task = runtime._start("part", part)
    await asyncio.wait_for(well.wait(), 10)
    await runtime._stop([task])
    assert task.cancelled()
    assert len(starts) == 4
    assert caplog.text.count("A part of the server failed") == 3
