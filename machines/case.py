"""A case: open, pending or closed, with a title, and a count of each change around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field
from statemachine import State

from machines.chart import Chart, Context, from_each, on_each
from machines.effect import Effect
from machines.event import Event

Part = Literal["members", "pois", "entities", "standing"]


class CaseSpawned(Event, name="spawn", source="handler"):
    """The case was created; its creator owns it."""

    title: str = Field(min_length=1, max_length=300)
    description: str = Field(default="", max_length=5000)


class Hold(Event, name="hold", source="client", role="editor"):
    """Wait for something outside."""


class Proceed(Event, name="proceed", source="client", role="editor"):
    """Work goes on."""


class Close(Event, name="close", source="client", role="owner"):
    """Done, for now."""


class Reopen(Event, name="reopen", source="client", role="owner"):
    """Not done after all."""


class Rename(Event, name="rename", source="client", role="editor"):
    """A better title."""

    title: str = Field(min_length=1, max_length=300)


class Changed(Event, name="changed", source="handler"):
    """Something kept beside the machine changed; whoever shows it should read it again."""

    part: Part
    poi: int = 0
    """The person of interest that was added, changed or removed; evidence is searched for it."""


@dataclass(frozen=True)
class RelinkPoi(Effect, queue="inline"):
    """Look for a person of interest in the evidence that is there. Nobody awaits it."""

    case: str
    poi: int


class CaseContext(Context):
    """What every page of the case shows."""

    title: str = ""
    description: str = ""
    owner: str = ""
    created_at: float = 0.0
    versions: dict[str, int] = {}
    """Part → how often it has changed."""


class CaseChart(Chart):
    """Closing a case keeps everything; it can be reopened."""

    kind: ClassVar[str] = "case"
    context_type = CaseContext
    spawn_event = CaseSpawned
    spawn_topics = ("case",)
    event_types = (Hold, Proceed, Close, Reopen, Rename, Changed)

    context: CaseContext

    open = State(initial=True, enter="note_case")
    pending = State()
    closed = State()

    hold = open.to(pending)
    proceed = pending.to(open)
    close = from_each(open, pending, to=closed)
    reopen = closed.to(open)
    rename = on_each(open, pending, on="note_title")
    changed = on_each(open, pending, closed, on="note_change")

    def note_case(self, data: Event) -> None:
        """Keep title and owner; entering again changes neither."""
        if isinstance(data, CaseSpawned):
            self.context.title, self.context.description = data.title, data.description
            self.context.owner, self.context.created_at = self.actor, self.at

    def note_title(self, data: Rename) -> None:
        """The new title."""
        self.context.title = data.title

    def note_change(self, data: Changed) -> None:
        """Count it."""
        self.context.versions[data.part] = self.context.versions.get(data.part, 0) + 1
        if data.poi:
            self.emit(RelinkPoi(self.topic.partition(":")[2], data.poi))
