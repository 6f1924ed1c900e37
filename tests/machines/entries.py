"""Random lives of machines as the entries that a store would keep of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from machines.errors import StepError
from machines.snapshot import Snapshot
from machines.step import Incoming, Step, spawn, step
from tests.machines.test_restore import SPAWNED, incomings


def entry_of(done: Step, actor: str = "u1") -> dict[str, Any]:
    """What a commit writes about a step."""
    after = done.snapshot
    return {
        "machine": after.id,
        "revision": after.revision,
        "event": done.event,
        "from": done.before,
        "to": after.configuration,
        "context": done.changed,
        "removed": done.removed,
        "terminated": after.terminated,
        "at": after.updated_at,
        "actor": actor,
    }


@st.composite
def lives(draw: st.DrawFn, kind: str, most: int = 25) -> list[Step]:
    """The steps of one machine, the spawn first."""
    topic, payload = SPAWNED[kind]
    steps = [spawn(kind, f"{kind}-0-ab", topic, Incoming("spawn", payload, "handler", 1000.0, "u1"))]
    for number in range(draw(st.integers(0, most))):
        at = 1001.0 + number
        try:
            steps.append(step(steps[-1].snapshot, draw(incomings(steps[-1].snapshot, at))))
        except StepError:
            continue
    return steps


def snapshots(steps: list[Step]) -> list[Snapshot]:
    return [done.snapshot for done in steps]
