"""The proofs of `tests.proof`, in a few kills and restarts."""

from __future__ import annotations

from tests.proof.kills import Killer
from tests.proof.redis_restarts import Restarter
from tests.proof.run import prove


async def test_kills_of_every_process_lose_nothing_repeat_nothing_and_leave_nothing_stuck() -> None:
    outcome = await prove(
        Killer(kills=20, seed=3, pause_s=(0.2, 1.0)), people=4, machines=60, floor=4, seed=3
    )
    assert outcome.faults == []
    assert outcome.kills.total() >= 20
    assert outcome.machines.total() >= 60
    assert outcome.acknowledged > 60


async def test_restarts_of_redis_under_load_lose_nothing() -> None:
    outcome = await prove(
        Restarter(seconds=12, seed=1, every_s=(1.0, 4.0)), people=3, machines=16, floor=4, seed=1
    )
    assert outcome.faults == []
    assert outcome.kills.total() >= 2
    assert outcome.machines.total() >= 16
