"""Ranks: the walks against SciPy, igraph, scikit-network, rustworkx and NetworkX."""

from __future__ import annotations

from collections.abc import Callable

import igraph
import numpy as np
import scipy.sparse

from gpu import CSR, csr_from_edges, pagerank, push, push_state, rank_order
from tests.bench.racing import Call, Row, race

DAMPING = 0.5


def query_graph(seed: int = 7, n: int = 2_000, edges: int = 10_000) -> tuple[CSR, np.ndarray]:
    """A community graph of `n` nodes with 2 * `edges` links, and a reset vector on a tenth of them."""
    rng = np.random.default_rng(seed)
    src = rng.integers(0, n, edges)
    near = (src + rng.integers(-25, 26, edges)) % n
    dst = np.where(rng.random(edges) < 0.8, near, rng.integers(0, n, edges))
    graph = csr_from_edges(n, src, dst, rng.random(edges) + 0.1, symmetric=True)
    return graph, rng.random(n) * (rng.random(n) < 0.1)


def power_iteration(walk: scipy.sparse.csr_array, restart: np.ndarray, tol: float) -> np.ndarray:
    """SciPy's best: the transposed walk is laid out beforehand; every node here has links."""
    scores = restart
    while True:
        following = DAMPING * (walk @ scores) + (1 - DAMPING) * restart
        change = np.abs(following - scores).sum()
        scores = following
        if DAMPING * change <= tol:
            return scores


def bench_pagerank() -> list[Row]:
    """2,000 nodes and 20,000 links: every solver to an L1 error near 1e-10, arrays laid out before."""
    graph, reset = query_graph()
    restart = reset / reset.sum()
    matrix = scipy.sparse.csr_array((graph.weights, graph.indices, graph.indptr), shape=(graph.nodes,) * 2)
    walk = (scipy.sparse.diags_array(1 / matrix.sum(axis=1)) @ matrix).T.tocsr()
    sources = np.repeat(np.arange(graph.nodes), np.diff(graph.indptr))
    peer = igraph.Graph(n=graph.nodes, edges=np.stack([sources, graph.indices], 1).tolist(), directed=True)
    weights = graph.weights.tolist()
    start = pagerank(graph, reset + 0.3 * (np.arange(graph.nodes) == 5)).scores
    exact = pagerank(graph, reset, damping=DAMPING, tol=1e-15).scores
    ids = [f"chunk-{i}" for i in range(graph.nodes)]
    state, sign = push_state(graph, np.ones(graph.nodes)), [1.0]

    def vote() -> int:
        sign[0] = -sign[0]
        return push(state, 5, max(0.3 * sign[0], -float(state.reset[5])), eps=1e-5)

    solvers: dict[str, Callable[[], np.ndarray]] = {
        "casewire": lambda: pagerank(graph, reset, damping=DAMPING, tol=1e-10).scores,
        "casewire, after a vote": lambda: (
            pagerank(graph, reset, damping=DAMPING, tol=1e-10, start=start).scores
        ),
        "scipy.sparse": lambda: power_iteration(walk, restart, 1e-10),
        "igraph PRPACK": lambda: np.array(
            peer.personalized_pagerank(
                damping=DAMPING, reset=restart, weights=weights, implementation="prpack"
            )
        ),
    }
    accuracy = {name: f"L1 {np.abs(solve() - exact).sum():.0e}" for name, solve in solvers.items()}
    accuracy |= {"casewire with layout": accuracy["casewire"], "rank_order": "-", "push": "eps 1e-5"}
    extra: dict[str, Call] = {
        "casewire with layout": lambda: pagerank(CSR(graph.indptr, graph.indices, graph.weights), reset),
        "rank_order": lambda: rank_order(exact, ids),
        "push": vote,
    }
    return race("PageRank 2,000 / 20,000", "casewire", solvers | extra, accuracy, seconds=4.0)


BENCHES = (bench_pagerank,)
