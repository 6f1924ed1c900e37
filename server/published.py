"""Messages as they are fanned out: one dictionary for all subscribers, encoded once for each role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from machines.event import Role
from machines.snapshot import Snapshot
from machines.step import CHARTS, allowed_in
from storage.machine_store import TopicState


class Published(dict[str, Any]):
    """A message without `allowed`, which differs by role; never changed once it is fanned out.

    Attributes:
        size: Bytes, about.
        by_role: Encoded forms made so far.
    """

    __slots__ = ("by_role", "size")

    def __init__(self, message: Mapping[str, Any], size: int) -> None:
        super().__init__(message)
        self.size = size
        self.by_role: dict[Role | None, bytes] = {}


def for_role(message: Mapping[str, Any], role: Role | None) -> dict[str, Any]:
    """The message with the events that `role` may send: in an entry, in each machine of a snapshot,
    in each entry or machine of a subscription's first answer. A passing message stays as it is.
    """
    if message.get("type") == "entry":
        return {**message, "allowed": _allowed(message["kind"], message["to"], message, role)}
    if "entries" in message:
        return {**message, "entries": [for_role(entry, role) for entry in message["entries"]]}
    if "machines" in message:
        machines = [
            {**m, "allowed": _allowed(m["kind"], m["configuration"], m, role)} for m in message["machines"]
        ]
        return {**message, "machines": machines}
    return dict(message)


def encode(message: Published, role: Role | None) -> bytes:
    """`for_role` as JSON, computed once for each role."""
    found = message.by_role.get(role)
    if found is None:
        found = (
            _with_entries(message, role) if "entries" in message else orjson.dumps(for_role(message, role))
        )
        message.by_role[role] = found
    return found


def reply(request: int | str, body: bytes) -> bytes:
    """The answer `ok` to a request, around a result that is JSON already."""
    head = b'{"type":"ok","id":' + orjson.dumps(request)
    return head + b"}" if body == b"{}" else head + b"," + body[1:]


def snapshot_of(state: TopicState) -> Published:
    """A topic's state as the first answer to a subscriber that cannot resume."""
    machines = [_machine(snapshot) for snapshot in state.machines]
    message = {
        "topic": state.topic,
        "epoch": state.epoch,
        "offset": state.offset,
        "recovered": False,
        "machines": machines,
        "more": state.more,
    }
    return Published(message, len(orjson.dumps(message)))


def pushed(snapshot: Published) -> Published:
    """The same state as an unasked message."""
    message = {"type": "snapshot", **snapshot}
    del message["recovered"]
    return Published(message, snapshot.size)


def recovery_of(topic: str, epoch: str, offset: int, entries: list[Published]) -> Published:
    """Missed entries as the first answer to a subscriber that resumes; it waits in no queue."""
    message = {"topic": topic, "epoch": epoch, "offset": offset, "recovered": True, "entries": entries}
    return Published(message, 0)


def _with_entries(message: Published, role: Role | None) -> bytes:
    # The entries of one recovery are those of the next: each is encoded once.
    entries = b",".join([encode(entry, role) for entry in message["entries"]])
    rest = orjson.dumps({name: value for name, value in message.items() if name != "entries"})
    return rest[:-1] + b',"entries":[' + entries + b"]}"


def _allowed(kind: str, configuration: list[str], message: Mapping[str, Any], role: Role | None) -> list[str]:
    if message["terminated"] or message.get("gone") or kind not in CHARTS:
        return []
    return allowed_in(kind, tuple(configuration), role)


def _machine(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "machine": snapshot.id,
        "kind": snapshot.kind,
        "topic": snapshot.topic,
        "revision": snapshot.revision,
        "configuration": snapshot.configuration,
        "context": snapshot.context,
        "terminated": snapshot.terminated,
        "updated_at": snapshot.updated_at,
    }
