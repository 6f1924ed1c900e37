"""The proofs of `tests.proof`, in a few kills and restarts."""

from __future__ import annotations

import pytest

from tests.proof.kills import Killer
from tests.proof.redis_restarts import Restarter
from tests.proof.run import prove

pytestmark = pytest.mark.timeout(400)


async def test_kills_of_every_process_lose_nothing_repeat_nothing_and_leave_nothing_stuck() -> None:
    killer = Killer(kills=20, seed=3, pause_s=(0.1, 1.0), at_once=(2, 3, 4))
    outcome = await prove(killer, people=4, machines=40, floor=2, seed=3, rename_every_s=0.5)
    assert outcome.faults == []
    assert outcome.kills.total() >= 20
    assert outcome.machines.total() >= 40
    assert outcome.acknowledged > 40


async def test_restarts_of_redis_under_load_lose_nothing() -> None:
    restarter = Restarter(seconds=9, seed=1, every_s=(1.0, 3.0))
    outcome = await prove(restarter, people=3, machines=16, floor=2, seed=1, rename_every_s=0.5)
    assert outcome.faults == []
    assert outcome.kills.total() >= 2
    assert outcome.machines.total() >= 16
