"""The proofs of `tests.proof`, in some tens of kills and restarts."""

from __future__ import annotations

import pytest

from tests.proof.import_kills import DATABASE, database_killer, killer
from tests.proof.import_kills import prove as prove_import
from tests.proof.kills import Killer
from tests.proof.redis_restarts import Restarter
from tests.proof.run import prove

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


async def test_kills_of_every_process_lose_nothing_repeat_nothing_and_leave_nothing_stuck() -> None:
    killer = Killer(kills=40, seed=3, pause_s=(0.1, 0.6), at_once=(2, 3, 4))
    outcome = await prove(killer, people=4, machines=60, floor=2, seed=3, rename_every_s=0.5)
    assert outcome.faults == []
    assert outcome.kills.total() >= 40
    assert outcome.machines.total() >= 60
    assert outcome.acknowledged > 60


async def test_restarts_of_redis_under_load_lose_nothing() -> None:
    restarter = Restarter(seconds=30, seed=1, every_s=(1.0, 4.0))
    outcome = await prove(
        restarter, people=3, machines=30, floor=2, seed=1, rename_every_s=0.5, CASEWIRE_CPU_WORKERS="1"
    )
    assert outcome.faults == []
    assert outcome.kills.total() >= 6
    assert outcome.machines.total() >= 30


async def test_a_folder_that_is_imported_under_kills_ends_as_one_that_was_left_in_peace() -> None:
    outcome = await prove_import(killer(kills=40, seed=2, pause_s=(0.1, 1.5)), files=200, seed=2)
    assert outcome.faults == []
    assert outcome.files == 200
    assert outcome.kills.total() >= 40


async def test_a_folder_whose_database_is_killed_with_all_its_sessions_is_imported_and_counted() -> None:
    outcome = await prove_import(database_killer(kills=6), files=120, seed=3)
    assert outcome.faults == []
    assert (outcome.files, outcome.retried, outcome.starts) == (120, 0, 1)
    assert outcome.kills == {DATABASE: 6}
    assert outcome.mentions > 100
