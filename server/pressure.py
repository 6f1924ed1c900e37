"""How short an instance is of memory and time, as numbers from 0 to 1, and how much slower work goes for it.

Pressure slows, and refuses nobody: a worker that did a job for `t` seconds rests before the next one, so that
its pace is one less the pressure, and never less than `LEAST`; a rest has an end, so after a long job it is
slowed by less. Everyone's work is slowed alike, since it is
the next job that waits, whoever's turn it is. Work that nobody waits for is slowed by every shortage; what
somebody waits for by that of memory alone, since slowness is no cure for its own waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from storage.runtime_records import PressureState, RuntimeRecords

LEAST = 0.1
"""Share of full speed that all work has at any pressure."""
LONGEST_REST_S = 30.0
LONGEST_URGENT_REST_S = 2.0

_REDIS = (0.75, 0.95)
_WAIT_S = (2.0, 30.0)
_LAG_S = (0.1, 1.0)
_RELIEVED = 0.8
"""Memory presses fully where so much of what lay above the beginning is used up, too."""


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        memory: Share of main memory in use, of the machine that is shortest of it.
        redis: Share of its memory that the fullest Redis uses; 0 where none has a limit.
        wait_s: How long the last of the jobs that somebody waits for will wait, at the present speed.
        lag_s: By how much the slowest server process is late.
    """

    memory: float = 0.0
    redis: float = 0.0
    wait_s: float = 0.0
    lag_s: float = 0.0


def pressure_of(measured: Measured, *, memory_from: float, at: float) -> PressureState:
    """The pressure by what was measured at a Unix time; memory presses from the share `memory_from` on."""
    return PressureState(
        memory=memory_pressure(measured.memory, memory_from),
        redis=_ramp(measured.redis, *_REDIS),
        queues=_ramp(measured.wait_s, *_WAIT_S),
        loop=_ramp(measured.lag_s, *_LAG_S),
        measured_at=at,
    )


def memory_pressure(used: float, begins: float) -> float:
    """The pressure of memory by the share of it that is in use."""
    return _ramp(used, begins, begins + _RELIEVED * (1 - begins))


def level_of(pressure: PressureState, *, urgent: bool) -> float:
    """What work is slowed by: the greatest shortage that counts for it."""
    short = max(pressure.memory, pressure.redis)
    return short if urgent else max(short, pressure.queues, pressure.loop)


def rest_s(took_s: float, level: float, *, urgent: bool = False) -> float:
    """How long to rest after work that took so long."""
    level = min(level, 1 - LEAST)
    return min(took_s * level / (1 - level), LONGEST_URGENT_REST_S if urgent else LONGEST_REST_S)


async def background_rest_s(records: RuntimeRecords, took_s: float) -> float:
    """How long to rest now after work that nobody waits for, and that took so long.

    Raises:
        RedisError: Redis does not answer.
    """
    return rest_s(took_s, level_of(await records.pressure(), urgent=False))


def meaning_of(pressure: PressureState) -> str:
    """What it does, in a sentence for people."""
    shortages = {
        "memory": pressure.memory,
        "the memory of Redis": pressure.redis,
        "workers": pressure.queues,
        "time on the server": pressure.loop,
    }
    if not (level := level_of(pressure, urgent=False)):
        return "nothing is short; all work goes at full speed"
    short = max(shortages, key=lambda name: shortages[name])
    pace = round(100 * max(LEAST, 1 - level))
    urgent = level_of(pressure, urgent=True)
    told = f"short of {short}: work that nobody waits for goes at {pace} % of its speed"
    return told + (f", questions at {round(100 * max(LEAST, 1 - urgent))} %" if urgent else "")


def _ramp(value: float, low: float, high: float) -> float:
    return round(min(1.0, max(0.0, (value - low) / (high - low))), 3)


class Drain:
    """How long the last urgent job of a queue waits, by how many jobs ended while some waited."""

    WINDOW_S = 15.0
    LEAST_S = 3.0
    """Of watching, before anything is said."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._last: Mapping[str, int] = {}
        self._ended = 0

    def wait_s(self, at: float, ended: Mapping[str, int], urgent: int) -> float:
        """Of a look at the queue.

        Args:
            at: A monotonic time in seconds.
            ended: How many jobs each worker of the queue has ended in its life.
            urgent: How many urgent jobs wait.
        """
        self._ended += sum(max(0, count - self._last.get(name, 0)) for name, count in ended.items())
        self._last = dict(ended)
        if not urgent:  # an idle worker is not a slow one
            self._seen.clear()
            return 0.0
        self._seen.append((at, self._ended))
        while at - self._seen[0][0] > self.WINDOW_S:
            self._seen.popleft()
        since, before = self._seen[0]
        if at - since < self.LEAST_S:
            return 0.0
        return urgent * (at - since) / max(1, self._ended - before)
