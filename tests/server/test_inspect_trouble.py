"""What is slow or stuck, and the sentence that says why."""

from __future__ import annotations

from typing import Any

import pytest

from server.inspect_trouble import troubles_of
from server.inspect_usual import usual_of
from storage.machine_store import DueTimer

NOW = 10_000.0


def told(
    work: dict[str, dict[str, Any]],
    usual: dict[tuple[str, str, str], float] | None = None,
    held: tuple[str, ...] = (),
    overdue: tuple[DueTimer, ...] = (),
    states: tuple[str, ...] = ("linking", "tagging"),
) -> list[tuple[str, str, str]]:
    found = troubles_of(
        "upload", states, {"work": work}, now=NOW, usual=usual or {}, held=held, overdue=overdue
    )
    return [(t.level, t.stage, t.why) for t in found]


def stage(status: str, age: float, **more: Any) -> dict[str, dict[str, Any]]:
    return {
        "linking": {"status": status, "since": NOW - age, "queue": "cpu", "effect": "e1", "attempt": 1} | more
    }


def test_what_is_no_slower_than_usual_is_in_no_trouble() -> None:
    usual = {("upload", "linking", "queued"): 30.0}
    assert told(stage("queued", 119), usual) == []
    assert told(stage("done", 5000)) == []
    assert told(stage("queued", 5000), states=("failed",)) == []


def test_a_stage_that_waits_much_longer_than_usual_is_slow_and_at_last_stuck() -> None:
    usual = {("upload", "linking", "queued"): 30.0}
    [(level, name, why)] = told(stage("queued", 121), usual)
    assert (level, name) == ("slow", "linking")
    assert why == "Linking has been waiting in the cpu queue for 2 min; 19 of 20 took less than 30 s lately."
    [(level, _, _)] = told(stage("queued", 601), usual)
    assert level == "stuck"


def test_short_phases_are_given_some_seconds_and_unknown_ones_a_minute() -> None:
    usual = {("upload", "linking", "running"): 0.1}
    assert told(stage("running", 14), usual, ("e1",)) == []
    assert told(stage("running", 16), usual, ("e1",))[0][0] == "slow"
    assert told(stage("running", 59), {}, ("e1",)) == []
    assert "no time to compare it with" in told(stage("running", 61), {}, ("e1",))[0][2]


def test_running_work_that_no_worker_holds_is_stuck() -> None:
    assert told(stage("running", 29)) == []
    [(level, _, why)] = told(stage("running", 31))
    assert level == "stuck"
    assert "no worker holds it" in why


def test_a_pause_before_another_attempt_tells_what_went_wrong() -> None:
    [(level, _, why)] = told(stage("waiting", 1, attempt=2, reason="the disk is full"))
    assert (level, why) == ("slow", "Linking waits to be tried again after attempt 2: the disk is full")


def test_a_timer_that_has_not_fired_is_stuck_and_told_once() -> None:
    timer = DueTimer(0, "upload-0-a", "deadline.linking", "deadline", {"stage": "linking"}, due=NOW - 42)
    early = DueTimer(0, "upload-0-a", "silent", "silent", {}, due=NOW - 9)
    [(level, name, why)] = told(stage("running", 500), overdue=(timer, early))
    assert (level, name) == ("stuck", "linking")
    assert why.startswith("Its timer “deadline” fell due 42 s ago and has not fired")


def test_the_worst_comes_first() -> None:
    work = stage("queued", 700) | {"tagging": {"status": "waiting", "since": NOW - 900, "attempt": 1}}
    assert [(level, name) for level, name, _ in told(work)] == [("stuck", "linking"), ("slow", "tagging")]


@pytest.mark.parametrize(("count", "expected"), [(4, None), (5, 5.0), (100, 95.0)])
def test_usual_is_what_19_of_20_stay_below_once_there_are_five(count: int, expected: float | None) -> None:
    def life(number: int) -> list[dict[str, Any]]:
        work = {"status": "queued", "since": 0.0}
        return [
            {"context": {"work": {"linking": work}}, "to": ["linking"], "at": 0.0},
            {
                "context": {"work": {"linking": work | {"status": "running", "since": float(number)}}},
                "to": ["linking"],
                "at": float(number),
            },
        ]

    usual = usual_of({"upload": [life(number) for number in range(1, count + 1)]})
    assert usual.get(("upload", "linking", "queued")) == expected
