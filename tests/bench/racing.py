"""Calls that do the same work are timed in turns, so that all meet the same machine."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Call = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One line of a table: ours beside one peer, both in `unit`; `ratio` above 1: ours is faster."""

    work: str
    unit: str
    ours: float
    peer: str
    theirs: float
    ratio: float
    accuracy: str
    aim: str = ""

    def __str__(self) -> str:
        cells = (
            f"{self.work}, {self.unit}",
            f"{self.ours:.3g}",
            self.peer,
            f"{self.theirs:.3g}",
            f"{self.ratio:.2f}",
            self.aim,
            self.accuracy,
        )
        return f"| {' | '.join(cells)} |"


HEAD = """| work | casewire | against | it | ratio | aim | accuracy: casewire; it |
|---|---:|---|---:|---:|---|---|"""


def medians_ms(
    calls: Mapping[str, Call], seconds: float, rounds: int = 3, pause_s: float = 0.0
) -> dict[str, float]:
    """Milliseconds of each call, taken in turns for about `seconds`, after one call unmeasured.

    A call that alone would take more than a tenth of `seconds` is measured in `rounds` turns only.
    `pause_s` before each lets threads that an earlier one left waiting busily fall asleep.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    slow = set()
    for name, call in calls.items():
        before = time.perf_counter()
        call()
        if time.perf_counter() - before > seconds / 10:
            slow.add(name)
    end = time.perf_counter() + seconds
    turn = 0
    while turn < rounds or time.perf_counter() < end:
        for name, call in calls.items():
            if name in slow and turn >= rounds:
                continue
            time.sleep(pause_s)
            before = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - before))
        turn += 1
    return {name: statistics.median(taken) for name, taken in times.items()}


def race(
    work: str,
    ours: str,
    calls: Mapping[str, Call],
    accuracy: Mapping[str, str],
    *,
    seconds: float = 5.0,
    rest_s: float = 0.0,
    per_second: float = math.nan,
    unit: str = "ms",
    aim: str = "",
    rounds: int = 3,
    pause_s: float = 0.0,
) -> list[Row]:
    """One row a peer, `ours` being the name of our own call.

    With `per_second` the table gives a rate in `unit`: that many pieces of work a call.
    """
    taken = medians_ms(calls, seconds, rounds, pause_s)

    def shown(ms: float) -> float:
        return ms if math.isnan(per_second) else 1e3 * per_second / ms

    return [
        Row(
            work,
            unit,
            shown(taken[ours]),
            peer,
            shown(ms),
            ms / taken[ours],
            f"{accuracy[ours]}; {accuracy[peer]}",
            aim,
        )
        for peer, ms in taken.items()
        if peer != ours
    ]
