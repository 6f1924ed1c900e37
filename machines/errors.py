"""Why a step was refused.

StepError
├── Unsteppable        this release cannot step the machine; another one may
│   ├── UnknownKind    no chart of that kind
│   ├── WrongChart     the snapshot belongs to another definition of its chart
│   └── BrokenSnapshot the snapshot cannot be a state of its chart
├── UnknownEvent       the chart has no such event
├── BadPayload         the event's data does not fit
├── Forbidden          the sender's source or role may not send it
├── NotAllowed         not in this state; carries what is
└── Stale              answers an effect that nobody awaits any more
"""

from __future__ import annotations

from collections.abc import Sequence


class StepError(Exception):
    """The event was not applied; nothing has changed."""

    code = "step.failed"

    def __init__(
        self,
        message: str,
        *,
        event: str = "",
        states: Sequence[str] = (),
        allowed: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.event = event
        self.states = tuple(states)
        self.allowed = tuple(allowed)


class Unsteppable(StepError):
    """No event can be applied by this release; the machine keeps, with its work and its timers."""


class UnknownKind(Unsteppable):
    """No chart of that kind exists in this release."""

    code = "chart.unknown"


class WrongChart(Unsteppable):
    """The snapshot was written by another definition of its chart, `chart_hash`, of version `version`."""

    code = "chart.changed"

    def __init__(self, message: str, *, kind: str, version: int, chart_hash: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.version = version
        self.chart_hash = chart_hash


class BrokenSnapshot(Unsteppable):
    """The configuration is not a legal one of the chart."""

    code = "snapshot.broken"


class UnknownEvent(StepError):
    """The chart declares no event of that name."""

    code = "event.unknown"


class BadPayload(StepError):
    """The event's data does not fit its model."""

    code = "event.payload"


class Forbidden(StepError):
    """The sender may not send this event: wrong source, or too small a role."""

    code = "event.forbidden"


class NotAllowed(StepError):
    """The current state has no transition for this event."""

    code = "event.not_allowed"


class Stale(StepError):
    """A result whose state entry is over: cancelled, retried or answered before."""

    code = "result.stale"
