"""The graph of one query as arrays: what the legs said, the links to walk, and the solution under votes.

A chunk's score is what the legs said of it plus `WALK` times its Personalized PageRank, both in
units of the best chunk, over `1 + WALK`. The walk restarts where the legs agree: at the sixth
power of their fused score, so that a hundred lukewarm passages do not outweigh the few that
answer. Measured by `tests/bench/bench_retrieval.py`.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu import CSR, csr_from_edges, rank_order
from gpu.ranks.ranking import solve as solve_walk
from handlers.named import Seed
from storage.graph import EdgeKind, Neighbourhood, NodeKind

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LEG_WEIGHTS = {"meaning": 1.0, "words": 0.8, "links": 0.5}
TELLING_LINKS = 50.0
"""Score of the best link, the square of a rarity, from which on that leg has its whole weight.

A name that every other passage holds, such as a contract's “Receiving Party”, tells next to nothing.
"""
QUOTING_WEIGHTS = LEG_WEIGHTS | {"words": 1.4}
"""For a question that puts a phrase in quotation marks: who quotes asks for those very words."""
DAMPING = 0.85
SHARPNESS = 6
WALK = 4.0
NAMED_SHARE = 0.1
"""Restarts at what the question names, for each restart at a chunk; fewer where it is common."""
TELLING_SEED = 0.2
"""Weight of the heaviest seed from which on that share is whole."""

LINK_WEIGHTS = {
    EdgeKind.MENTION: 1.0,
    EdgeKind.IS: 1.5,
    EdgeKind.NEXT: 1.0,
    EdgeKind.SIMILAR: 0.1,
    EdgeKind.PART: 0.1,
    EdgeKind.RELATION: 0.5,
}
CONFIRMED = 1.5
"""A mention of an entity that a person has accepted weighs so much more."""

VOTE_STEP = 0.75
"""What one vote up adds to the reset weight of a chunk like the best, whose weight is 1.

Measured by `tests/bench/bench_feedback.py`: from 1.25 on the voted passage crowds out what it leads to.
"""
RELATED = 0.7
"""Fused score up to which a question has nothing to do with a vote up that was cast in another one.

Above it the share of the step that counts rises in a straight line, to all of it for the best chunk.
Chosen by what other questions to the same agreement lose of their recall@5 (`tests/bench/bench_feedback.py
--set contractnli`): at 0.5 still 0.4 points, at 0.7 nothing any more.
"""
READ_RELEVANCE = 2
"""Power of the fused score by which the share of the step rises that good attention adds."""
DOWNVOTED_RESET = 0.05
"""Factor on the reset weight of a chunk for each vote below zero."""
DOWNVOTED = 0.25
"""Factor on its score."""
DOWNVOTED_ELSEWHERE = 0.5
"""Both factors for a vote down that was cast in another question, which the passage may well answer.

With the factors above others asked of the same agreement lost 2 points of their recall@5.
"""
ENTITY_SHARE = 0.3
"""Share of a change of a chunk's weight that goes to what it mentions, split evenly."""

TOLERANCE = 1e-12
RESOLUTION = 1e-9
"""Scores closer than this are equal: far above the solver's error, far below any real difference."""


@dataclass(frozen=True, eq=False)
class QueryGraph:
    """A query's graph of n nodes.

    Attributes:
        nodes: Shape (n,): ids, rising.
        kinds: Shape (n,), uint8: `NodeKind`.
        links: The weighted links, each edge in both directions.
        link_kinds: Shape (links,), uint8: `EdgeKind`.
        edges: How many edges there are.
        prior: Shape (n,), float64 in [0, 1]: the fused legs; 0 where none found the node.
        reset: Shape (n,), float64: the reset weights without votes; the best chunk's is 1.
        unit: Largest walk score of a chunk without votes; what `WALK` counts in.
        walked: Shape (n,), float64: the last solution, to start the next one from.
    """

    nodes: Ints
    kinds: NDArray[np.uint8]
    links: CSR
    link_kinds: NDArray[np.uint8]
    edges: int
    prior: Floats
    reset: Floats
    unit: float
    walked: Floats


@dataclass(frozen=True, eq=False)
class Solution:
    """Scores of all nodes, shape (n,), and the walk scores behind them."""

    scores: Floats
    walked: Floats


def fuse(
    legs: Mapping[str, Sequence[tuple[int, float]]], weights: Mapping[str, float] = LEG_WEIGHTS
) -> dict[int, float]:
    """One score in (0, 1] for each chunk that some leg found; the best has 1.

    Within a leg scores run from 0 for its last chunk to 1 for its first; where all are equal
    they are 1. The legs are added by `weights`, links the less the commoner the names are that
    they go by. What scores nothing is left out.
    """
    fused: dict[int, float] = {}
    for leg in sorted(legs):
        scores = [score for _, score in legs[leg]]
        low, high = min(scores, default=0.0), max(scores, default=0.0)
        weight = weights[leg] * (min(1.0, high / TELLING_LINKS) if leg == "links" else 1.0)
        for node, score in legs[leg]:
            share = (score - low) / (high - low) if high > low else 1.0
            fused[node] = fused.get(node, 0.0) + weight * share
    best = max(fused.values(), default=0.0)
    return {node: score / best for node, score in fused.items() if score > 0.0}


def build(around: Neighbourhood, fused: Mapping[int, float], seeds: Sequence[Seed]) -> QueryGraph:
    """Weigh the links of a neighbourhood, set the reset weights and solve without votes."""
    count = len(around.nodes)
    place = {int(node): i for i, node in enumerate(around.nodes)}
    prior = np.zeros(count)
    for node in sorted(fused):
        if node in place:
            prior[place[node]] = fused[node]
    reset = prior**SHARPNESS
    at_chunks = float(reset.sum())
    named = {place[seed.node]: seed.weight for seed in seeds if seed.node in place and seed.weight > 0}
    total = sum(named.values())
    share = NAMED_SHARE * min(1.0, max(named.values(), default=0.0) / TELLING_SEED)
    for i in sorted(named):
        reset[i] += share * (at_chunks or 1.0) * named[i] / total
    links, link_kinds = _links(around)
    graph = QueryGraph(
        nodes=around.nodes,
        kinds=around.kinds,
        links=links,
        link_kinds=link_kinds,
        edges=len(around.sources),
        prior=prior,
        reset=reset,
        unit=1.0,
        walked=np.zeros(count),
    )
    walked = _walk(graph, reset)
    chunks = around.kinds == NodeKind.CHUNK
    unit = float(walked[chunks].max()) if chunks.any() else 0.0
    return _with(graph, unit=unit or 1.0, walked=walked)


def solve(
    graph: QueryGraph,
    votes: Mapping[int, int],
    attention: Mapping[int, float] | None = None,
    *,
    cast_here: Collection[int] = (),
) -> Solution:
    """The scores under votes (node → clamped sum), started from the graph's last solution.

    A vote up adds to the reset weight of its node: wholly where it was cast in this very question
    (`cast_here`), else by how relevant the node is here, and nothing below `RELATED`. A vote down cuts
    that weight, and the node's own score, less where it was cast elsewhere; what the node mentions
    follows mildly. The walk is not normalised again, so that a vote up takes nothing from anybody.

    `attention` (node → −1 … 1) acts in the same way, by as much less as it is less than a vote, and
    wherever some leg found the passage. What is said of evidence as a whole is said of its best
    passage here, or against each of them.
    """
    cast: dict[int, float] = {
        i: votes[int(node)] for i, node in enumerate(graph.nodes) if votes.get(int(node))
    }
    paid = _paid(graph, attention or {})
    here = {i for i in cast if int(graph.nodes[i]) in cast_here}
    walked = _walk(graph, _voted(graph, cast, paid, here), start=graph.walked)
    scores = (graph.prior + WALK * walked / graph.unit) / (1.0 + WALK)
    for said, whole in ((cast, here), (paid, paid)):
        for i, value in said.items():
            scores[i] *= (DOWNVOTED if i in whole else DOWNVOTED_ELSEWHERE) ** max(-value, 0)
    return Solution(scores, walked)


def order(graph: QueryGraph, solution: Solution, limit: int) -> list[tuple[int, float]]:
    """The best chunks with their scores, best first; equal scores by id; what scores 0 is left out."""
    chunks = np.flatnonzero((graph.kinds == NodeKind.CHUNK) & (solution.scores > RESOLUTION))
    scores = solution.scores[chunks]
    ids = [int(node) for node in graph.nodes[chunks]]
    best = rank_order(scores, ids, resolution=RESOLUTION)[:limit]
    return [(ids[i], float(scores[i])) for i in best]


def relevance(prior: float) -> float:
    """Share in [0, 1] of a vote up cast elsewhere that counts in a question, by its chunk's fused score.

    >>> [round(relevance(prior), 3) for prior in (0.0, 0.7, 0.85, 1.0)]
    [0.0, 0.0, 0.5, 1.0]
    """
    return max(prior - RELATED, 0.0) / (1.0 - RELATED)


def solved(graph: QueryGraph, solution: Solution) -> QueryGraph:
    """The graph with a solution to start the next one from."""
    return _with(graph, walked=solution.walked)


def to_bytes(graph: QueryGraph) -> bytes:
    """A compact form for a cache; `from_bytes` is its inverse to the last bit."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        nodes=graph.nodes,
        kinds=graph.kinds,
        indptr=graph.links.indptr,
        indices=graph.links.indices,
        weights=graph.links.weights,
        link_kinds=graph.link_kinds,
        edges=np.array(graph.edges),
        prior=graph.prior,
        reset=graph.reset,
        unit=np.array(graph.unit),
        walked=graph.walked,
    )
    return zlib.compress(buffer.getvalue(), level=1)


def from_bytes(value: bytes) -> QueryGraph:
    """Rebuild a graph from `to_bytes`."""
    with np.load(io.BytesIO(zlib.decompress(value)), allow_pickle=False) as arrays:
        return QueryGraph(
            nodes=arrays["nodes"],
            kinds=arrays["kinds"],
            links=CSR(arrays["indptr"], arrays["indices"], arrays["weights"]),
            link_kinds=arrays["link_kinds"],
            edges=int(arrays["edges"]),
            prior=arrays["prior"],
            reset=arrays["reset"],
            unit=float(arrays["unit"]),
            walked=arrays["walked"],
        )


def link_weights(around: Neighbourhood) -> Floats:
    """The weight of each edge for the walk, in float32 precision.

    A mention weighs its entity's rarity, in units of the rarest possible, more where it repeats
    or the entity is confirmed; other edges their stored weight by `LINK_WEIGHTS`.
    """
    weights = around.weights.copy()
    mention = around.edge_kinds == EdgeKind.MENTION
    entity = around.targets[mention]
    common = around.common[entity].astype(np.float64)
    rare = np.log1p((np.maximum(around.chunks - common, 0.0) + 0.5) / (common + 0.5))
    rarest = np.log1p((max(around.chunks - 1, 0) + 0.5) / 1.5)
    sure = np.where(around.accepted[entity], CONFIRMED, 1.0)
    weights[mention] = rare / rarest * sure * (1.0 + np.log(weights[mention]) / 5)
    for kind, factor in LINK_WEIGHTS.items():
        weights[around.edge_kinds == kind] *= factor
    # float32 in the cache and here alike, or a rebuilt graph would differ from a cached one.
    return np.maximum(weights, 0.0).astype(np.float32).astype(np.float64)


def _links(around: Neighbourhood) -> tuple[CSR, NDArray[np.uint8]]:
    n = len(around.nodes)
    links = csr_from_edges(n, around.sources, around.targets, link_weights(around), symmetric=True)
    links = CSR(links.indptr, links.indices, links.weights.astype(np.float32))
    # Of edges between the same two nodes the first kind names the link.
    first: dict[int, int] = {}
    for source, target, kind in zip(
        around.sources.tolist(), around.targets.tolist(), around.edge_kinds.tolist(), strict=True
    ):
        for key in (source * n + target, target * n + source):
            first[key] = min(first.get(key, kind), kind)
    rows = np.repeat(np.arange(n, dtype=np.int64), np.diff(links.indptr))
    keys = (rows * n + links.indices).tolist()
    return links, np.array([first[key] for key in keys], dtype=np.uint8)


def _paid(graph: QueryGraph, attention: Mapping[int, float]) -> dict[int, float]:
    """Place → what attention says of it, that of evidence as a whole told of its passages."""
    paid: dict[int, float] = {}
    for i, node in enumerate(graph.nodes):
        value = attention.get(int(node), 0.0)
        if not value:
            continue
        told = [i]
        if graph.kinds[i] == NodeKind.EVIDENCE:
            inside = _joined(graph, i, EdgeKind.PART)
            told = [int(one) for one in inside]
            if value > 0 and told:
                told = [max(told, key=lambda one: float(graph.prior[one]))]
        for place in told:
            paid[place] = max(-1.0, min(1.0, paid.get(place, 0.0) + value))
    return {i: value for i, value in paid.items() if value}


def _joined(graph: QueryGraph, i: int, kind: EdgeKind) -> Ints:
    links = slice(graph.links.indptr[i], graph.links.indptr[i + 1])
    joined: Ints = graph.links.indices[links][graph.link_kinds[links] == kind]
    return joined


def _voted(
    graph: QueryGraph, cast: Mapping[int, float], paid: Mapping[int, float], here: Collection[int]
) -> Floats:
    reset = graph.reset.copy()
    shares = {i: 1.0 if i in here else relevance(float(graph.prior[i])) for i in cast}
    read = {i: float(graph.prior[i]) ** READ_RELEVANCE for i in paid}
    for said, share, whole in ((cast, shares, here), (paid, read, paid)):
        for i in sorted(said):
            if said[i] > 0:
                change = VOTE_STEP * said[i] * share[i]
            else:
                factor = DOWNVOTED_RESET if i in whole else DOWNVOTED_ELSEWHERE
                change = graph.reset[i] * (factor ** -said[i] - 1.0)
            reset[i] += change
            mentioned = _joined(graph, i, EdgeKind.MENTION)
            if graph.kinds[i] == NodeKind.CHUNK and len(mentioned):
                reset[mentioned] += ENTITY_SHARE * change / len(mentioned)
    return np.maximum(reset, 0.0)


def _walk(graph: QueryGraph, reset: Floats, *, start: Floats | None = None) -> Floats:
    """The walk's scores, linear in `reset`: x = (1 − damping)·reset + damping·Pᵀx."""
    if not reset.any():
        return np.zeros_like(reset)
    found = solve_walk(graph.links, reset, damping=DAMPING, tol=TOLERANCE, start=start)
    walked: Floats = found.scores
    return walked


def _with(graph: QueryGraph, **changes: Any) -> QueryGraph:
    return QueryGraph(**{name: getattr(graph, name) for name in graph.__dataclass_fields__} | changes)
