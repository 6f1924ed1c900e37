"""The path that explains a hit: the likeliest way of the walk from something the question found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from handlers.query_graph import DAMPING, LEG_WEIGHTS, Floats, Ints, QueryGraph
from machines.query import PathStep
from storage.graph import EdgeKind, NodeKind

STEPS = 4
"""Longest path looked for."""

QUESTION = "question"

_FORWARD = {
    EdgeKind.MENTION: "mentions",
    EdgeKind.IS: "is",
    EdgeKind.NEXT: "next to",
    EdgeKind.SIMILAR: "similar to",
    EdgeKind.PART: "part of",
    EdgeKind.RELATION: "related to",
}
_BACKWARD = {EdgeKind.MENTION: "mentioned in", EdgeKind.IS: "known as", EdgeKind.PART: "contains"}


@dataclass(frozen=True, eq=False)
class Ways:
    """For each number of steps k ≤ `STEPS`: the most that reaches a node on one path, and from where.

    Attributes:
        reached: Shape (STEPS + 1, n).
        before: Shape (STEPS + 1, n): position of the node before, −1 for none.
    """

    reached: Floats
    before: Ints


def ways(graph: QueryGraph) -> Ways:
    """The best paths from every place where the walk restarts, votes left aside."""
    n = len(graph.nodes)
    arriving = graph.links.arriving
    targets = np.repeat(np.arange(n), np.diff(arriving.indptr))
    reached = np.zeros((STEPS + 1, n))
    before = np.full((STEPS + 1, n), -1, dtype=np.int64)
    reached[0] = graph.reset
    for k in range(1, STEPS + 1):
        flow = DAMPING * arriving.probabilities * reached[k - 1][arriving.sources]
        np.maximum.at(reached[k], targets, flow)
        best = np.flatnonzero((flow > 0) & (flow == reached[k][targets]))
        # Written backwards, so that of equal ways the one from the smallest id stays.
        before[k][targets[best[::-1]]] = arriving.sources[best[::-1]].astype(np.int64)
    return Ways(reached, before)


def path_to(graph: QueryGraph, found: Ways, node: int) -> list[int]:
    """Positions from a seed to the node, both included; empty where no way leads to it."""
    place = int(np.searchsorted(graph.nodes, node))
    k = int(np.argmax(found.reached[:, place]))
    if found.reached[k, place] <= 0.0:
        return []
    path = [place]
    for step in range(k, 0, -1):
        path.append(int(found.before[step, path[-1]]))
    return path[::-1]


def explain(
    graph: QueryGraph,
    path: Sequence[int],
    legs: Mapping[str, Mapping[int, float]],
    labels: Mapping[int, str],
) -> list[PathStep]:
    """A path in words, beginning with the question and how it found the seed.

    Args:
        graph: The graph that `path` is in.
        path: Positions, from a seed on.
        legs: Leg → node → share of that leg's best score.
        labels: Node → what to call it.
    """
    if not path:
        return []
    names = [labels.get(int(graph.nodes[i]), "?") for i in path]
    steps = [PathStep(source=QUESTION, kind=_seeding(graph, path[0], legs), target=names[0])]
    for (one, other), source, target in zip(_pairs(path), names, names[1:], strict=False):
        steps.append(PathStep(source=source, kind=_word(graph, one, other), target=target))
    return steps


def _pairs(path: Sequence[int]) -> list[tuple[int, int]]:
    return list(pairwise(path))


def _seeding(graph: QueryGraph, place: int, legs: Mapping[str, Mapping[int, float]]) -> str:
    if graph.kinds[place] != NodeKind.CHUNK:
        return "names"
    node = int(graph.nodes[place])
    by = {leg: LEG_WEIGHTS[leg] * found[node] for leg, found in legs.items() if node in found}
    return max(sorted(by), key=by.__getitem__) if by else "meaning"


def _word(graph: QueryGraph, source: int, target: int) -> str:
    row = slice(graph.links.indptr[source], graph.links.indptr[source + 1])
    at = int(np.searchsorted(graph.links.indices[row], target))
    kind = EdgeKind(int(graph.link_kinds[row][at]))
    leaves = graph.kinds[source] == NodeKind.CHUNK or kind == EdgeKind.IS
    backward = kind == EdgeKind.IS and graph.kinds[source] == NodeKind.POI
    return _FORWARD[kind] if leaves and not backward else _BACKWARD.get(kind, _FORWARD[kind])
