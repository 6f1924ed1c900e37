"""Where passages of articles stand among the evidence: by meaning and words, on the scale of its legs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from handlers.generated import origin
from handlers.query_graph import LEG_WEIGHTS, SHARPNESS, WALK
from handlers.snippets import snippet
from handlers.terms import terms
from machines.query import Hit, Ordered, Place
from storage.graph import Passage

SHOWN = 8
"""Passages of articles in an order at most: they shall not push the evidence out of sight."""
MOST = 1.5
"""Share of a leg's range by which an article may be better than the best of the evidence."""


def order_articles(
    articles: Sequence[Mapping[str, Any]], legs: Mapping[str, Sequence[tuple[int, float]]]
) -> list[Ordered]:
    """The best passages with scores to compare with the evidence's, best first.

    A passage's score in a leg is measured by what the leg found in the evidence, from its worst (0)
    to its best (1); fused, it counts as a passage of the evidence would that is linked to nothing
    better or worse: with a walk as high as its restart.
    """
    top = _top(legs) or 1.0
    scored = []
    for one in articles:
        fused = sum(
            LEG_WEIGHTS[leg] * _share(float(one[leg]), [score for _, score in legs.get(leg, ())])
            for leg in ("meaning", "words")
        )
        prior = min(fused / top, MOST)
        score = (prior + WALK * prior**SHARPNESS) / (1.0 + WALK)
        if score > 0:
            scored.append(Ordered(node=int(one["node"]), score=round(score, 9)))
    return sorted(scored, key=lambda place: (-place.score, place.node))[:SHOWN]


def article_hits(
    question: str,
    articles: Sequence[Mapping[str, Any]],
    order: Sequence[Ordered],
    passages: Mapping[int, Passage],
) -> list[Hit]:
    """The ordered passages as hits, which say what they are and whence."""
    scores = {int(one["node"]): one for one in articles}
    wanted = set(terms(question))
    hits = []
    for place in order:
        if (passage := passages.get(place.node)) is None:
            continue
        shown, marks = snippet(passage.text, wanted)
        found = scores[place.node]
        hits.append(
            Hit(
                node=place.node,
                evidence=0,
                title=passage.title,
                place=Place(page=0, start=passage.start, end=passage.end),
                snippet=shown,
                highlights=marks,
                legs={"meaning": found["meaning"], "words": found["words"]},
                **origin(passage),
            )
        )
    return hits


def _top(legs: Mapping[str, Sequence[tuple[int, float]]]) -> float:
    """The best fused score of the evidence, before it is put to 1."""
    fused: dict[int, float] = {}
    for leg, found in legs.items():
        scores = [score for _, score in found]
        for node, score in found:
            fused[node] = fused.get(node, 0.0) + LEG_WEIGHTS[leg] * _share(score, scores)
    return max(fused.values(), default=0.0)


def _share(score: float, among: Sequence[float]) -> float:
    low, high = min(among, default=0.0), max(among, default=0.0)
    if high <= low:
        return min(score / high, MOST) if high > 0 else float(score > 0)
    return min(max((score - low) / (high - low), 0.0), MOST)
