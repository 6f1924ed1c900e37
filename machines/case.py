"""A case: open, pending or closed, leaving or gone, with a title, and a count of each change around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field
from statemachine import State

from machines.chart import from_each, on_each
from machines.effect import Effect
from machines.event import Event, Result
from machines.work import WORK_EVENTS, WorkChart, WorkContext, broken_to, overrun_to

Part = Literal["members", "pois", "entities", "standing", "evidence"]

GRACE_S = 7 * 86_400.0
"""How long a removed case can be brought back."""
DRAIN_S = 2.0
"""Between two looks at whether the files of a case have gone."""


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
    """Told by servers of version 1; what they ask for by it, `poi_search` does."""


class Remove(Event, name="remove", source="client", role="owner"):
    """Delete the case with all that belongs to it: nobody changes it any more, and it goes after a while."""

    reason: str = Field(default="", max_length=500)


class Restore(Event, name="restore", source="client", role="owner"):
    """Within the time of grace: keep it after all."""


class Erase(Event, name="erase", source="client", role="owner"):
    """End the time of grace now."""


class Retry(Event, name="retry", source="client", role="owner"):
    """Go on with a deletion that broke."""


class GraceOver(Event, name="grace_over", source="timer"):
    """Nobody wanted it back."""


class Drain(Event, name="drain", source="timer"):
    """Time to look again."""


class NotYet(Result, name="not_yet"):
    """All that belongs to the case has been told to go; `left` files have not gone yet."""

    left: int


class Erased(Result, name="erased"):
    """Nothing of the case is left in any store but the record of its custody."""


@dataclass(frozen=True)
class RelinkPoi(Effect, queue="inline"):
    """Look for a person of interest in the evidence that is there. Nobody awaits it.

    What version 1 asked for; it may still wait in an outbox. Now `poi_search` does it.
    """

    case: str
    poi: int


@dataclass(frozen=True)
class HideCase(Effect, queue="inline"):
    """Take a case out of everybody's list and let nobody change it, or undo that. Nobody awaits it."""

    case: str
    hidden: bool


@dataclass(frozen=True)
class EraseCase(Effect, queue="cpu", deadline_s=3600):
    """Delete what belongs to a case, in every store. Answered by not_yet or erased."""

    case: str
    actor: str
    reason: str


class CaseContext(WorkContext):
    """What every page of the case shows."""

    title: str = ""
    description: str = ""
    owner: str = ""
    created_at: float = 0.0
    versions: dict[str, int] = {}
    """Part → how often it has changed."""
    rested: str = ""
    """The state in which it was removed, to which `restore` leads back."""
    grace_until: float = 0.0
    """Unix time at which a removed case is gone for good."""
    removed_by: str = ""
    why: str = ""
    """The reason that was given for removing it."""
    left: int = 0
    """How many of its files have not gone yet."""


class CaseChart(WorkChart):
    """Closing a case keeps everything; it can be reopened. Removing it deletes everything, after a while."""

    validate_trap_states = False
    """Off: deleting leads nowhere but to the end."""

    kind: ClassVar[str] = "case"
    version: ClassVar[int] = 2
    context_type = CaseContext
    spawn_event = CaseSpawned
    spawn_topics = ("case",)
    event_types = (
        Hold, Proceed, Close, Reopen, Rename, Changed, Remove, Restore, Erase, GraceOver, Drain, Retry,
        NotYet, Erased, *WORK_EVENTS,
    )  # fmt: skip

    context: CaseContext

    open = State(initial=True, enter="note_case")
    pending = State()
    closed = State()
    leaving = State(enter="begin_grace")
    erasing = State(enter="request")
    draining = State(enter="wait_for_files")
    stranded = State()
    deleted = State(final=True)

    hold = open.to(pending)
    proceed = pending.to(open)
    close = from_each(open, pending, to=closed)
    reopen = closed.to(open)
    rename = on_each(open, pending, on="note_title")
    changed = on_each(open, pending, closed, leaving, erasing, draining, stranded, on="note_change")
    remove = from_each(open, pending, closed, to=leaving, on="note_removal")
    restore = (
        leaving.to(open, cond="rested_open", on="bring_back")
        | leaving.to(pending, cond="rested_pending", on="bring_back")
        | leaving.to(closed, on="bring_back")
    )
    erase = leaving.to(erasing, on="note_eraser")
    grace_over = leaving.to(erasing)
    not_yet = erasing.to(draining, on="note_left")
    drain = draining.to(erasing)
    erased = erasing.to(deleted, on="note_erased")
    retry = stranded.to(erasing)

    _stages: ClassVar[dict[State, State]] = {erasing: stranded}
    started = on_each(*_stages, cond="concerns", on="note_started")
    broke = broken_to(_stages)
    deadline = overrun_to(_stages)
    again = on_each(*_stages, cond="concerns", on="ask_again")

    def work_for(self, stage: str) -> Effect:
        """The effect of its one stage."""
        return EraseCase(self._case(), self.context.removed_by, self.context.why)

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

    def note_removal(self, data: Remove, source: State) -> None:
        """Where it was, who removed it and why."""
        c = self.context
        c.rested, c.removed_by, c.why = source.id, self.actor, data.reason
        self.emit(HideCase(self._case(), True))

    def begin_grace(self, state: State) -> None:
        """Gone in a while, unless somebody wants it back."""
        self.context.grace_until = self.at + GRACE_S
        self.set_timer("grace_over", "grace_over", GRACE_S, state=state)

    def bring_back(self) -> None:
        """As if it had never been removed."""
        c = self.context
        c.rested, c.removed_by, c.why, c.grace_until = "", "", "", 0.0
        self.emit(HideCase(self._case(), False))

    def rested_open(self) -> bool:
        """It had been open."""
        return self.context.rested == "open"

    def rested_pending(self) -> bool:
        """It had been pending."""
        return self.context.rested == "pending"

    def note_eraser(self) -> None:
        """Who ended the time of grace answers for the deletion."""
        self.context.removed_by = self.actor

    def note_left(self, data: NotYet) -> None:
        """So many files are on their way out."""
        self.context.left = data.left

    def wait_for_files(self, state: State) -> None:
        """Their own machines delete them; look again in a moment."""
        self.set_timer("drain", "drain", DRAIN_S, state=state)

    def note_erased(self, source: State) -> None:
        """Nothing is left, nor what it was about."""
        c = self.context
        c.title = c.description = c.reason = ""
        c.versions, c.left = {}, 0
        self.finish(source)

    def _case(self) -> str:
        return self.topic.partition(":")[2]
