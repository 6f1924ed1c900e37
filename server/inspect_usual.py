"""How long a stage usually waits in its queue and runs: the 95th percentile of the latest machines.

It is read from the custody journal, at most once a minute in each process: of every kind the
entries of the 40 machines that changed last. A phase seen fewer than five times has no usual.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from machines.phases import phases
from machines.step import CHARTS
from storage.machine_journal import MachineJournals

KEPT_S = 60.0
MACHINES = 40
ENTRIES = 80
FEWEST = 5

Usual = Mapping[tuple[str, str, str], float]
"""(kind, stage, status) → seconds that 95 of 100 such phases stay below."""


class UsualTimes:
    """The percentiles of one instance, remembered for `KEPT_S`."""

    def __init__(self, journals: MachineJournals) -> None:
        self._journals = journals
        self._known: Usual = {}
        self._until = 0.0
        self._reading = asyncio.Lock()

    async def get(self) -> Usual:
        """The percentiles, at most a minute old."""
        async with self._reading:
            if time.monotonic() >= self._until:
                lives = {
                    kind: await self._journals.latest(kind, machines=MACHINES, most=ENTRIES)
                    for kind in sorted(CHARTS)
                }
                self._known = await asyncio.to_thread(usual_of, lives)
                self._until = time.monotonic() + KEPT_S
        return self._known


def usual_of(lives: Mapping[str, Iterable[Sequence[Mapping[str, Any]]]]) -> Usual:
    """Percentiles from the entries of some machines of each kind."""
    seen: dict[tuple[str, str, str], list[float]] = {}
    for kind, machines in lives.items():
        for entries in machines:
            for phase in phases(entries):
                seen.setdefault((kind, phase.stage, phase.status), []).append(phase.seconds)
    return {key: _percentile95(times) for key, times in seen.items() if len(times) >= FEWEST}


def _percentile95(times: list[float]) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, -(-95 * len(ordered) // 100) - 1)]
