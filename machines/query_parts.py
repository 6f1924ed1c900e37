"""What the hits and the answer of a question are made of, and what is left of them without some evidence."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

DELETED = "deleted evidence"
"""What stands in place of the title of evidence that is gone."""

LegName = Literal["meaning", "words", "links"]

Origin = Literal["evidence", "article"]
"""Of the case, or of a source outside it: an article, which proves nothing by itself."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Found(_Part):
    """A node that a leg found, with the leg's own score (higher is better)."""

    node: int
    score: float


class Place(_Part):
    """Where a chunk stands in its source.

    `page` counts from 1, 0 where the source has none; `start` and `end` are character offsets
    into the evidence's whole text; `boxes` are `[x0, y0, x1, y1]` in points on that page.
    """

    page: int
    start: int
    end: int
    boxes: list[tuple[float, float, float, float]] = []


class PathStep(_Part):
    """One edge of the path that explains a hit: from a seed of the question to the chunk."""

    source: str
    kind: str
    target: str


class Hit(_Part):
    """A passage in the result. `legs` holds each leg's score where that leg found it.

    One of an article has `evidence` 0, the article's `url`, and when it was fetched (Unix seconds).
    """

    node: int
    evidence: int
    title: str
    place: Place
    snippet: str
    highlights: list[tuple[int, int]] = []
    legs: dict[LegName, float] = {}
    path: list[PathStep] = []
    source: Origin = "evidence"
    url: str = ""
    fetched_at: float = 0.0


class Ordered(_Part):
    """A node's place in the order on screen."""

    node: int
    score: float


class Citation(_Part):
    """Characters `start`..`end` of the whole text of `evidence`, on `page`; or of an article, as in a hit."""

    node: int
    evidence: int
    title: str
    page: int
    start: int
    end: int
    source: Origin = "evidence"
    url: str = ""
    fetched_at: float = 0.0


class Claim(_Part):
    """A sentence of the answer and what it rests on."""

    text: str
    citations: list[Citation]


class Answer(_Part):
    """What the evidence says; `supported` is false where it does not answer the question."""

    mode: Literal["extractive", "generated"]
    supported: bool
    text: str
    claims: list[Claim] = []
    model: str = ""
    dropped: list[str] = []
    """What was left out, of the evidence or of what the model wrote, and why; in words."""


class Understood(_Part):
    """A follow-up as a question that stands by itself.

    `way` tells how it was found; `evidence` is what the names in it were taken from, by id; `note` says
    why it was not found another way, in a sentence for the user.
    """

    text: str
    way: Literal["rules", "model"]
    evidence: list[int] = []
    note: str = ""


class SourceRead(_Part):
    """How a configured source answered; `reason` is why it could not be read, `fetched_at` Unix seconds."""

    url: str
    ok: bool
    reason: str = ""
    fetched_at: float = 0.0
    articles: int = 0


class ArticleFound(_Part):
    """A passage of an article; `meaning` is its cosine to the question, `words` its BM25."""

    node: int
    meaning: float
    words: float


def with_articles(order: Sequence[Ordered], articles: Sequence[Ordered]) -> list[Ordered]:
    """An order of the evidence with the passages of articles where their scores put them."""
    if not articles:
        return list(order)
    return sorted([*order, *articles], key=lambda place: -place.score)


def hits_without(
    hits: Mapping[str, Hit], gone: Collection[int], retold: Collection[str] = ()
) -> dict[str, Hit]:
    """The hits by node, those of evidence that is gone without anything of it.

    Args:
        gone: Ids of evidence.
        retold: Nodes of other hits whose path leads through something that is gone.
    """
    return {
        node: Hit(
            node=hit.node,
            evidence=hit.evidence,
            title=DELETED,
            place=Place(page=0, start=0, end=0),
            snippet="",
            legs=hit.legs,
        )
        if hit.evidence in gone
        else hit.model_copy(update={"path": []})
        if node in retold
        else hit
        for node, hit in hits.items()
    }


def answer_without(answer: Answer, gone: Collection[int]) -> Answer:
    """The answer without the claims that rest on evidence that is gone; their citations say so.

    What was left out of it may be a sentence about that evidence, or its title, and is told no more.
    """
    if not gone:
        return answer
    if not any(citation.evidence in gone for claim in answer.claims for citation in claim.citations):
        return answer.model_copy(update={"dropped": []})
    claims = [_claim_without(claim, gone) for claim in answer.claims]
    kept = "\n".join(claim.text for claim in claims if claim.text)
    return answer.model_copy(update={"text": kept, "claims": claims, "dropped": []})


def _claim_without(claim: Claim, gone: Collection[int]) -> Claim:
    if not any(citation.evidence in gone for citation in claim.citations):
        return claim
    marks = [
        Citation(node=c.node, evidence=c.evidence, title=DELETED, page=0, start=0, end=0)
        for c in claim.citations
        if c.evidence in gone
    ]
    return Claim(text="", citations=marks)
