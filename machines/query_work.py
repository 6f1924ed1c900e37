"""What a question asks of the world: to be searched, ranked and answered, and to have its votes stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from machines.effect import Effect


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
    articles: list[dict[str, Any]] = field(default_factory=list)


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
