"""One question to a case: what it means, three legs of retrieval, an order that feedback moves, an answer."""

from __future__ import annotations

from typing import ClassVar, Literal, cast

from pydantic import Field
from statemachine import State

from machines.chart import from_each, on_each
from machines.effect import Effect
from machines.event import BIGGEST, Event, Result
from machines.query_before import ArticlesEmbedded as ArticlesEmbedded
from machines.query_before import EmbedArticles as EmbedArticles
from machines.query_before import FetchArticles as FetchArticles
from machines.query_before import Fetched as Fetched
from machines.query_before import Resolved as Resolved
from machines.query_before import ResolveQuestion as ResolveQuestion
from machines.query_parts import Answer as Answer
from machines.query_parts import ArticleFound as ArticleFound
from machines.query_parts import Citation as Citation
from machines.query_parts import Claim as Claim
from machines.query_parts import Found as Found
from machines.query_parts import Hit as Hit
from machines.query_parts import LegName as LegName
from machines.query_parts import Ordered as Ordered
from machines.query_parts import PathStep as PathStep
from machines.query_parts import Place as Place
from machines.query_parts import SourceRead as SourceRead
from machines.query_parts import Understood as Understood
from machines.query_parts import answer_without, hits_without, with_articles
from machines.query_work import ComposeAnswer as ComposeAnswer
from machines.query_work import RankHits as RankHits
from machines.query_work import RecordVote as RecordVote
from machines.query_work import SearchLinks as SearchLinks
from machines.query_work import SearchMeaning as SearchMeaning
from machines.query_work import SearchWords as SearchWords
from machines.work import WORK_EVENTS, WorkChart, WorkContext, broken_to, overrun_to


class QuerySpawned(Event, name="spawn", source="client", role="viewer"):
    """A question. `conversation` continues an earlier one; `extended` also reads the configured sources."""

    question: str = Field(min_length=2, max_length=2000)
    conversation: str = Field(default="", max_length=80)
    extended: bool = False


class LegFound(Result, name="leg_found"):
    """What one leg found, best first, with its scores."""

    stage: str
    found: list[Found]


class Ranked(Result, name="ranked"):
    """The hits in their order. `as_of` is the last vote that the order takes in, 0 for none.

    `order` is that of the evidence, `articles` that of the passages from elsewhere.
    """

    hits: list[Hit]
    order: list[Ordered]
    articles: list[Ordered] = []
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
    understood: Understood | None = None
    """What is searched in place of the question, where that is a follow-up."""
    extended: bool = False
    sources: list[SourceRead] = []
    articles: list[ArticleFound] = []
    apart: list[Ordered] = []
    """The order of the passages of articles; votes do not move it."""


class QueryChart(WorkChart):
    """Three legs at once, then rank, then answer; votes move the order from `ranking` on.

    A follow-up is resolved first. What breaks before the legs is told, and the question goes on.
    """

    kind: ClassVar[str] = "query"
    version = 4
    context_type = QueryContext
    spawn_event = QuerySpawned
    spawn_topics = ("case",)
    event_types = (
        Resolved, Fetched, ArticlesEmbedded, LegFound, Ranked, Composed, Vote, Reranked, Withheld, Redacted,
        Retry, Cancel, *WORK_EVENTS,
    )  # fmt: skip

    context: QueryContext

    received = State(initial=True, enter="note_question")
    resolving = State(enter="request")
    meant = State()
    fetching_articles = State(enter="request")
    embedding_articles = State(enter="request")

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

    received.to(resolving, cond="is_follow_up")
    received.to(fetching_articles, cond="is_extended")
    received.to(retrieving)
    resolved = resolving.to(meant, on="note_understood")
    meant.to(fetching_articles, cond="is_extended")
    meant.to(retrieving)
    fetched = fetching_articles.to(embedding_articles, cond="has_passages", on="note_sources") | (
        fetching_articles.to(retrieving, on="note_sources")
    )
    articles_embedded = embedding_articles.to(retrieving, on="note_articles")
    done_state_retrieving = from_each(retrieving, to=failed, cond="nothing_searched") | from_each(
        retrieving, to=ranking
    )
    ranked = ranking.to(answering, on="note_ranked")
    composed = answering.to(answered, on="note_answer")
    vote = on_each(ranking, answering, answered, cond="has_found", on="record_vote")
    reranked = on_each(ranking, answering, answered, cond="is_newer", on="note_order") | on_each(
        ranking, answering, answered
    )
    _before: ClassVar[tuple[State, ...]] = (resolving, fetching_articles, embedding_articles)
    _asked: ClassVar[tuple[State, ...]] = (
        *_before, cast(State, retrieving), ranking, answering, answered, failed
    )  # fmt: skip
    withheld = on_each(*_asked, on="note_withheld")
    redacted = on_each(*_asked, on="note_redacted")
    retry = failed.to(retrieving)
    cancel = from_each(received, *_before, retrieving, ranking, answering, failed, to=cancelled)

    _stages: ClassVar[dict[State, State]] = {
        resolving: meant,
        fetching_articles: cast(State, retrieving),
        embedding_articles: cast(State, retrieving),
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
        question = c.question if c.understood is None else c.understood.text
        match stage:
            case "resolving":
                return ResolveQuestion(c.case, self.machine, c.question, c.conversation)
            case "fetching_articles":
                return FetchArticles(c.case, self.machine, question)
            case "embedding_articles":
                return EmbedArticles(c.case, self.machine, question)
            case "by_meaning":
                return SearchMeaning(c.case, question)
            case "by_words":
                return SearchWords(c.case, question)
            case "by_links":
                return SearchLinks(c.case, question)
            case "ranking":
                legs = {leg: [f.model_dump() for f in found] for leg, found in c.legs.items()}
                articles = [found.model_dump() for found in c.articles]
                return RankHits(c.case, self.machine, question, legs, articles)
            case "answering":
                work = c.work.get("answering")
                best = [place.node for place in c.order[:12]]
                attempt = 1 if work is None else work.attempt + 1
                return ComposeAnswer(c.case, self.machine, question, best, c.conversation, attempt)
        raise KeyError(stage)

    def note_question(self, data: QuerySpawned) -> None:
        """Keep what was asked, by whom."""
        c = self.context
        c.question, c.conversation = data.question, data.conversation or self.machine
        c.case = self.topic.partition(":")[2]
        c.asker, c.asked_at = self.actor, self.at
        c.extended = data.extended

    def is_follow_up(self) -> bool:
        """Whether something was said before, by which the question may have to be understood."""
        return self.context.conversation != self.machine

    def note_understood(self, data: Resolved, source: State) -> None:
        """What is searched from here on; not by what was deleted meanwhile."""
        if data.understood is not None and not set(data.understood.evidence).intersection(self.context.gone):
            self.context.understood = data.understood
        self.finish(source)

    def is_extended(self) -> bool:
        """Whether sources outside the case are read."""
        return self.context.extended

    def has_passages(self, data: Fetched) -> bool:
        """Whether any source gave something to read."""
        return data.passages > 0

    def note_sources(self, data: Fetched, source: State) -> None:
        """Which sources answered."""
        self.context.sources = data.sources
        self.finish(source, done=data.passages, unit="passages")

    def note_articles(self, data: ArticlesEmbedded, source: State) -> None:
        """Passages that compete with the evidence's."""
        self.context.articles = data.found
        self.finish(source, done=len(data.found), unit="passages")

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
        overtaken, c.apart = data.as_of < c.as_of and bool(c.order), data.articles
        c.order = with_articles(c.order if overtaken else data.order, c.apart)
        if not overtaken:
            c.as_of, c.votes = data.as_of, data.votes
        c.nodes, c.edges = data.nodes, data.edges
        self.finish(source, done=len(data.hits), unit="hits")

    def note_answer(self, data: Composed, source: State) -> None:
        """The finished text."""
        self.context.answer = answer_without(data.answer, self.context.gone)
        self.finish(source, done=len(data.answer.claims), unit="claims")

    def has_found(self, data: Vote) -> bool:
        """Whether the node is one of this query's, so that it can be voted on; an article's cannot."""
        c, key = self.context, str(data.node)
        if any(found.node == data.node for found in c.articles):
            return False
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
        c.order, c.as_of, c.votes = with_articles(data.order, c.apart), data.as_of, data.votes

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
        if c.understood is not None and data.evidence in c.understood.evidence:
            c.understood = None
