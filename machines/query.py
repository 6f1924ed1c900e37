"""One question to a case: three legs of retrieval, a ranking that feedback moves, a cited answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

from pydantic import Field
from statemachine import State

from machines.chart import from_each, on_each
from machines.effect import Effect
from machines.event import BIGGEST, Event, Result
from machines.query_parts import Answer as Answer
from machines.query_parts import Citation as Citation
from machines.query_parts import Claim as Claim
from machines.query_parts import Found as Found
from machines.query_parts import Hit as Hit
from machines.query_parts import LegName as LegName
from machines.query_parts import Ordered as Ordered
from machines.query_parts import PathStep as PathStep
from machines.query_parts import Place as Place
from machines.query_parts import answer_without, hits_without
from machines.work import WORK_EVENTS, WorkChart, WorkContext, broken_to, overrun_to


class QuerySpawned(Event, name="spawn", source="client", role="viewer"):
    """A question. `conversation` continues an earlier one."""

    question: str = Field(min_length=2, max_length=2000)
    conversation: str = Field(default="", max_length=80)


class LegFound(Result, name="leg_found"):
    """What one leg found, best first, with its scores."""

    stage: str
    found: list[Found]


class Ranked(Result, name="ranked"):
    """The hits in their order. `as_of` is the last vote that the order takes in, 0 for none."""

    hits: list[Hit]
    order: list[Ordered]
    as_of: int
    nodes: int
    edges: int
    votes: dict[str, int] = {}


class Composed(Result, name="composed"):
    """The finished answer."""

    answer: Answer


class Vote(Event, name="vote", source="client", role="viewer"):
    """+1 or −1 on a hit; 0 takes the vote back."""

    node: int = Field(ge=0, le=BIGGEST)
    value: Literal[-1, 0, 1]


class Reranked(Event, name="reranked", source="handler"):
    """A vote has moved the order; `hits` are those that were not on screen before."""

    order: list[Ordered]
    hits: list[Hit] = []
    as_of: int
    votes: dict[str, int]


class Withheld(Event, name="withheld", source="handler"):
    """Evidence waits to be deleted, or does so no longer: what rests on it is not to be shown meanwhile."""

    evidence: int
    hidden: bool


class Redacted(Event, name="redacted", source="handler"):
    """Evidence is gone: nothing of it stays, here or in what comes later.

    `retold` are the nodes of other hits whose path leads through something that went with it.
    """

    evidence: int
    retold: list[int] = []


class Retry(Event, name="retry", source="client"):
    """Ask once more."""


class Cancel(Event, name="cancel", source="client"):
    """Stop answering."""


@dataclass(frozen=True)
class SearchMeaning(Effect, queue="gpu", deadline_s=60):
    """Chunks whose vectors are near the question's. Answered by leg_found."""

    case: str
    question: str


@dataclass(frozen=True)
class SearchWords(Effect, queue="cpu", deadline_s=60):
    """Chunks by BM25 with the case's document frequencies. Answered by leg_found."""

    case: str
    question: str


@dataclass(frozen=True)
class SearchLinks(Effect, queue="cpu", deadline_s=60):
    """Entities named in the question and the chunks that mention them. Answered by leg_found."""

    case: str
    question: str


@dataclass(frozen=True)
class RankHits(Effect, queue="cpu", deadline_s=60):
    """Build the query graph and solve it. Answered by ranked."""

    case: str
    query: str
    question: str
    legs: dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class ComposeAnswer(Effect, queue="cpu", deadline_s=300):
    """Answer from the best hits. Tokens pass; answered by composed."""

    case: str
    query: str
    question: str
    nodes: list[int]
    conversation: str
    attempt: int


@dataclass(frozen=True)
class RecordVote(Effect, queue="inline", deadline_s=30):
    """Store the vote and push every open order of the case anew, by reranked."""

    case: str
    query: str
    user: str
    node: int
    value: int
    at: float


class QueryContext(WorkContext):
    """The question and all that is known in answer to it."""

    question: str = ""
    conversation: str = ""
    case: str = ""
    asker: str = ""
    asked_at: float = 0.0
    legs: dict[str, list[Found]] = {}
    hits: dict[str, Hit] = {}
    order: list[Ordered] = []
    as_of: int = 0
    votes: dict[str, int] = {}
    """Node → clamped sum of the case's votes."""
    mine: dict[str, dict[str, int]] = {}
    """User → node → that user's vote."""
    nodes: int = 0
    edges: int = 0
    answer: Answer | None = None
    withheld: list[int] = []
    """Evidence that waits to be deleted."""
    gone: list[int] = []
    """Evidence that was deleted since the question was asked."""


class QueryChart(WorkChart):
    """Three legs at once, then rank, then answer; votes move the order from `ranking` on."""

    kind: ClassVar[str] = "query"
    version = 3
    context_type = QueryContext
    spawn_event = QuerySpawned
    spawn_topics = ("case",)
    event_types = (
        LegFound, Ranked, Composed, Vote, Reranked, Withheld, Redacted, Retry, Cancel, *WORK_EVENTS,
    )  # fmt: skip

    context: QueryContext

    received = State(initial=True, enter="note_question")

    class retrieving(State.Parallel):
        class meaning(State.Compound):
            by_meaning = State(initial=True, enter="request")
            meaning_found = State(final=True)
            meaning_broken = State(final=True)

        class words(State.Compound):
            by_words = State(initial=True, enter="request")
            words_found = State(final=True)
            words_broken = State(final=True)

        class links(State.Compound):
            by_links = State(initial=True, enter="request")
            links_found = State(final=True)
            links_broken = State(final=True)

        leg_found = (
            meaning.by_meaning.to(meaning.meaning_found, cond="is_of_leg", on="note_leg")
            | words.by_words.to(words.words_found, cond="is_of_leg", on="note_leg")
            | links.by_links.to(links.links_found, cond="is_of_leg", on="note_leg")
        )

    ranking = State(enter="request")
    answering = State(enter="request")
    answered = State()
    failed = State()
    cancelled = State(final=True)

    received.to(retrieving)
    done_state_retrieving = from_each(retrieving, to=failed, cond="nothing_searched") | from_each(
        retrieving, to=ranking
    )
    ranked = ranking.to(answering, on="note_ranked")
    composed = answering.to(answered, on="note_answer")
    vote = on_each(ranking, answering, answered, cond="has_found", on="record_vote")
    reranked = on_each(ranking, answering, answered, cond="is_newer", on="note_order") | on_each(
        ranking, answering, answered
    )
    withheld = on_each(cast(State, retrieving), ranking, answering, answered, failed, on="note_withheld")
    redacted = on_each(cast(State, retrieving), ranking, answering, answered, failed, on="note_redacted")
    retry = failed.to(retrieving)
    cancel = from_each(received, retrieving, ranking, answering, failed, to=cancelled)

    _stages: ClassVar[dict[State, State]] = {
        retrieving.meaning.by_meaning: retrieving.meaning.meaning_broken,
        retrieving.words.by_words: retrieving.words.words_broken,
        retrieving.links.by_links: retrieving.links.links_broken,
        ranking: failed,
        answering: failed,
    }
    started = on_each(*_stages, cond="concerns", on="note_started")
    broke = broken_to(_stages)
    deadline = overrun_to(_stages)
    again = on_each(*_stages, cond="concerns", on="ask_again")

    def work_for(self, stage: str) -> Effect:
        """The effect of a stage."""
        c = self.context
        match stage:
            case "by_meaning":
                return SearchMeaning(c.case, c.question)
            case "by_words":
                return SearchWords(c.case, c.question)
            case "by_links":
                return SearchLinks(c.case, c.question)
            case "ranking":
                legs = {leg: [f.model_dump() for f in found] for leg, found in c.legs.items()}
                return RankHits(c.case, self.machine, c.question, legs)
            case "answering":
                work = c.work.get("answering")
                best = [place.node for place in c.order[:12]]
                attempt = 1 if work is None else work.attempt + 1
                return ComposeAnswer(c.case, self.machine, c.question, best, c.conversation, attempt)
        raise KeyError(stage)

    def note_question(self, data: QuerySpawned) -> None:
        """Keep what was asked, by whom."""
        c = self.context
        c.question, c.conversation = data.question, data.conversation or self.machine
        c.case = self.topic.partition(":")[2]
        c.asker, c.asked_at = self.actor, self.at

    def is_of_leg(self, data: LegFound, source: State) -> bool:
        """Whether the result belongs to the state whose transition asks."""
        return data.stage == source.id

    def note_leg(self, data: LegFound, source: State) -> None:
        """Keep what the leg found."""
        self.context.legs[source.id.removeprefix("by_")] = data.found
        self.finish(source, done=len(data.found), unit="passages")

    def nothing_searched(self) -> bool:
        """Every leg broke, so no order would mean anything."""
        return all(self.is_broken(stage) for stage in ("by_meaning", "by_words", "by_links"))

    def note_ranked(self, data: Ranked, source: State) -> None:
        """The first order. A vote that arrived meanwhile may have brought a newer one."""
        c = self.context
        c.hits = hits_without({str(hit.node): hit for hit in data.hits}, c.gone) | c.hits
        if data.as_of >= c.as_of or not c.order:
            c.order, c.as_of, c.votes = data.order, data.as_of, data.votes
        c.nodes, c.edges = data.nodes, data.edges
        self.finish(source, done=len(data.hits), unit="hits")

    def note_answer(self, data: Composed, source: State) -> None:
        """The finished text."""
        self.context.answer = answer_without(data.answer, self.context.gone)
        self.finish(source, done=len(data.answer.claims), unit="claims")

    def has_found(self, data: Vote) -> bool:
        """Whether the node is one of this query's, so that it can be voted on."""
        c, key = self.context, str(data.node)
        return (
            key in c.hits
            or key in c.mine.get(self.actor, {})
            or any(place.node == data.node for place in c.order)
            or any(found.node == data.node for leg in c.legs.values() for found in leg)
        )

    def record_vote(self, data: Vote) -> None:
        """Remember whose vote it was and have it stored."""
        mine = self.context.mine.setdefault(self.actor, {})
        if data.value:
            mine[str(data.node)] = data.value
        else:
            mine.pop(str(data.node), None)
        self.emit(RecordVote(self.context.case, self.machine, self.actor, data.node, data.value, self.at))

    def is_newer(self, data: Reranked) -> bool:
        """Orders can overtake each other on the way; only a newer one counts."""
        return data.as_of > self.context.as_of or not self.context.order

    def note_order(self, data: Reranked) -> None:
        """The order as of the latest vote."""
        c = self.context
        c.hits.update(hits_without({str(hit.node): hit for hit in data.hits}, c.gone))
        c.order, c.as_of, c.votes = data.order, data.as_of, data.votes

    def note_withheld(self, data: Withheld) -> None:
        """Whoever shows it leaves out what rests on that evidence."""
        others = [evidence for evidence in self.context.withheld if evidence != data.evidence]
        self.context.withheld = [*others, data.evidence] if data.hidden else others

    def note_redacted(self, data: Redacted) -> None:
        """Only a mark stays where something of it stood."""
        c = self.context
        c.gone = [*(evidence for evidence in c.gone if evidence != data.evidence), data.evidence]
        c.withheld = [evidence for evidence in c.withheld if evidence != data.evidence]
        c.hits = hits_without(c.hits, c.gone, {str(node) for node in data.retold})
        if c.answer is not None:
            c.answer = answer_without(c.answer, c.gone)
