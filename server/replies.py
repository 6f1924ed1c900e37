"""What the server says on websockets, streams and webhooks, as models.

They describe; nothing is validated against them while serving. `server.asyncapi` makes the
document from them, and a test compares that with what a running server sends.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from machines.event import BIGGEST
from server.messages import Message

Id = int | str
Offset = Annotated[int, Field(ge=0, le=BIGGEST)]


class Said(Message):
    """A message of the server; the texts below its fields go into the description."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class MachineState(Said):
    """One machine as the reader's role sees it."""

    machine: str
    kind: str
    topic: str
    revision: Annotated[int, Field(ge=1)]
    configuration: list[str]
    """Active states."""
    context: dict[str, Any]
    """Fits `context.<kind>`."""
    allowed: list[str]
    """Events that this role may send now."""
    terminated: bool
    updated_at: float
    """Unix seconds."""


class Entry(Said):
    """A machine was spawned, has moved, or has left (`gone`); `context` and `removed` tell what changed."""

    type: Literal["entry"]
    topic: str
    epoch: str
    """Empty, and the offset 0, where an entry came out of the journal and its position is not known."""
    offset: Offset
    machine: str
    kind: str
    revision: Annotated[int, Field(ge=1)]
    event: str
    from_: Annotated[list[str], Field(alias="from")]
    to: list[str]
    context: dict[str, Any]
    removed: list[str]
    allowed: list[str]
    terminated: bool
    gone: bool
    at: float
    """Unix seconds."""
    actor: str
    trace: str = ""
    """W3C traceparent of the request that led to it."""


class Snapshot(Said):
    """All machines of a topic, in place of entries that cannot be told one by one."""

    type: Literal["snapshot"]
    topic: str
    epoch: str
    offset: Offset
    machines: list[MachineState]
    more: bool
    """Older finished machines are not among them."""


class Passing(Said):
    """Progress, a piece of an answer, a toast: shown now or never, without an offset."""

    type: Literal["passing"]
    topic: str
    machine: str
    what: str
    data: dict[str, Any]


class Closed(Said):
    """A right has ended, and with it the topic on this connection."""

    type: Literal["closed"]
    topic: str
    code: Literal["access.ended", "auth.required"]


class Resume(Said):
    """A stream ends, and its reader should open it again with the id of the last event."""

    type: Literal["resume"]
    topic: str
    code: Literal["shutdown", "slow", "insufficient"]


class WebhookPing(Said):
    """Sent when somebody tries out a webhook."""

    type: Literal["ping"]
    webhook: str


class Reply(Said):
    """The answer to the request of the same `id`."""

    type: Literal["ok"]
    id: Id


class Recovered(Reply):
    """A topic is followed: these entries were missed, in order."""

    topic: str
    epoch: str
    offset: Offset
    recovered: Literal[True]
    entries: list[Entry]


class Begun(Reply):
    """A topic is followed from this snapshot on."""

    topic: str
    epoch: str
    offset: Offset
    recovered: Literal[False]
    machines: list[MachineState]
    more: bool


class Left(Reply):
    """A topic is not followed any more."""

    topic: str


class Outcome(Reply):
    """What a spawn or a send did, or had done the first time (`repeated`)."""

    machine: str
    revision: Annotated[int, Field(ge=1)]
    to: list[str]
    allowed: list[str]
    repeated: bool


class Pong(Reply):
    """The answer to a ping."""


class Refusal(Said):
    """The request of that `id` was refused; `id` is null where it could not be read."""

    type: Literal["error"]
    id: Id | None
    code: str
    message: str
    temporary: bool
    """Whether the same request may succeed later."""
    allowed: list[str] = []
    """Events that the machine's state does allow, where that says something."""


class Event(Said):
    """A CloudEvent 1.0 in structured mode."""

    specversion: Literal["1.0"]
    id: Annotated[str, Field(min_length=1)]
    """With `source` the same wherever and however often an event is read."""
    source: Annotated[str, Field(pattern="^urn:casewire:")]
    subject: str
    time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    datacontenttype: Literal["application/json"]


class EntryEvent(Event):
    """An entry; `subject` is its machine."""

    type: Literal["casewire.entry.v1"]
    data: Entry


class SnapshotEvent(Event):
    """A snapshot; `subject` is the topic."""

    type: Literal["casewire.snapshot.v1"]
    data: Snapshot


class PassingEvent(Event):
    """A passing message; `subject` is its machine."""

    type: Literal["casewire.passing.v1"]
    data: Passing


class ClosedEvent(Event):
    """The stream has ended with a right."""

    type: Literal["casewire.closed.v1"]
    data: Closed


class ResumeEvent(Event):
    """The stream ends, to be opened again."""

    type: Literal["casewire.resume.v1"]
    data: Resume


class PingEvent(Event):
    """A test delivery; `subject` is the webhook."""

    type: Literal["casewire.ping.v1"]
    data: WebhookPing


REPLIES: dict[str, type[Message]] = {
    "recovered": Recovered,
    "begun": Begun,
    "left": Left,
    "outcome": Outcome,
    "pong": Pong,
    "refusal": Refusal,
}
PUSHED: dict[str, type[Message]] = {
    "entry": Entry,
    "snapshot": Snapshot,
    "passing": Passing,
    "closed": Closed,
}
STREAMED: dict[str, type[Message]] = {
    "entryEvent": EntryEvent,
    "snapshotEvent": SnapshotEvent,
    "passingEvent": PassingEvent,
    "closedEvent": ClosedEvent,
    "resumeEvent": ResumeEvent,
}
DELIVERED: dict[str, Any] = {
    "entryDelivery": EntryEvent,
    "snapshotDelivery": SnapshotEvent,
    "pingDelivery": PingEvent,
    "batchDelivery": list[EntryEvent | SnapshotEvent],
}
