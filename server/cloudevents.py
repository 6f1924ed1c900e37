"""Messages of a topic as CloudEvents 1.0 in structured mode, for streams and webhooks.

An event's `source` names the topic, and with its `id` says which event it is, wherever it was read:
an entry has the same id in every stream, in every webhook and when it is replayed from the journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any
from urllib.parse import quote

import orjson

from machines.event import Role
from server.published import Published, encode, for_role

CONTENT_TYPE = "application/cloudevents+json"
BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"

ENTRY = "casewire.entry.v1"
SNAPSHOT = "casewire.snapshot.v1"
PASSING = "casewire.passing.v1"
CLOSED = "casewire.closed.v1"
RESUME = "casewire.resume.v1"
PING = "casewire.ping.v1"

_TYPES = {"entry": ENTRY, "snapshot": SNAPSHOT, "passing": PASSING, "closed": CLOSED, "resume": RESUME}


def cloud_event(message: Mapping[str, Any], role: Role, *, at: float) -> bytes:
    """A message with a `type` as a CloudEvent whose data is what a websocket of that role gets.

    Args:
        at: Unix seconds, for messages that carry no time of their own.
    """
    kind, topic = message["type"], message["topic"]
    return envelope(
        _TYPES[kind],
        event_id(message),
        topic,
        subject=message.get("machine", topic),
        at=message["at"] if kind == "entry" else at,
        data=encode(message, role)
        if isinstance(message, Published)
        else orjson.dumps(for_role(message, role)),
    )


def event_id(message: Mapping[str, Any]) -> str:
    """What tells an event from every other of its topic.

    An entry's is made of what it says itself, not of its offset: offsets begin anew with an epoch,
    and the journal does not keep them. A machine that lost revisions with Redis may reach one of
    them twice, at another time.
    """
    match message["type"]:
        case "entry":
            microseconds = round(message["at"] * 1e6)
            gone = ":gone" if message["gone"] else ""
            return f"{message['machine']}:{message['revision']}:{microseconds}{gone}"
        case "snapshot":
            # Without full stops, which a webhook's signature uses to keep its parts apart.
            return f"snapshot:{message['epoch'].replace('.', '-')}:{message['offset']}"
        case kind:
            return f"{kind}:{token_hex(12)}"


def envelope(kind: str, event: str, topic: str, *, subject: str, at: float, data: bytes) -> bytes:
    """A CloudEvent around data that is JSON already."""
    head = {
        "specversion": "1.0",
        "id": event,
        "source": source_of(topic),
        "type": kind,
        "subject": subject,
        "time": datetime.fromtimestamp(at, UTC).isoformat(),
        "datacontenttype": "application/json",
    }
    return orjson.dumps(head)[:-1] + b',"data":' + data + b"}"


def source_of(topic: str) -> str:
    """The `source` of a topic's events: the same whatever address a server is reached by."""
    return f"urn:casewire:{quote(topic, safe=':')}"


def batch(events: list[bytes]) -> bytes:
    """CloudEvents in batched mode."""
    return b"[" + b",".join(events) + b"]"
