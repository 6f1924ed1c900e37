"""Kill whatever there is at random while hundreds of machines work, then look for what is wrong.

    python -m tests.proof.kills --kills 500 --machines 500 --seed 1

The killer waits after each kill until something has happened since, so that every kill meets work
under way; which process, and how long after, follows from the seed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import psutil

from tests.proof import oracle
from tests.proof.instance import VICTIMS, Instance
from tests.proof.load import Load

WEIGHTS = {"server": 6, "worker": 24, "parser": 34, "redis": 12, "postgres": 10, "postgres session": 14}
_AT_ONCE, _AT_ONCE_WEIGHTS = (1, 2, 3), (5, 3, 2)
"""Processes that die in the same moment."""
_PROGRESS_S = 45.0
_DRAIN_S = 600.0


@dataclass
class Outcome:
    """What one proof did and found."""

    kills: Counter[str] = field(default_factory=Counter)
    machines: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    repeats: int = 0
    resent: int = 0
    connections: int = 0
    recoveries: int = 0
    snapshots: int = 0
    entries: int = 0
    starts: int = 0
    ended_itself: list[int] = field(default_factory=list)
    stalls: int = 0
    seconds: float = 0.0
    draining_s: float = 0.0
    faults: list[str] = field(default_factory=list)
    evidence: str = ""

    def table(self) -> str:
        """As Markdown."""
        rows = [("kills", sum(self.kills.values()))]
        rows += [(f"– of {victim}", self.kills[victim]) for victim in VICTIMS]
        rows += [("machines that came to rest", sum(self.machines.values()))]
        rows += [(f"– {how}", count) for how, count in sorted(self.machines.items())]
        rows += [
            ("events acknowledged", self.acknowledged),
            ("– of them as a repeat", self.repeats),
            ("requests sent again", self.resent),
            ("connections", self.connections),
            ("subscriptions recovered from the log", self.recoveries),
            ("subscriptions answered by a snapshot", self.snapshots),
            ("entries received", self.entries),
            ("starts of the server", self.starts),
            ("– after it ended by itself", len(self.ended_itself)),
            (f"waits of over {_PROGRESS_S:.0f} s for an event", self.stalls),
            ("seconds", round(self.seconds)),
            ("– after the last kill, until all rested", round(self.draining_s)),
            ("faults", len(self.faults)),
        ]
        return "\n".join(["| what | count |", "|---|---:|", *(f"| {what} | {n} |" for what, n in rows)])


class Killer:
    """Chooses and kills, up to three processes at a time.

    Args:
        pause_s: Least and longest time between two kills.
    """

    def __init__(
        self, instance: Instance, load: Load, outcome: Outcome, *, seed: int, pause_s: tuple[float, float]
    ):
        self._instance = instance
        self._load = load
        self._outcome = outcome
        self._random = random.Random(seed)
        self._pause_s = pause_s

    async def run(self, kills: int) -> None:
        """Kill that many."""
        while sum(self._outcome.kills.values()) < kills:
            await asyncio.sleep(self._random.uniform(*self._pause_s))
            await self._progress()
            before = sum(self._outcome.kills.values())
            for _ in range(self._random.choices(_AT_ONCE, _AT_ONCE_WEIGHTS)[0]):
                await asyncio.to_thread(self._kill)
            done = sum(self._outcome.kills.values())
            if done // 25 > before // 25:
                print(
                    f"{time.strftime('%H:%M:%S')} {done} kills, {self._load.at_work} machines at work, "
                    f"{sum(self._load.ended.values())} rested, {len(self._load.ledger.acknowledged)} events "
                    f"acknowledged, {len(self._load.ledger.faults)} faults {self._load.ledger.faults[-2:]}",
                    flush=True,
                )

    def _kill(self) -> None:
        there = self._instance.victims()
        wanted = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        lot = self._random.random()
        if wanted not in there:
            return
        processes = sorted(there[wanted], key=lambda process: process.pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            processes[int(lot * len(processes))].kill()
            self._outcome.kills[wanted] += 1

    async def _progress(self) -> None:
        """Wait until a job's result reached a subscriber, so that not start-ups alone are killed."""
        seen = self._results()
        for _ in range(int(_PROGRESS_S * 10)):
            if self._results() > seen:
                return
            await asyncio.sleep(0.1)
        self._outcome.stalls += 1

    def _results(self) -> int:
        return sum(person.results for person in self._load.people)


async def prove(
    *, kills: int, machines: int, people: int, floor: int, seed: int, pause_s: tuple[float, float],
    keep: bool = False, rename_every_s: float = 2.0,
) -> Outcome:  # fmt: skip
    """Run one proof; the instance's folder stays where there are faults, and its path is among them."""
    outcome = Outcome()
    instance = Instance(CASEWIRE_CPU_WORKERS="2", CASEWIRE_GPU_WORKERS="1")
    began = time.monotonic()
    load = Load(instance.url, people=people, machines=machines, floor=floor, seed=seed)
    try:
        await instance.start()
        await load.begin()
        running = asyncio.create_task(load.run(rename_every_s=rename_every_s))
        await asyncio.sleep(2)
        killer = Killer(instance, load, outcome, seed=seed, pause_s=pause_s)
        await killer.run(kills)
        load.enough()
        last = time.monotonic()
        await running
        await load.drain(_DRAIN_S)
        outcome.draining_s = time.monotonic() - last
        await instance.ready()
        outcome.faults = await oracle.faults(instance, load)
        for person in load.people:
            outcome.connections += person.connections
            outcome.recoveries += person.recoveries
            outcome.snapshots += person.snapshots
            outcome.entries += person.entries
        await load.end()
    finally:
        code = await instance.stop()
    outcome.machines = load.ended
    outcome.acknowledged = len(load.ledger.acknowledged)
    outcome.repeats, outcome.resent = load.ledger.repeats, load.ledger.resent
    outcome.starts, outcome.ended_itself = instance.starts, instance.ended_itself
    outcome.seconds = time.monotonic() - began
    if code:
        outcome.faults.append(f"the server ended with {code} when it was asked to")
    if keep or outcome.faults:
        outcome.evidence = f"{instance.log} and the rest of {instance.folder}"
    else:
        instance.clear()
    return outcome


def main() -> None:
    """Run the proof, print its table, and exit with 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--machines", type=int, default=500, help="at work from the beginning")
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--floor", type=int, default=80, help="machines kept at work until the last kill")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, nargs=2, default=(0.2, 2.0), metavar=("LEAST", "MOST"))
    parser.add_argument("--keep", action="store_true", help="keep the data folder although all is well")
    options = parser.parse_args()
    least, most = options.pause
    outcome = asyncio.run(
        prove(
            kills=options.kills,
            machines=options.machines,
            people=options.people,
            floor=options.floor,
            seed=options.seed,
            pause_s=(least, most),
            keep=options.keep,
        )
    )
    print(outcome.table())
    for fault in outcome.faults[:40]:
        print(f"FAULT {fault}")
    if outcome.evidence:
        print(f"Evidence: {outcome.evidence}")
    sys.exit(1 if outcome.faults else 0)


if __name__ == "__main__":
    main()
