"""What clients were told had happened, and whether the custody chain agrees."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Acknowledged:
    """One event that a client was told is applied.

    Attributes:
        marker: Text that occurs in what this event changed and in nothing else.
    """

    event_id: str
    machine: str
    event: str
    revision: int
    marker: str


@dataclass
class Ledger:
    """Every acknowledgement of every client of one proof."""

    acknowledged: list[Acknowledged] = field(default_factory=list)
    repeats: int = 0
    """Acknowledgements that said that the event had been applied before."""
    resent: int = 0
    faults: list[str] = field(default_factory=list)

    def note(self, event: Acknowledged, *, repeated: bool) -> None:
        """A reply came."""
        self.acknowledged.append(event)
        self.repeats += repeated

    def compare(self, entries: Iterable[Mapping[str, Any]]) -> list[str]:
        """What is wrong, by the transitions of the custody chain; empty if nothing is.

        Every acknowledged event must be there once, as the revision that was told; every machine's
        revisions must be 1, 2, 3 … without one missing or twice.
        """
        faults: list[str] = []
        of_machine: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for entry in entries:
            of_machine[entry["machine"]].append(entry)
        for machine, transitions in of_machine.items():
            revisions = [entry["revision"] for entry in transitions if not entry["gone"]]
            if revisions != list(range(1, len(revisions) + 1)):
                faults.append(f"{machine}: revisions {_odd(revisions)} are missing, twice or out of order")
        told = Counter(event.event_id for event in self.acknowledged)
        faults += [
            f"{event_id} was acknowledged {count} times" for event_id, count in told.items() if count > 1
        ]
        for event in self.acknowledged:
            there = [
                entry["revision"]
                for entry in of_machine[event.machine]
                if entry["event"] == event.event and event.marker in entry["context"].values()
            ]
            if there != [event.revision]:
                faults.append(
                    f"{event.machine}: {event.event} {event.event_id} was acknowledged as revision "
                    f"{event.revision}, the chain has it as {there}"
                )
        return faults


def _odd(revisions: list[int]) -> list[int]:
    counted = Counter(revisions)
    expected = range(1, max(revisions, default=0) + 1)
    return [number for number in expected if counted[number] != 1][:10]
