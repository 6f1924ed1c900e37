"""What is found inside evidence becomes an upload of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

from machines.event import Source
from storage.blobs import Blobs


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
    """A file inside evidence.

    Attributes:
        key: The same for the same file in every run, such as `<effect>:attachment:0`.
        topic: Where the new upload machine will live.
        parent: Evidence it was found in.
        owner: Person who uploaded that.
    """

    key: str
    filename: str
    content: bytes
    topic: str
    parent: int
    owner: str


class Adoption:
    """Stores a file and starts the upload machine that will analyse it."""

    def __init__(self, engine: UploadEngine, blobs: Blobs) -> None:
        self._engine = engine
        self._blobs = blobs

    async def __call__(self, finding: Finding) -> str:
        """Start, or find already started, the machine for a finding; returns its id."""
        sha256, size = await asyncio.to_thread(self._store, finding.content)
        data = {"filename": finding.filename, "bytes": size, "parent": finding.parent}
        spawned = await self._engine.spawn(
            "upload", finding.topic, data, source="handler", actor=finding.owner, event_id=finding.key
        )
        await self._engine.send(
            spawned.machine, "received", {"sha256": sha256, "bytes": size},
            source="handler", actor=finding.owner, event_id=f"{finding.key}:received",
        )  # fmt: skip
        return spawned.machine

    def _store(self, content: bytes) -> tuple[str, int]:
        writer = self._blobs.open_writer()
        try:
            writer.write(content)
            return writer.commit()
        finally:
            writer.abort()
