"""The search for one person of interest in all evidence of a case, begun anew whenever the person changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field
from statemachine import State

from machines.chart import from_each, on_each
from machines.effect import Effect
from machines.event import BIGGEST, Event, Result
from machines.notification import Notify
from machines.topics import case_of
from machines.work import WORK_EVENTS, WorkChart, WorkContext, broken_to, overrun_to


class FoundPlace(BaseModel):
    """Evidence that names the person, with the first place where it does.

    `start` and `end` are characters of the evidence's text, `page` counts from 1 (0: no pages), `node` is
    the chunk. `marked` is where the name stands in the snippet. `slips` counts misspelt names among the
    `mentions`; `slip` tells of the place shown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    evidence: int
    title: str
    mentions: int
    slips: int
    node: int
    page: int
    start: int
    end: int
    snippet: str
    marked: tuple[int, int]
    slip: bool = False


class PoiSearchSpawned(Event, name="spawn", source="handler"):
    """A person of interest was entered."""

    poi: int = Field(ge=1, le=BIGGEST)
    called: str = Field(min_length=1, max_length=300)
    aliases: list[str] = []


class Renamed(Event, name="renamed", source="handler"):
    """The person is called otherwise now, or is told again to be called so."""

    called: str = Field(min_length=1, max_length=300)
    aliases: list[str] = []


class Sized(Result, name="sized"):
    """The case holds so many passages; searching takes about `seconds`; a `large` case is asked first."""

    chunks: int
    seconds: float
    large: bool


class Searched(Result, name="searched"):
    """Every passage was looked at.

    `added` and `removed` count places that are or are not the person's any more; `places` are those of the
    evidence with the most mentions.
    """

    mentions: int
    slips: int
    evidence: int
    added: int
    removed: int
    places: list[FoundPlace]


class Confirm(Event, name="confirm", source="client", role="editor"):
    """Search, however long it takes."""


class Decline(Event, name="decline", source="client", role="editor"):
    """Do not search; evidence that comes from now on is searched all the same."""


class Cancel(Event, name="cancel", source="client", role="editor"):
    """Stop searching; what was found until now stays."""


class Retry(Event, name="retry", source="client", role="editor"):
    """Try once more."""


class Seen(Event, name="seen", source="client", role="viewer"):
    """Whoever sends it has looked at what was found."""


class Swept(Event, name="swept", source="handler"):
    """The person of interest, or the whole case, is there no more."""


class Withheld(Event, name="withheld", source="handler"):
    """Evidence waits to be deleted, or does so no longer: its place is not to be shown meanwhile."""

    evidence: int
    hidden: bool


class Redacted(Event, name="redacted", source="handler"):
    """Evidence is gone: nothing of it stays, here or in what comes later."""

    evidence: int


@dataclass(frozen=True)
class SizePoiSearch(Effect, queue="cpu", deadline_s=60):
    """Tell how large a search would be. Answered by sized."""

    case: str
    poi: int


@dataclass(frozen=True)
class SearchPoi(Effect, queue="cpu", deadline_s=3600):
    """Look for a person in every passage, in place of what was known of it. Answered by searched."""

    case: str
    poi: int


class PoiSearchContext(WorkContext):
    """Who is looked for, and what was found."""

    poi: int = 0
    name: str = ""
    aliases: list[str] = []
    asker: str = ""
    """Who entered or changed the person last."""
    chunks: int = 0
    seconds: float = 0.0
    """How long the search may take, by estimate."""
    mentions: int = 0
    slips: int = 0
    evidence: int = 0
    added: int = 0
    removed: int = 0
    places: list[FoundPlace] = []
    withheld: list[int] = []
    """Evidence that waits to be deleted: whoever shows places leaves out its place."""
    gone: list[int] = []
    """Evidence that was deleted while a search was under way."""
    found_at: float = 0.0
    seen: list[str] = []
    """Who has looked at what was found."""


class PoiSearchChart(WorkChart):
    """One machine a person; a newer change of the person supersedes a search that is under way."""

    validate_trap_states = False
    """Off: `found` is where it rests."""

    kind: ClassVar[str] = "poi_search"
    context_type = PoiSearchContext
    spawn_event = PoiSearchSpawned
    spawn_topics = ("case",)
    event_types = (
        Renamed, Sized, Searched, Confirm, Decline, Cancel, Retry, Seen, Swept, Withheld, Redacted,
        *WORK_EVENTS,
    )  # fmt: skip

    context: PoiSearchContext

    sizing = State(initial=True, enter=["note_person", "request"])
    asked = State(enter="ask_first")
    searching = State(enter="request")
    found = State(enter="tell_found")
    declined = State()
    failed = State(enter="tell_failed")
    gone = State(final=True)

    sized = sizing.to(asked, cond="is_large", on="note_size") | sizing.to(searching, on="note_size")
    searched = searching.to(found, on="note_found")
    confirm = from_each(asked, declined, to=searching)
    decline = asked.to(declined, on="note_declined")
    cancel = from_each(sizing, searching, to=declined, on="note_stopped")
    retry = failed.to(sizing)
    renamed = from_each(
        sizing, asked, searching, found, declined, failed, to=sizing, cond="is_called_otherwise"
    ) | on_each(sizing, asked, searching, found, declined, failed)
    seen = on_each(found, on="note_seen")
    withheld = on_each(sizing, asked, searching, found, declined, failed, on="note_withheld")
    redacted = on_each(sizing, asked, searching, found, declined, failed, on="note_redacted")
    swept = from_each(sizing, asked, searching, found, declined, failed, to=gone, on="forget_person")

    _stages: ClassVar[dict[State, State]] = {sizing: failed, searching: failed}
    started = on_each(*_stages, cond="concerns", on="note_started")
    broke = broken_to(_stages)
    deadline = overrun_to(_stages)
    again = on_each(*_stages, cond="concerns", on="ask_again")

    def work_for(self, stage: str) -> Effect:
        """The effect of a stage."""
        case = case_of(self.topic)
        return (
            SizePoiSearch(case, self.context.poi) if stage == "sizing" else SearchPoi(case, self.context.poi)
        )

    def note_person(self, data: Event) -> None:
        """Who is looked for from now on; what was found under an earlier name stays until then."""
        c = self.context
        if isinstance(data, PoiSearchSpawned):
            c.poi = data.poi
        if isinstance(data, PoiSearchSpawned | Renamed):
            c.name, c.aliases, c.asker = data.called, data.aliases, self.actor
        c.reason = ""

    def is_called_otherwise(self, data: Renamed) -> bool:
        """Whether the names differ from those that were looked for."""
        return (data.called, data.aliases) != (self.context.name, self.context.aliases)

    def is_large(self, data: Sized) -> bool:
        """Whether the search would take so long that somebody should want it."""
        return data.large

    def note_size(self, data: Sized, source: State) -> None:
        """How much there is to search."""
        self.context.chunks, self.context.seconds = data.chunks, data.seconds
        self.finish(source)

    def ask_first(self) -> None:
        """Toast the question; it also waits beside the person's name."""
        c = self.context
        self.emit(
            Notify(c.asker, f"Look for {c.name} in all evidence?",
                   f"the case holds {c.chunks:,} passages; it takes about {_duration(c.seconds)}",
                   "info", self.topic)
        )  # fmt: skip

    def note_declined(self) -> None:
        """Say what this means."""
        self.context.reason = "the evidence that was there was not searched; what comes from now on is"

    def note_stopped(self) -> None:
        """Say what this means."""
        self.context.reason = "the search was stopped; what it had found until then is kept"

    def note_found(self, data: Searched, source: State) -> None:
        """Keep what was found, for everybody to look at anew."""
        c = self.context
        c.mentions, c.slips, c.evidence = data.mentions, data.slips, data.evidence
        c.added, c.removed = data.added, data.removed
        c.places = [place for place in data.places if place.evidence not in c.gone]
        c.gone = []
        c.found_at, c.seen = self.at, []
        self.finish(source, done=c.chunks, unit="passages")

    def note_withheld(self, data: Withheld) -> None:
        """Whoever shows it leaves out that place."""
        others = [evidence for evidence in self.context.withheld if evidence != data.evidence]
        self.context.withheld = [*others, data.evidence] if data.hidden else others

    def note_redacted(self, data: Redacted, source: State) -> None:
        """The place goes, and its mentions with it."""
        c = self.context
        for place in c.places:
            if place.evidence == data.evidence:
                c.mentions, c.slips, c.evidence = (
                    c.mentions - place.mentions, c.slips - place.slips, c.evidence - 1,
                )  # fmt: skip
        c.places = [place for place in c.places if place.evidence != data.evidence]
        c.withheld = [evidence for evidence in c.withheld if evidence != data.evidence]
        if source.id == "searching":
            c.gone = [*(evidence for evidence in c.gone if evidence != data.evidence), data.evidence]

    def note_seen(self) -> None:
        """Once for each person."""
        if self.actor not in self.context.seen:
            self.context.seen = [*self.context.seen, self.actor]

    def tell_found(self) -> None:
        """Toast what was found, where there was something to search."""
        c = self.context
        if not c.chunks:
            return
        files = f"{c.evidence:,} {'file' if c.evidence == 1 else 'files'}"
        times = "once" if c.mentions == 1 else f"{c.mentions:,} times"
        title = (
            f"{c.name} is named {times} in {files}"
            if c.mentions
            else f"{c.name} is not named in the evidence"
        )
        told = [f"{c.added:,} new"] if c.mentions and c.added else []
        told += [f"{c.removed:,} not any more"] if c.removed else []
        told += [f"{c.slips:,} in another spelling"] if c.slips else []
        evidence = c.places[0].evidence if c.places else 0
        self.emit(Notify(c.asker, title, ", ".join(told), "info", self.topic, evidence))

    def tell_failed(self) -> None:
        """Toast the reason."""
        c = self.context
        self.emit(Notify(c.asker, f"{c.name} could not be looked for", c.reason, "warning", self.topic))

    def forget_person(self) -> None:
        """Nothing of the person stays in the context."""
        c = self.context
        c.name, c.aliases, c.places, c.reason = "", [], [], ""


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"
