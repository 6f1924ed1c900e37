"""A machine at rest: everything needed to go on from exactly here."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Snapshot:
    """One revision of one machine, in JSON values only.

    Attributes:
        id: Machine id, `kind-shard-token`.
        kind: Chart name.
        chart_version: Version declared by the chart that wrote it.
        chart_hash: Hash of that chart's definition; another hash is never loaded silently.
        topic: The topic that carries its transitions.
        revision: 1 after the spawn, one more with each step.
        configuration: Active state ids, in the engine's order, which matters for parallel charts.
        history: History state id → the state ids it remembers.
        context: The chart's context model, dumped.
        awaiting: Effect id → id of the state whose entry issued it.
        timers: Timer key → id of the state that set it ("" when no state owns it).
        terminated: No event can follow.
        updated_at: Unix time of the event that led here, in seconds.
    """

    id: str
    kind: str
    chart_version: int
    chart_hash: str
    topic: str
    revision: int
    configuration: list[str]
    context: dict[str, Any]
    updated_at: float
    history: dict[str, list[str]] = field(default_factory=dict)
    awaiting: dict[str, str] = field(default_factory=dict)
    timers: dict[str, str] = field(default_factory=dict)
    terminated: bool = False

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Snapshot:
        """Rebuild from `to_json`'s dictionary.

        Raises:
            TypeError: A field is missing or unknown.
        """
        return cls(**value)


SNAPSHOT_FIELDS = tuple(f.name for f in fields(Snapshot))
