"""A machine as one role sees it: what is stored, with the events that the role may send."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from machines.event import Role, Source
from machines.snapshot import Snapshot
from machines.step import allowed, allowed_in
from server.engine import Outcome


class MachineView(TypedDict):
    """A machine as one role sees it; `updated_at` is in Unix seconds."""

    machine: str
    kind: str
    topic: str
    revision: int
    configuration: list[str]
    context: dict[str, Any]
    allowed: list[str]
    terminated: bool
    updated_at: float


class StateView(TypedDict):
    """A state with those inside it."""

    id: str
    initial: bool
    final: bool
    parallel: bool
    states: list[StateView]


class TransitionView(TypedDict):
    """From one state to others; `event` is empty where none is needed."""

    event: str
    source: str
    targets: list[str]


class EventView(TypedDict):
    """An event of a chart, who may send it, and the least role of a client that does."""

    name: str
    source: Source
    role: Role
    doc: str


class SpawnView(TypedDict):
    """Who may start such a machine, and on topics with which prefix."""

    source: Source
    role: Role
    topics: list[str]


class ChartView(TypedDict):
    """A chart as data, and as a picture for Graphviz."""

    kind: str
    version: int
    hash: str
    spawn: SpawnView
    states: list[StateView]
    transitions: list[TransitionView]
    events: list[EventView]
    dot: str


def machine_view(snapshot: Snapshot, role: Role) -> MachineView:
    """A machine as it stands in a snapshot message."""
    return {
        "machine": snapshot.id,
        "kind": snapshot.kind,
        "topic": snapshot.topic,
        "revision": snapshot.revision,
        "configuration": snapshot.configuration,
        "context": snapshot.context,
        "allowed": allowed(snapshot, role),
        "terminated": snapshot.terminated,
        "updated_at": snapshot.updated_at,
    }


def outcome_view(outcome: Outcome, role: Role) -> dict[str, Any]:
    """The result of a spawn or a send."""
    kind = outcome.machine.partition("-")[0]
    return {
        "machine": outcome.machine,
        "revision": outcome.revision,
        "to": outcome.configuration,
        "allowed": allowed_in(kind, tuple(outcome.configuration), role),
        "repeated": outcome.repeated,
    }
