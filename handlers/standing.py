"""How much of a case's attention each piece of evidence and each entity holds, votes included."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass

import numpy as np
import orjson

from gpu import csr_from_edges, pagerank, rank_order
from handlers.query_graph import DAMPING, Floats, link_weights
from storage.graph import EdgeKind, Graph, Neighbourhood, NodeKind
from storage.query_graphs import QueryGraphs
from storage.votes import Votes

VOTE_SHARE = 0.5
"""A vote moves the weight of its node by so many times what an average one has."""

SHOWN = 200
"""Nodes of the list."""

_PART_WEIGHT = 1.0
"""Here evidence is what is ranked, so that a chunk passes on to it as much as to a neighbour."""

_KINDS = {NodeKind.ENTITY: "entity", NodeKind.POI: "poi", NodeKind.EVIDENCE: "evidence"}


@dataclass(frozen=True)
class Standing:
    """A node's share of a walk through the whole case that restarts anywhere, more often where votes
    are; shares of all nodes sum to 1. `votes` is the clamped sum."""

    node: int
    kind: str
    label: str
    standing: float
    votes: int


async def case_standing(case: str, *, graph: Graph, votes: Votes, graphs: QueryGraphs) -> list[Standing]:
    """Evidence, entities and persons of interest of a case, the highest standing first.

    Computed from the tables when the case or its votes have changed, else read from the cache.
    """
    tally = await votes.tally(case)
    version = f"{tally.as_of}:{await graph.version(case)}"
    kept = await graphs.standing(case, version)
    if kept is not None:
        return [Standing(**row) for row in orjson.loads(kept)]
    whole = await graph.whole(case)
    best = await asyncio.to_thread(standing_of, whole, tally.sums)
    labels = await graph.labels(case, [node for node, _, _ in best])
    rows = [
        Standing(node, kind, labels.get(node, "?"), share, tally.sums.get(node, 0))
        for node, kind, share in best
    ]
    await graphs.put_standing(case, version, orjson.dumps([asdict(row) for row in rows]))
    return rows


def standing_of(whole: Neighbourhood, votes: dict[int, int]) -> list[tuple[int, str, float]]:
    """`(node, kind, share)`, the `SHOWN` best; equal shares by id. A case without chunks has none.

    Every chunk restarts the walk alike; a vote on any node moves its restarts, never below zero.
    """
    chunks = whole.kinds == NodeKind.CHUNK
    if not chunks.any():
        return []
    weights = link_weights(whole)
    weights[whole.edge_kinds == EdgeKind.PART] = _PART_WEIGHT
    links = csr_from_edges(len(whole.nodes), whole.sources, whole.targets, weights, symmetric=True)
    reset: Floats = chunks.astype(np.float64)
    for node in sorted(votes):
        place = int(np.searchsorted(whole.nodes, node))
        if place < len(whole.nodes) and whole.nodes[place] == node:
            reset[place] = max(reset[place] + VOTE_SHARE * votes[node], 0.0)
    if not reset.any():
        reset[chunks] = 1.0
    scores = pagerank(links, reset, damping=DAMPING).scores
    shown = np.flatnonzero(~chunks)
    ids = [int(node) for node in whole.nodes[shown]]
    best = rank_order(scores[shown], ids)[:SHOWN]
    return [(ids[i], _KINDS[NodeKind(int(whole.kinds[shown[i]]))], float(scores[shown[i]])) for i in best]
