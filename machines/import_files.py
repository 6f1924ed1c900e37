"""What has become of a file of an import, told by the machine of its upload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

from machines.snapshot import Snapshot

FileState = Literal[
    "waiting", "sending", "received", "queued", "working", "ready", "duplicate", "locked", "failed",
    "retrying", "cancelled", "removed",
]  # fmt: skip
"""As in `Tally`. Where that says queued, a file is `received` before it has a machine, `queued` with one,
and `retrying` from when it was asked for again until its machine has heard."""

UNSENT: tuple[FileState, ...] = ("waiting", "sending")
UNSETTLED: tuple[FileState, ...] = (*UNSENT, "received", "queued", "working", "retrying")


class FileStanding(NamedTuple):
    """A file as its machine tells it.

    Attributes:
        busy_s: Seconds that workers have spent on it.
        retryable: Whether its machine may be asked to try again.
    """

    state: FileState
    evidence: int
    reason: str
    pages: int
    bytes: int
    busy_s: float
    retryable: bool


def standing(snapshot: Snapshot) -> FileStanding:
    """The standing of the file that an upload machine brings."""
    context = snapshot.context
    state = _state(snapshot.configuration, context)
    return FileStanding(
        state,
        context.get("evidence", 0),
        context.get("reason", "") if state in ("duplicate", "locked", "failed", "cancelled") else "",
        context.get("pages", 0),
        context.get("bytes", 0),
        sum(
            max(0.0, work["ended"] - work["since"])
            for work in context.get("work", {}).values()
            if work.get("ended") is not None
        ),
        bool(context.get("retryable", False)),
    )


def _state(configuration: list[str], context: Mapping[str, Any]) -> FileState:
    match configuration[0]:
        case "paused":
            return "waiting"
        case "receiving":
            return "sending"
        case "ready" | "duplicate" | "locked" | "failed" | "cancelled" as rest:
            return cast(FileState, rest)
        case "leaving" | "deleted":
            return "removed"
        case "forgetting" | "stranded":
            return "removed" if context.get("rested") else "working"
        case "assembling" | "verifying" as stage:
            work = context.get("work", {})
            fresh = len(work) == 1 and work[stage]["status"] == "queued" and work[stage]["attempt"] == 1
            return "queued" if fresh else "working"
    return "working"
