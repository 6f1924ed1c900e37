"""Pressure by numbers: what is measured, how much it slows, and that it stops nobody's work."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.pacing import FAVOUR, MOST_FAVOUR, Pacing
from server.pressure import (
    LEAST,
    LONGEST_REST_S,
    LONGEST_URGENT_REST_S,
    Drain,
    Measured,
    level_of,
    meaning_of,
    memory_pressure,
    pressure_of,
    rest_s,
)
from storage.runtime_records import PressureState

_share = st.floats(0, 1)
_pressures = st.builds(PressureState, memory=_share, redis=_share, queues=_share, loop=_share)


@dataclass
class Queue:
    """Jobs of two kinds, urgent ones first; a job takes so long as its number says."""

    urgent: list[float]
    others: list[float]
    in_front: bool = False

    def let_through(self) -> bool:
        self.in_front = bool(self.urgent and self.others)
        return self.in_front

    def urgent_waits(self) -> bool:
        return bool(self.urgent) and not self.in_front

    def take(self) -> tuple[float, bool]:
        urgent = self.urgent_waits()
        self.in_front = False
        return (self.urgent if urgent else self.others).pop(0), urgent


@dataclass
class Worker:
    """One worker on a clock of its own."""

    queue: Queue
    pressure: PressureState = field(default_factory=PressureState)
    now: float = 0.0
    worked_s: float = 0.0
    done: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pacing = Pacing(clock=lambda: self.now, sleep=self.pass_time)

    def pass_time(self, seconds: float) -> None:
        assert seconds > 0
        self.now += max(seconds, 1e-6)

    def work(self, jobs: int) -> Worker:
        for _ in range(jobs):
            self.pacing.wait(self.queue, lambda: self.pressure)
            took_s, urgent = self.queue.take()
            self.now += took_s
            self.worked_s += took_s
            self.pacing.ended(took_s, urgent=urgent)
            self.done.append(urgent)
        return self


def test_there_is_no_pressure_where_nothing_is_short() -> None:
    calm = pressure_of(Measured(memory=0.8, redis=0.5, wait_s=1, lag_s=0.05), memory_from=0.85, at=7)
    assert calm == PressureState(measured_at=7)
    assert meaning_of(calm) == "nothing is short; all work goes at full speed"


@pytest.mark.parametrize(
    ("measured", "short"),
    [
        (Measured(memory=0.97), "memory"),
        (Measured(redis=0.95), "redis"),
        (Measured(wait_s=30), "queues"),
        (Measured(lag_s=1), "loop"),
    ],
)
def test_each_shortage_alone_is_the_highest_pressure_in_the_end(measured: Measured, short: str) -> None:
    full = pressure_of(measured, memory_from=0.85, at=0)
    assert full == replace(PressureState(), **{short: 1.0})
    assert level_of(full, urgent=False) == 1


@given(_share, _share, st.floats(0.01, 0.99))
def test_less_free_memory_is_never_less_pressure(one: float, other: float, begins: float) -> None:
    low, high = sorted((memory_pressure(one, begins), memory_pressure(other, begins)))
    assert 0 <= low <= high <= 1
    assert (memory_pressure(min(one, other), begins), memory_pressure(max(one, other), begins)) == (low, high)


@given(_pressures)
def test_what_somebody_waits_for_is_never_slower_than_what_nobody_does(pressure: PressureState) -> None:
    assert level_of(pressure, urgent=True) <= level_of(pressure, urgent=False)
    assert level_of(replace(pressure, memory=0, redis=0), urgent=True) == 0


@given(st.floats(0, 1e5), _share, st.booleans())
def test_a_rest_follows_the_work_and_has_an_end(took_s: float, level: float, urgent: bool) -> None:
    rest = rest_s(took_s, level, urgent=urgent)
    assert 0 <= rest <= (LONGEST_URGENT_REST_S if urgent else LONGEST_REST_S)
    assert took_s >= LEAST * (took_s + rest) * (1 - 1e-9)


@pytest.mark.parametrize("level", [0.0, 0.25, 0.5, 0.75])
def test_pace_is_one_less_the_pressure_for_all(level: float) -> None:
    for queue in (Queue([0.1] * 200, []), Queue([], [0.1] * 200)):
        worker = Worker(queue, PressureState(memory=level)).work(200)
        assert worker.worked_s / worker.now == pytest.approx(1 - level, abs=0.01)


def test_at_the_highest_pressure_everything_is_done_in_the_end() -> None:
    full = PressureState(memory=1, redis=1, queues=1, loop=1)
    worker = Worker(Queue([0.2] * 30, [5.0] * 30), full).work(60)
    assert worker.worked_s / worker.now >= LEAST * 0.9
    assert worker.done.count(True) == worker.done.count(False) == 30


def test_a_shortage_of_workers_slows_no_question() -> None:
    worker = Worker(Queue([0.1] * 50, []), PressureState(queues=1, loop=1)).work(50)
    assert worker.now == pytest.approx(worker.worked_s)


def test_a_question_ends_the_rest_of_other_work() -> None:
    queue = Queue([], [4.0, 4.0])
    worker = Worker(queue, PressureState(queues=1)).work(1)
    queue.urgent.append(0.1)
    worker.work(1)
    assert worker.done == [False, True]
    assert worker.now == pytest.approx(4.1)


def test_speed_returns_with_the_pressure_even_during_a_rest() -> None:
    worker = Worker(Queue([], [10.0, 10.0, 10.0]), PressureState(memory=1)).work(1)
    worker.pass_time(0.5)
    worker.pressure = PressureState()
    worker.work(2)
    assert worker.now == pytest.approx(30.5)


@pytest.mark.parametrize(("level", "favour"), [(0.0, FAVOUR), (1.0, MOST_FAVOUR)])
@pytest.mark.parametrize("other_s", [0.05, 2.0])
def test_questions_without_an_end_leave_a_share_of_the_time_to_other_work(
    level: float, favour: float, other_s: float
) -> None:
    """Of each long stretch, counted in time: one large file is as much as many questions."""
    worker = Worker(Queue([0.1] * 20_000, [other_s] * 10_000), PressureState(queues=level)).work(15_000)
    urgent, others = worker.done.count(True) * 0.1, worker.done.count(False) * other_s
    assert urgent / others == pytest.approx(favour, rel=0.1)


def test_after_the_longest_job_questions_alone_are_answered_for_a_while_and_no_longer() -> None:
    worker = Worker(Queue([1.0] * 5000, [3600.0] * 3)).work(2000)
    assert worker.done.count(False) >= 3


def test_what_ran_while_nobody_waited_is_no_debt() -> None:
    queue = Queue([], [60.0] * 50)
    worker = Worker(queue).work(40)
    queue.urgent = [0.1] * 100
    assert worker.work(70).done[-20:].count(False) == 1


def test_questions_come_first_until_then() -> None:
    worker = Worker(Queue([0.1] * 49, [1.0])).work(49)
    assert worker.done == [True] * 49


def test_an_urgent_job_waits_as_long_as_its_queue_lasts_at_the_speed_of_now() -> None:
    drain = Drain()
    assert [drain.wait_s(at, {"w": 2 * at}, 40) for at in range(8)][-1] == pytest.approx(20)


def test_nothing_is_said_of_a_backlog_before_it_was_watched() -> None:
    drain = Drain()
    for at in range(100):
        drain.wait_s(at, {"w": 5}, 0)
    assert [drain.wait_s(at, {"w": 5}, 3) for at in (100, 101, 102)] == [0, 0, 0]
    assert drain.wait_s(104, {"w": 5}, 3) == pytest.approx(12)


def test_a_worker_that_was_replaced_takes_nothing_back() -> None:
    drain = Drain()
    drain.wait_s(0, {"old": 100}, 10)
    drain.wait_s(2, {"new": 2}, 10)
    assert drain.wait_s(4, {"new": 4}, 10) == pytest.approx(10)


@given(_pressures)
def test_the_meaning_names_what_is_short(pressure: PressureState) -> None:
    told = meaning_of(pressure)
    assert told.startswith("short of ") == (level_of(pressure, urgent=False) > 0)
    assert ("questions" in told) == (level_of(pressure, urgent=True) > 0)
