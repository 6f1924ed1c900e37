"""A machine as one role sees it: what is stored, with the events that the role may send."""

from __future__ import annotations

from typing import Any

from machines.event import Role
from machines.snapshot import Snapshot
from machines.step import allowed, allowed_in
from server.engine import Outcome


def machine_view(snapshot: Snapshot, role: Role) -> dict[str, Any]:
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
