"""Small graphs of every awkward kind, with their exact ranking by dense linear algebra."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from gpu import CSR

WEIGHTS = st.sampled_from([0.0, 1e-3, 0.5, 1.0, 1.0, 2.0, 1e6])


def awkward(array: np.ndarray) -> np.ndarray:
    """The same values, strided and read-only."""
    strided = np.repeat(array, 2)[::2]
    strided.flags.writeable = False
    return strided


@st.composite
def edge_lists(draw: Any, max_nodes: int = 9) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """(n, src, dst, weight): duplicates, self-loops, dangling nodes, weights of zero, no edges."""
    n = draw(st.integers(1, max_nodes))
    node = st.integers(0, n - 1)
    edges = draw(st.lists(st.tuples(node, node, WEIGHTS), max_size=4 * n))
    src, dst, weight = ([edge[i] for edge in edges] for i in range(3))
    return n, np.array(src, np.int64), np.array(dst, np.int64), np.array(weight, np.float64)


def as_rows(n: int, src: np.ndarray, dst: np.ndarray, weight: np.ndarray) -> CSR:
    """A graph that keeps duplicate links, in strided read-only arrays."""
    order = np.argsort(src, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(src, minlength=n))])
    return CSR(awkward(indptr), awkward(dst[order].astype(np.int32)), awkward(weight[order]))


def graphs(max_nodes: int = 9) -> st.SearchStrategy[CSR]:
    """Graphs of `edge_lists`, duplicates kept."""
    return edge_lists(max_nodes).map(lambda edges: as_rows(*edges))


def resets(n: int) -> st.SearchStrategy[np.ndarray]:
    """Read-only reset vectors that are not zero everywhere."""
    values = st.lists(st.sampled_from([0.0, 0.0, 0.25, 1.0, 3.0, 1e4]), min_size=n, max_size=n)
    return values.filter(any).map(lambda found: awkward(np.array(found)))


def transitions(graph: CSR) -> np.ndarray:
    """The dense (n, n) matrix of the walk, rows without links left zero."""
    dense = np.zeros((graph.nodes, graph.nodes))
    sources = np.repeat(np.arange(graph.nodes), np.diff(graph.indptr))
    np.add.at(dense, (sources, graph.indices), graph.weights)
    totals = dense.sum(axis=1, keepdims=True)
    return np.divide(dense, totals, out=np.zeros_like(dense), where=totals > 0)


def exact_pagerank(graph: CSR, reset: np.ndarray, damping: float) -> np.ndarray:
    """The stationary distribution of the walk that restarts at nodes without links."""
    walk, restart = transitions(graph), reset / reset.sum()
    walk[walk.sum(axis=1) == 0] = restart
    google = damping * walk + (1 - damping) * restart
    return np.linalg.solve(np.eye(graph.nodes) - google.T + 1.0, np.ones(graph.nodes))
