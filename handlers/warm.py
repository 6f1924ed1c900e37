"""Have the ranking's kernels compiled and loaded before somebody waits for them.

The first use on a machine compiles for seconds; the first use in a process loads for half a second.
"""

from __future__ import annotations

import numpy as np

from handlers.query_graph import build, order, solve
from storage.graph import EdgeKind, Neighbourhood, NodeKind


def warm_ranking() -> None:
    """Rank two chunks that mention one entity; blocks, so call it in a thread."""
    kinds = np.array([NodeKind.CHUNK, NodeKind.CHUNK, NodeKind.ENTITY], dtype=np.uint8)
    around = Neighbourhood(
        nodes=np.array([1, 2, 3], dtype=np.int64),
        kinds=kinds,
        common=np.array([0, 0, 2], dtype=np.int32),
        accepted=np.zeros(3, dtype=np.bool_),
        sources=np.array([0, 1], dtype=np.int32),
        targets=np.array([2, 2], dtype=np.int32),
        edge_kinds=np.array([EdgeKind.MENTION, EdgeKind.MENTION], dtype=np.uint8),
        weights=np.ones(2),
        chunks=2,
    )
    graph = build(around, {1: 1.0}, [])
    order(graph, solve(graph, {2: 1}), 2)
