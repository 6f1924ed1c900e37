"""How long each stage of work was queued, was running and paused, read from a machine's entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

LIVE = frozenset({"queued", "running", "waiting"})


@dataclass(frozen=True)
class Phase:
    """A stretch of time that a stage spent in one status, in seconds."""

    stage: str
    status: str
    seconds: float


def phases(entries: Iterable[Mapping[str, Any]]) -> list[Phase]:
    """The ended phases of one machine, from its entries in order; what still lasts is left out."""
    found: list[Phase] = []
    known: dict[str, tuple[str, float]] = {}
    for entry in entries:
        for stage, work in entry["context"].get("work", {}).items():
            status, since = str(work["status"]), float(work["since"])
            before = known.get(stage)
            if before == (status, since):
                continue
            if before is not None and before[0] in LIVE:
                found.append(Phase(stage, before[0], max(0.0, float(entry["at"]) - before[1])))
            known[stage] = (status, since)
        for stage in [s for s, (status, _) in known.items() if status in LIVE and s not in entry["to"]]:
            del known[
                stage
            ]  # left without an end, such as by cancelling: how long it would have been is unknown
    return found


def live_stages(configuration: Iterable[str], context: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Stage → its work, of the stages that are queued, running or waiting now.

    A stage is a state, so what is told as live of one that was left is over.
    """
    active = set(configuration)
    work: Mapping[str, Mapping[str, Any]] = context.get("work", {})
    return {stage: w for stage, w in work.items() if stage in active and w.get("status") in LIVE}


def busy_since(configuration: Iterable[str], context: Mapping[str, Any]) -> float | None:
    """Since when the machine has waited for the stage that it has waited for longest; None if for none."""
    return min((float(w["since"]) for w in live_stages(configuration, context).values()), default=None)
