"""When a worker takes its next job: urgent ones first, yet not those alone; under pressure, all later."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from server.pressure import level_of, rest_s
from storage.runtime_records import PressureState

FAVOUR, MOST_FAVOUR = 8.0, 32.0
"""Urgent jobs have so many times the time that others have where both wait all the time: without any
pressure, and at the highest."""
PATIENCE_S = 5.0
"""So much time goes to urgent jobs alone before another one is let through."""
LONGEST_DEBT_S = 600.0
"""And no more than this after the longest other job."""
_LOOK_S = 0.1
"""Between two looks at what comes next, during a rest."""


class Line(Protocol):
    """The jobs that wait for the worker, as `server.fair_line.FairLine`."""

    def let_through(self) -> bool:
        """Put the first job that is not urgent before the urgent ones."""

    def urgent_waits(self) -> bool:
        """Whether the next job is an urgent one."""


class Pacing:
    """Of one worker.

    The share of what is not urgent is counted in time, since one large file can take as long as a hundred
    questions.

    Args:
        clock: Monotonic seconds.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._ahead_s = 0.0
        """By how much urgent jobs had more than their share while others waited; below 0 for less."""
        self._let_through = False
        self._ended_at = clock()
        self._took_s = 0.0
        self._favour = FAVOUR

    def ended(self, took_s: float, *, urgent: bool) -> None:
        """A job is over, now."""
        self._ended_at, self._took_s = self._clock(), took_s
        if urgent:
            self._ahead_s += took_s
        elif self._let_through:
            self._ahead_s = max(-LONGEST_DEBT_S, self._ahead_s - took_s * self._favour)
        self._let_through = False

    def wait(self, line: Line, pressure: Callable[[], PressureState]) -> None:
        """Return when the worker may take what is first in the line, or would wait for anything at all.

        A job that is not urgent is put in front when it is its turn. The rest that is due follows the
        pressure while it lasts.
        """
        if self._ahead_s >= PATIENCE_S:
            self._favour = FAVOUR * (MOST_FAVOUR / FAVOUR) ** level_of(pressure(), urgent=False)
            self._let_through = line.let_through()
            if not self._let_through:  # none waits
                self._ahead_s = 0.0
        while self._rest_left_s(pressure(), urgent=False) > 0:
            left_s = self._rest_left_s(pressure(), urgent=line.urgent_waits())
            if left_s <= 0:
                return
            self._sleep(min(left_s, _LOOK_S))

    def _rest_left_s(self, pressure: PressureState, *, urgent: bool) -> float:
        rest = rest_s(self._took_s, level_of(pressure, urgent=urgent), urgent=urgent)
        return self._ended_at + rest - self._clock()
