"""Rank what the legs found: build the query's graph, solve it, and show each hit with its reasons."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from handlers.article_ranks import article_hits, order_articles
from handlers.attention import attention_of
from handlers.beside import store_beside
from handlers.job import Job
from handlers.named import seeds_in
from handlers.paths import explain, path_to, ways
from handlers.query_graph import (
    LEG_WEIGHTS,
    QUOTING_WEIGHTS,
    QueryGraph,
    build,
    fuse,
    order,
    solve,
    solved,
    to_bytes,
)
from handlers.search import quoted
from handlers.snippets import snippet
from handlers.terms import terms
from machines.query import Hit, LegName, Ordered, Place, Ranked, RankHits
from machines.snapshot import Snapshot
from storage.articles import Articles
from storage.attention import AttentionNotes
from storage.graph import Graph, Limits
from storage.query_graphs import QueryGraphs
from storage.votes import Votes

SHOWN = 20
"""Hits with snippet and path."""

ORDERED = 50
"""Chunks in the order."""

LIMITS = Limits()

Load = Callable[[str], Awaitable[Snapshot | None]]
"""The latest snapshot of a machine; None when it has left."""

Legs = Mapping[str, Sequence[tuple[int, float]]]
"""Leg → what it found, best first, with the leg's own scores."""


async def rank_hits(
    effect: RankHits,
    job: Job,
    *,
    graph: Graph,
    votes: Votes,
    graphs: QueryGraphs,
    articles: Articles,
    attention: AttentionNotes,
    load: Load,
) -> Ranked:
    """Order the chunks around what was found; the best come with snippet, place and path.

    The case's votes move the order, and the asker's attention up to the moment of asking.

    Passages of articles are ordered beside them: they are in no graph.
    """
    legs = legs_from(effect.legs)
    built = await build_graph(effect.case, effect.question, legs, graph=graph)
    await job.check()
    # Kept before the votes are read: a vote that comes in between finds the graph and orders it
    # anew, an earlier one is read here.
    await graphs.put(effect.case, effect.query, to_bytes(built), asked_at=time.time())
    tally = await votes.tally(effect.case)
    asked = await load(effect.query)
    paid = {} if asked is None else await attention_of(asked.context, attention=attention)
    here = tally.cast_in(effect.query, effect.question)
    solution = solve(built, tally.sums, paid, cast_here=here)
    if tally.sums or paid:
        await graphs.replace(effect.query, to_bytes(solved(built, solution)))
    best = order(built, solution, ORDERED)
    shown = [node for node, _ in best[:SHOWN]]
    apart = order_articles(effect.articles, legs)
    read = await articles.passages(effect.query, [place.node for place in apart])
    hits = await hits_for(effect.case, effect.question, legs, built, shown, graph=graph)
    return Ranked(
        effect=job.id,
        hits=[*hits, *article_hits(effect.question, effect.articles, apart, read)],
        order=ordered(best),
        articles=apart,
        as_of=tally.as_of,
        nodes=len(built.nodes),
        edges=built.edges,
        votes=as_context(tally.sums),
    )


async def build_graph(case: str, question: str, legs: Legs, *, graph: Graph) -> QueryGraph:
    """The query's graph without votes; equal data give equal bits.

    Raises:
        Temporary, Permanent: The store of the graph does not answer, or cannot be used.
    """
    fused = fuse(legs, QUOTING_WEIGHTS if quoted(question) else LEG_WEIGHTS)
    with store_beside():
        seeds, _ = await seeds_in(question, case, graph=graph)
        around = await graph.around(case, sorted(fused), [seed.node for seed in seeds], LIMITS)
    return await asyncio.to_thread(build, around, fused, seeds)


async def hits_for(
    case: str, question: str, legs: Legs, built: QueryGraph, nodes: Sequence[int], *, graph: Graph
) -> list[Hit]:
    """The nodes as hits, in the order given; chunks that have been deleted are left out."""
    if not nodes:
        return []
    found = ways(built)
    paths = {node: path_to(built, found, node) for node in nodes}
    passages = await graph.passages(case, nodes)
    on_paths = sorted({int(built.nodes[i]) for path in paths.values() for i in path})
    labels = await graph.labels(case, on_paths)
    raw = {leg: dict(found) for leg, found in legs.items()}
    shares = {leg: _shares(found) for leg, found in raw.items()}
    wanted = set(terms(question))
    hits = []
    for node in nodes:
        if (passage := passages.get(node)) is None:
            continue
        shown, marks = snippet(passage.text, wanted)
        by_leg: dict[LegName, float] = {leg: raw[leg][node] for leg in _LEGS if node in raw.get(leg, {})}
        hits.append(
            Hit(
                node=node,
                evidence=passage.evidence,
                title=passage.title,
                place=Place(page=passage.page, start=passage.start, end=passage.end, boxes=passage.boxes),
                snippet=shown,
                highlights=marks,
                legs=by_leg,
                path=explain(built, paths[node], shares, labels),
            )
        )
    return hits


_LEGS: tuple[LegName, ...] = ("meaning", "words", "links")


def legs_from(value: Mapping[str, Sequence[Mapping[str, Any]]]) -> Legs:
    """The legs from their JSON form in an effect or a context."""
    return {leg: [(int(f["node"]), float(f["score"])) for f in found] for leg, found in value.items()}


def ordered(best: Sequence[tuple[int, float]]) -> list[Ordered]:
    """An order for the context, scores to nine digits."""
    return [Ordered(node=node, score=round(score, 9)) for node, score in best]


def as_context(sums: Mapping[int, int]) -> dict[str, int]:
    """Votes for the context, whose keys are texts."""
    return {str(node): value for node, value in sums.items()}


def _shares(found: Mapping[int, float]) -> dict[int, float]:
    low, high = min(found.values(), default=0.0), max(found.values(), default=0.0)
    return {node: (score - low) / (high - low) if high > low else 1.0 for node, score in found.items()}
