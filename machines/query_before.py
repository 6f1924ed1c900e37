"""What happens to a question before it is searched: its meaning is settled, outside sources are read."""

from __future__ import annotations

from dataclasses import dataclass

from machines.effect import Effect
from machines.event import Result
from machines.query_parts import ArticleFound, SourceRead, Understood


class Resolved(Result, name="resolved"):
    """What a follow-up means by itself; None where it can be searched as it was asked."""

    understood: Understood | None = None


class Fetched(Result, name="fetched"):
    """How each source answered, and how many passages came of it."""

    sources: list[SourceRead]
    passages: int


class ArticlesEmbedded(Result, name="articles_embedded"):
    """The passages of articles that bear on the question, best first."""

    found: list[ArticleFound]


@dataclass(frozen=True)
class ResolveQuestion(Effect, queue="cpu", deadline_s=60):
    """Find out what a question means by what was said before it. Answered by resolved."""

    case: str
    query: str
    question: str
    conversation: str


@dataclass(frozen=True)
class FetchArticles(Effect, queue="cpu", deadline_s=180):
    """Read the configured sources and keep the passages of their articles. Answered by fetched."""

    case: str
    query: str
    question: str


@dataclass(frozen=True)
class EmbedArticles(Effect, queue="gpu", deadline_s=120):
    """Compare the passages of articles with the question. Answered by articles_embedded."""

    case: str
    query: str
    question: str
