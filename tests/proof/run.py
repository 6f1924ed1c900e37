"""One proof: a real instance at work, an attack on it, and the oracle at the end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.proof import oracle
from tests.proof.instance import Instance
from tests.proof.load import Load

DRAIN_S = 900.0
"""How long machines may take to come to rest after the attack."""


@dataclass
class Outcome:
    """What one proof did and found."""

    kills: Counter[str] = field(default_factory=Counter)
    """By victim."""
    machines: Counter[str] = field(default_factory=Counter)
    """By kind and the state in which it rests."""
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
    """Times that the attack waited in vain for something to happen."""
    attacked_s: float = 0.0
    draining_s: float = 0.0
    faults: list[str] = field(default_factory=list)
    evidence: str = ""

    def table(self) -> str:
        """As Markdown."""
        rows = [("kills", sum(self.kills.values()))]
        rows += [(f"– {victim}", count) for victim, count in sorted(self.kills.items())]
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
            ("waits in vain for a result", self.stalls),
            ("seconds under attack", round(self.attacked_s)),
            ("seconds from then until all rested", round(self.draining_s)),
            ("faults", len(self.faults)),
        ]
        return "\n".join(["| what | count |", "|---|---:|", *(f"| {what} | {n} |" for what, n in rows)])

    def report(self) -> int:
        """Print everything; the exit status."""
        print(self.table())
        for fault in self.faults[:40]:
            print(f"FAULT {fault}")
        if self.evidence:
            print(f"Evidence: {self.evidence}")
        return 1 if self.faults else 0


Attack = Callable[[Instance, Load, Outcome], Awaitable[None]]


async def prove(
    attack: Attack,
    *,
    people: int,
    machines: int,
    floor: int,
    seed: int,
    keep: bool = False,
    rename_every_s: float = 2.0,
    **settings: str,
) -> Outcome:
    """Attack an instance at work, let it come to rest, and ask the oracle.

    Args:
        machines: At work from the beginning.
        floor: Kept at work until the attack is over.
        keep: Whether the data folder stays although all is well.
        settings: Of the instance.
    """
    outcome = Outcome()
    instance = Instance(**{"CASEWIRE_CPU_WORKERS": "2", "CASEWIRE_GPU_WORKERS": "1", **settings})
    load = Load(instance.url, people=people, machines=machines, floor=floor, seed=seed)
    try:
        await instance.start()
        await load.begin()
        running = asyncio.create_task(load.run(rename_every_s=rename_every_s))
        await asyncio.sleep(2)
        began = time.monotonic()
        await attack(instance, load, outcome)
        outcome.attacked_s = time.monotonic() - began
        load.enough()
        began = time.monotonic()
        await running
        await load.drain(DRAIN_S)
        outcome.draining_s = time.monotonic() - began
        await instance.ready()
        outcome.faults = await oracle.faults(instance, load)
        await load.end()
    finally:
        code = await instance.stop()
    if code:
        outcome.faults.append(f"the server ended with {code} when it was asked to")
    for person in load.people:
        outcome.connections += person.connections
        outcome.recoveries += person.recoveries
        outcome.snapshots += person.snapshots
        outcome.entries += person.entries
    outcome.machines = load.ended
    outcome.acknowledged = len(load.ledger.acknowledged)
    outcome.repeats, outcome.resent = load.ledger.repeats, load.ledger.resent
    outcome.starts, outcome.ended_itself = instance.starts, instance.ended_itself
    if keep or outcome.faults:
        outcome.evidence = f"{instance.log} and the rest of {instance.folder}"
    else:
        instance.clear()
    return outcome


def progress(load: Load, done: str) -> None:
    """Print where an attack has come to."""
    print(
        f"{time.strftime('%H:%M:%S')} {done}, {load.at_work} machines at work, {sum(load.ended.values())} "
        f"rested, {len(load.ledger.acknowledged)} events acknowledged, {len(load.ledger.faults)} faults "
        f"{load.ledger.faults[-2:]}",
        flush=True,
    )
