"""One search of a user through their cases: paths, likenesses, an order, findings that explain themselves.

Findings quote evidence of several cases, so they are kept beside the machine (`storage.findings`) and checked
against their reader's rights at each reading. The machine holds ids and counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, field_validator
from statemachine import State

from machines.chart import from_each, on_each
from machines.effect import Effect
from machines.event import BIGGEST, Event, Result
from machines.work import WORK_EVENTS, WorkChart, WorkContext, broken_to, overrun_to

CaseId = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[\w.-]+$")]
Node = Annotated[int, Field(ge=1, le=BIGGEST)]

MOST = 100
"""Findings of one search."""


class DetectiveSpawned(Event, name="spawn", source="client", role="viewer"):
    """What to search: `cases` (none: all of the user's), what it is `about` (none: whatever is there; one
    person, entity or piece of evidence; two ends to be connected), and how many findings at most."""

    cases: list[CaseId] = Field(default=[], max_length=100)
    about: list[Node] = Field(default=[], max_length=2)
    limit: int = Field(default=30, ge=1, le=MOST)

    @field_validator("cases")
    @classmethod
    def _each_case_once(cls, cases: list[str]) -> list[str]:
        if len(set(cases)) < len(cases):
            raise ValueError("name each case once")
        return cases

    @field_validator("about")
    @classmethod
    def _two_ends(cls, about: list[int]) -> list[int]:
        if len(set(about)) < len(about):
            raise ValueError("give two different ends, or one")
        return about


class Traversed(Result, name="traversed"):
    """So many nodes and edges were walked, and so many paths found."""

    nodes: int
    edges: int
    paths: int


class Matched(Result, name="matched"):
    """So many pairs say similar things. `uncompared` pieces of evidence have no vectors to compare."""

    pairs: int
    uncompared: int


class Weighed(Result, name="weighed"):
    """So many findings are left, in their order."""

    ranked: int


class Explained(Result, name="explained"):
    """The findings are stored: their fingerprints, best first, and kind → how many."""

    fingerprints: list[str]
    kinds: dict[str, int]


class Judge(Event, name="judge", source="client", role="viewer"):
    """Accept (+1) or dismiss (−1) a finding by its fingerprint; 0 takes that back."""

    finding: str = Field(pattern=r"^[0-9a-f]{32}$")
    value: Literal[-1, 0, 1]


class Renew(Event, name="renew", source="client", role="viewer"):
    """Search once more, in what the cases hold by now."""


class Retry(Event, name="retry", source="client", role="viewer"):
    """Try once more."""


class Cancel(Event, name="cancel", source="client", role="viewer"):
    """Stop searching; findings of an earlier run stay."""


class Discard(Event, name="discard", source="client", role="viewer"):
    """Throw the search away with its findings; verdicts are kept."""


@dataclass(frozen=True)
class TraverseCases(Effect, queue="cpu", deadline_s=600):
    """Walk the graphs of the cases for paths. Answered by traversed."""

    search: str
    user: str
    cases: list[str]
    about: list[int]


@dataclass(frozen=True)
class MatchMeaning(Effect, queue="cpu", deadline_s=600):
    """Find what is near in meaning, or in spelling, without a link. Answered by matched."""

    search: str
    user: str
    cases: list[str]
    about: list[int]


@dataclass(frozen=True)
class RankFindings(Effect, queue="cpu", deadline_s=600):
    """Order what was found by PageRank over links and likenesses. Answered by weighed."""

    search: str
    user: str
    cases: list[str]
    about: list[int]
    limit: int


@dataclass(frozen=True)
class ExplainFindings(Effect, queue="cpu", deadline_s=300):
    """Give each finding its sources and its sentence, and store them. Answered by explained."""

    search: str
    user: str


@dataclass(frozen=True)
class RecordVerdict(Effect, queue="inline", deadline_s=30):
    """Keep what the user thinks of a finding, as far as they may still see it."""

    search: str
    user: str
    finding: str
    value: int
    at: float


@dataclass(frozen=True)
class DropFindings(Effect, queue="inline", deadline_s=30):
    """Delete what the search has left."""

    search: str


class DetectiveContext(WorkContext):
    """What is searched, and how much was found."""

    cases: list[str] = []
    about: list[int] = []
    limit: int = 30
    user: str = ""
    asked_at: float = 0.0
    nodes: int = 0
    edges: int = 0
    paths: int = 0
    pairs: int = 0
    uncompared: int = 0
    """Pieces of evidence without vectors, which could not be compared by meaning."""
    ranked: int = 0
    fingerprints: list[str] = []
    """Of the findings that were stored, best first."""
    kinds: dict[str, int] = {}
    """Kind → how many of them."""
    presented_at: float = 0.0
    verdicts: dict[str, int] = {}
    """Fingerprint → what its user said of it here; 0 where that was taken back."""


class DetectiveChart(WorkChart):
    """Traverse, match, rank, explain, one after the other; what is presented takes verdicts."""

    kind: ClassVar[str] = "detective"
    context_type = DetectiveContext
    spawn_event = DetectiveSpawned
    spawn_topics = ("user",)
    event_types = (
        Traversed, Matched, Weighed, Explained, Judge, Renew, Retry, Cancel, Discard, *WORK_EVENTS,
    )  # fmt: skip

    context: DetectiveContext

    requested = State(initial=True, enter="note_request")
    traversing = State(enter="request")
    matching = State(enter="request")
    ranking = State(enter="request")
    explaining = State(enter="request")
    presented = State()
    failed = State()
    cancelled = State(final=True, enter="drop_findings")
    discarded = State(final=True, enter="drop_findings")

    requested.to(traversing)
    traversed = traversing.to(matching, on="note_paths")
    matched = matching.to(ranking, on="note_pairs")
    weighed = ranking.to(explaining, on="note_order")
    explained = explaining.to(presented, on="note_findings")
    judge = on_each(presented, cond="has_found", on="note_verdict")
    renew = presented.to(traversing)
    retry = failed.to(traversing)
    cancel = from_each(
        requested, traversing, matching, ranking, explaining, to=presented, cond="was_presented"
    ) | from_each(requested, traversing, matching, ranking, explaining, to=cancelled)
    discard = from_each(presented, failed, to=discarded)

    _stages: ClassVar[dict[State, State]] = {
        traversing: failed,
        matching: failed,
        ranking: failed,
        explaining: failed,
    }
    started = on_each(*_stages, cond="concerns", on="note_started")
    broke = broken_to(_stages)
    deadline = overrun_to(_stages)
    again = on_each(*_stages, cond="concerns", on="ask_again")

    def work_for(self, stage: str) -> Effect:
        """The effect of a stage."""
        c = self.context
        match stage:
            case "traversing":
                return TraverseCases(self.machine, c.user, c.cases, c.about)
            case "matching":
                return MatchMeaning(self.machine, c.user, c.cases, c.about)
            case "ranking":
                return RankFindings(self.machine, c.user, c.cases, c.about, c.limit)
            case "explaining":
                return ExplainFindings(self.machine, c.user)
        raise KeyError(stage)

    def note_request(self, data: DetectiveSpawned) -> None:
        """Keep what is searched, for whom: the topic's own user."""
        c = self.context
        c.cases, c.about, c.limit = data.cases, data.about, data.limit
        c.user, c.asked_at = self.topic.partition(":")[2], self.at

    def note_paths(self, data: Traversed, source: State) -> None:
        """How large the graph was."""
        c = self.context
        c.nodes, c.edges, c.paths, c.reason = data.nodes, data.edges, data.paths, ""
        self.finish(source, done=data.paths, unit="paths")

    def note_pairs(self, data: Matched, source: State) -> None:
        """What is similar."""
        self.context.pairs, self.context.uncompared = data.pairs, data.uncompared
        self.finish(source, done=data.pairs, unit="likenesses")

    def note_order(self, data: Weighed, source: State) -> None:
        """How many findings are left."""
        self.context.ranked = data.ranked
        self.finish(source, done=data.ranked, unit="findings")

    def note_findings(self, data: Explained, source: State) -> None:
        """They can be read now."""
        c = self.context
        c.fingerprints, c.kinds, c.presented_at = data.fingerprints, data.kinds, self.at
        c.verdicts = {one: value for one, value in c.verdicts.items() if one in data.fingerprints}
        self.finish(source, done=len(data.fingerprints), unit="findings")

    def was_presented(self) -> bool:
        """Whether an earlier run has left findings."""
        return self.context.presented_at > 0

    def has_found(self, data: Judge) -> bool:
        """Whether the finding is one of this search's."""
        return data.finding in self.context.fingerprints

    def note_verdict(self, data: Judge) -> None:
        """Show it on every open page, and have it kept."""
        self.context.verdicts[data.finding] = data.value
        self.emit(RecordVerdict(self.machine, self.context.user, data.finding, data.value, self.at))

    def drop_findings(self) -> None:
        """Nothing of it stays."""
        self.emit(DropFindings(self.machine))
