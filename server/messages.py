"""The messages of the websocket, subprotocol `casewire.v1.json`: what a client may say, and replies."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from machines.event import BIGGEST

SUBPROTOCOL = "casewire.v1.json"

Topic = Annotated[str, Field(min_length=1, max_length=200)]
EventId = Annotated[str, Field(min_length=1, max_length=200)]


class Message(BaseModel):
    """A frame is one JSON object; fields that are not known are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Request(Message):
    """`id` is the client's own and comes back in the reply.

    `trace`, a W3C traceparent, is written into what the request brings about: entries carry it.
    """

    trace: Annotated[str, Field(max_length=100)] = ""
    id: Annotated[int, Field(ge=-BIGGEST, le=BIGGEST)] | Annotated[str, Field(max_length=80)]


class Since(Message):
    """Where a subscriber had come to."""

    epoch: Annotated[str, Field(max_length=200)]
    offset: Annotated[int, Field(ge=0, le=BIGGEST)]


class Subscribe(Request):
    """Follow a topic. With `since`, the reply holds what was missed if the log still has it."""

    type: Literal["subscribe"]
    topic: Topic
    since: Since | None = None


class Unsubscribe(Request):
    """Follow a topic no more."""

    type: Literal["unsubscribe"]
    topic: Topic


class Spawn(Request):
    """Start a machine; a repeat with the same `event_id` starts none and gets the first outcome."""

    type: Literal["spawn"]
    kind: Annotated[str, Field(max_length=80)]
    topic: Topic
    data: dict[str, Any] = {}
    event_id: EventId | None = None


class Send(Request):
    """Send an event to a machine, at most once for an `event_id`; `if_revision` must still hold."""

    type: Literal["send"]
    machine: Annotated[str, Field(max_length=120)]
    event: Annotated[str, Field(max_length=80)]
    data: dict[str, Any] = {}
    event_id: EventId | None = None
    if_revision: Annotated[int, Field(ge=0, le=BIGGEST)] | None = None


class Ping(Request):
    """Answered by `ok`."""

    type: Literal["ping"]


AnyRequest = Annotated[Subscribe | Unsubscribe | Spawn | Send | Ping, Field(discriminator="type")]

REQUEST: TypeAdapter[Subscribe | Unsubscribe | Spawn | Send | Ping] = TypeAdapter(AnyRequest)
