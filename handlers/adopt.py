"""What is found inside evidence becomes an upload of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from machines.event import Source


class Spawned(Protocol):
    """Which machine an engine made."""

    @property
    def machine(self) -> str: ...


class UploadEngine(Protocol):
    """The part of the engine that makes machines and sends them events, each `event_id` once."""

    async def spawn(
        self, kind: str, topic: str, data: dict[str, Any], *, source: Source, actor: str, event_id: str
    ) -> Spawned: ...

    async def send(
        self, machine: str, event: str, data: dict[str, Any], *, source: Source, actor: str, event_id: str
    ) -> object: ...


@dataclass(frozen=True)
class Finding:
    """A file from inside evidence, stored as a blob.

    Attributes:
        key: The same for the same file in every run, such as `<effect>:attachment:0`.
        topic: Where the new upload machine will live.
        parent: Evidence it was found in.
        owner: Person who uploaded that.
    """

    key: str
    filename: str
    sha256: str
    bytes: int
    topic: str
    parent: int
    owner: str


class Adoption:
    """Starts the upload machine that will analyse a file."""

    def __init__(self, engine: UploadEngine) -> None:
        self._engine = engine

    async def __call__(self, finding: Finding) -> str:
        """Start, or find already started, the machine for a finding; returns its id."""
        data = {"filename": finding.filename, "bytes": finding.bytes, "parent": finding.parent}
        spawned = await self._engine.spawn(
            "upload", finding.topic, data, source="handler", actor=finding.owner, event_id=finding.key
        )
        await self._engine.send(
            spawned.machine, "received", {"sha256": finding.sha256, "bytes": finding.bytes},
            source="handler", actor=finding.owner, event_id=f"{finding.key}:received",
        )  # fmt: skip
        return spawned.machine
