"""The proofs of `tests.proof`, in a few kills and restarts; `make slow-test` has more of them."""

from __future__ import annotations

import pytest

from tests.proof.import_kills import prove as prove_import
from tests.proof.kills import Killer
from tests.proof.redis_restarts import Restarter
from tests.proof.run import prove

pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize(
    ("kills", "machines", "seed"),
    [
        pytest.param(7, 10, 11, id="few"),  # with this seed one of each kind is chosen at least
        pytest.param(40, 60, 3, id="many", marks=pytest.mark.slow),
    ],
)
async def test_kills_of_every_process_lose_nothing_repeat_nothing_and_leave_nothing_stuck(
    kills: int, machines: int, seed: int
) -> None:
    killer = Killer(kills=kills, seed=seed, pause_s=(0.1, 0.6), at_once=(2, 3, 4))
    outcome = await prove(killer, people=4, machines=machines, floor=2, seed=seed, rename_every_s=0.5)
    assert outcome.faults == []
    assert outcome.kills.total() >= kills
    assert outcome.machines.total() >= machines
    assert outcome.acknowledged > machines


@pytest.mark.parametrize(
    ("seconds", "every_s", "machines", "restarts"),
    [
        pytest.param(4, (0.8, 1.6), 5, 2, id="few"),
        pytest.param(30, (1.0, 4.0), 30, 6, id="many", marks=pytest.mark.slow),
    ],
)
async def test_restarts_of_redis_under_load_lose_nothing(
    seconds: float, every_s: tuple[float, float], machines: int, restarts: int
) -> None:
    restarter = Restarter(seconds=seconds, seed=1, every_s=every_s)
    outcome = await prove(
        restarter, people=3, machines=machines, floor=2, seed=1, rename_every_s=0.5, CASEWIRE_CPU_WORKERS="1"
    )
    assert outcome.faults == []
    assert outcome.kills.total() >= restarts
    assert outcome.machines.total() >= machines


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_a_folder_that_is_imported_under_kills_ends_as_one_that_was_left_in_peace() -> None:
    outcome = await prove_import(files=200, kills=40, seed=2, pause_s=(0.1, 1.5))
    assert outcome.faults == []
    assert outcome.files == 200
    assert outcome.kills.total() >= 40
