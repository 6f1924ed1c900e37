"""Kill whatever there is at random while hundreds of machines work, then look for what is wrong.

    python -m tests.proof.kills --kills 500 --machines 500 --seed 1

The killer waits after each burst until a job has ended since, so that every kill meets work under
way; which processes, and how long after, follows from the seed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import Sequence

import psutil

from tests.proof.instance import Instance
from tests.proof.load import Load
from tests.proof.run import Outcome, progress, prove

WEIGHTS = {"server": 6, "worker": 24, "parser": 34, "redis": 12, "postgres": 10, "postgres session": 14}
AT_ONCE = (1, 1, 1, 1, 1, 2, 2, 2, 3, 3)
"""How many processes die in the same moment; one of these is drawn."""
_PROGRESS_S = 180.0


class Killer:
    """Chooses and kills, up to three processes at a time.

    Args:
        pause_s: Least and longest time between two bursts.
        at_once: How many processes may die in one burst, each as likely as the others.
    """

    def __init__(
        self,
        *,
        kills: int,
        seed: int,
        pause_s: tuple[float, float] = (0.2, 2.0),
        at_once: Sequence[int] = AT_ONCE,
    ) -> None:
        self._kills = kills
        self._random = random.Random(seed)
        self._pause_s = pause_s
        self._at_once = at_once

    async def __call__(self, instance: Instance, load: Load, outcome: Outcome) -> None:
        """The attack."""
        while (before := outcome.kills.total()) < self._kills:
            await asyncio.sleep(self._random.uniform(*self._pause_s))
            outcome.stalls += not await _a_job_ended(load)
            for _ in range(self._random.choice(self._at_once)):
                await asyncio.to_thread(self._kill, instance, outcome)
            if outcome.kills.total() // 25 > before // 25:
                progress(load, f"{outcome.kills.total()} kills")

    def _kill(self, instance: Instance, outcome: Outcome) -> None:
        there = instance.victims()
        weights = {**WEIGHTS, "server process": 6}
        wanted = self._random.choices(list(weights), list(weights.values()))[0]
        lot = self._random.random()
        if wanted not in there:
            return
        processes = sorted(there[wanted], key=lambda process: process.pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            processes[int(lot * len(processes))].kill()
            outcome.kills[wanted] += 1


async def _a_job_ended(load: Load) -> bool:
    """Wait until a result has reached a subscriber, so that not start-ups alone are killed."""
    seen = load.results
    for _ in range(int(_PROGRESS_S * 10)):
        if load.results > seen:
            return True
        await asyncio.sleep(0.1)
    return False


def main() -> None:
    """Run the proof, print its table, and exit with 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--machines", type=int, default=500, help="at work from the beginning")
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--floor", type=int, default=80, help="machines kept at work until the last kill")
    parser.add_argument("--processes", type=int, default=1, help="server processes on the port")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, nargs=2, default=(0.2, 2.0), metavar=("LEAST", "MOST"))
    parser.add_argument("--keep", action="store_true", help="keep the data folder although all is well")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the instance ends, too
    least, most = options.pause
    outcome = asyncio.run(
        prove(
            Killer(kills=options.kills, seed=options.seed, pause_s=(least, most)),
            people=options.people,
            machines=options.machines,
            floor=options.floor,
            seed=options.seed,
            keep=options.keep,
            CASEWIRE_PROCESSES=str(options.processes),
        )
    )
    sys.exit(outcome.report())


if __name__ == "__main__":
    main()
