"""Walk a machine through events without any store."""

from __future__ import annotations

from typing import Any

from machines.event import Role, Source
from machines.step import Incoming, Step, spawn, step


class Walk:
    """One machine and the step that led to its present state."""

    def __init__(self, kind: str, topic: str = "case:c1", actor: str = "u1", **data: Any) -> None:
        self.at = 1000.0
        incoming = Incoming("spawn", data, "handler", self.at, actor)
        self.last: Step = spawn(kind, f"{kind}-0-abc", topic, incoming)
        self.effects = dict(self.last.effects)

    @property
    def configuration(self) -> set[str]:
        return set(self.last.snapshot.configuration)

    @property
    def context(self) -> dict[str, Any]:
        return self.last.snapshot.context

    def effect(self, name: str) -> str:
        """Id of the latest effect of that name."""
        return [key for key, effect in self.effects.items() if effect.name == name][-1]

    def send(
        self,
        event: str,
        *,
        source: Source = "handler",
        actor: str = "u1",
        role: Role | None = None,
        **data: Any,
    ) -> Walk:
        self.at += 1
        if source == "client" and role is None:
            role = "owner"
        self.last = step(self.last.snapshot, Incoming(event, data, source, self.at, actor, role))
        self.effects.update(self.last.effects)
        return self


def verified_upload() -> Walk:
    """An upload whose text is being extracted."""
    walk = Walk("upload", filename="a.pdf", bytes=3)
    walk.send("received", sha256="ab", bytes=3)
    effect = walk.effect("VerifyUpload")
    return walk.send("verified", effect=effect, evidence=7, media_type="application/pdf", title="A")


def extracted_upload() -> Walk:
    """An upload whose four analyses have just been queued."""
    walk = verified_upload()
    return walk.send("extracted", effect=walk.effect("ExtractText"), pages=1, characters=9, chunks=2)
