"""Graphs to race on, and the packages that rank their nodes."""

from __future__ import annotations

from collections.abc import Callable

import igraph
import networkx
import numpy as np
import rustworkx
import scipy.sparse
from sknetwork.ranking import PageRank

from gpu import CSR, csr_from_edges

Vector = np.ndarray
FINE, COARSE = 1e-11, 1e-6
"""L1 errors: igraph's, and what float32 can give."""


def community(n: int, links: int, seed: int = 7) -> CSR:
    """Four fifths of the edges stay within 25 places; all run both ways."""
    rng = np.random.default_rng(seed)
    src = rng.integers(0, n, links // 2)
    near = (src + rng.integers(-25, 26, links // 2)) % n
    dst = np.where(rng.random(links // 2) < 0.8, near, rng.integers(0, n, links // 2))
    return csr_from_edges(n, src, dst, rng.random(links // 2) + 0.1, symmetric=True)


def power_law(n: int, links: int, seed: int = 7, *, symmetric: bool = True) -> CSR:
    """Ends drawn with probability ~ rank^-0.8; one end at random where links run one way."""
    rng = np.random.default_rng(seed)
    chances = np.cumsum((np.arange(n) + 1.0) ** -0.8)
    names = rng.permutation(n)
    edges = links // 2 if symmetric else links
    src, dst = names[np.searchsorted(chances, rng.random((2, edges)) * chances[-1])]
    if not symmetric:
        src = rng.integers(0, n, edges)
    return csr_from_edges(n, src, dst, rng.random(edges) + 0.1, symmetric=symmetric)


def reset_for(n: int, seed: int = 1) -> Vector:
    """A tenth of the nodes, at most a thousand, by chance."""
    rng = np.random.default_rng(seed)
    return rng.random(n) * (rng.random(n) < min(0.1, 1000 / n))


def walk_of(graph: CSR) -> scipy.sparse.csr_array:
    """The transposed transition matrix."""
    matrix = scipy.sparse.csr_array((graph.weights, graph.indices, graph.indptr), shape=(graph.nodes,) * 2)
    totals = np.asarray(matrix.sum(axis=1)).ravel()
    inverse = np.divide(1.0, totals, out=np.zeros_like(totals), where=totals > 0)
    return (scipy.sparse.diags_array(inverse) @ matrix).T.tocsr()


def power_iteration(
    walk: scipy.sparse.csr_array, reset: Vector, damping: float, tol: float, *, dangling: Vector | None = None
) -> Vector:
    """SciPy's best: the matrix laid out beforehand, three passes over the vectors a step.

    A node without links restarts, so its mass is spread over the reset.
    """
    share, rate = walk.dtype.type(damping), walk.dtype.type(1 - damping)
    restart = reset.astype(walk.dtype)
    base, scores = rate * restart, restart
    while True:
        following = share * (walk @ scores) + base
        if dangling is not None:
            following += share * scores[dangling].sum() * restart
        change = np.abs(following - scores).sum()
        scores = following
        if damping * change <= tol * (1 - damping):
            return scores


def peers_of(
    graph: CSR, reset: Vector, damping: float, tol: float, names: tuple[str, ...]
) -> dict[str, Callable[[], Vector]]:
    """Calls of the named packages, everything laid out beforehand, at an L1 error of about `tol`."""
    n, restart = graph.nodes, reset / reset.sum()
    found: dict[str, Callable[[], Vector]] = {}
    gone = np.diff(graph.indptr) == 0
    dangling = np.flatnonzero(gone) if gone.any() else None
    if "scipy" in names:
        dtype = np.float32 if tol >= COARSE else np.float64
        walk = walk_of(graph).astype(dtype)
        found[f"scipy.sparse {np.dtype(dtype).name}"] = lambda: power_iteration(
            walk, restart, damping, tol, dangling=dangling
        )
    sources = np.repeat(np.arange(n), np.diff(graph.indptr))
    if "igraph" in names:
        edges = np.stack([sources, graph.indices], 1)
        known = igraph.Graph(n=n, edges=edges.tolist(), directed=True)
        weights = graph.weights.tolist()
        found["igraph PRPACK"] = lambda: np.array(
            known.personalized_pagerank(
                damping=damping, reset=restart, weights=weights, implementation="prpack"
            )
        )
    if "sknetwork" in names:
        matrix = scipy.sparse.csr_matrix((graph.weights, graph.indices, graph.indptr), shape=(n, n))
        weights_of = dict(enumerate(restart)) if n <= 10_000 else restart
        found["scikit-network"] = lambda: PageRank(
            damping, solver="piteration", n_iter=1000, tol=tol * (1 - damping)
        ).fit_predict(matrix, weights=weights_of)
    personal = {i: float(restart[i]) for i in np.flatnonzero(restart)}
    if "rustworkx" in names:
        rusty = rustworkx.PyDiGraph()
        rusty.add_nodes_from(range(n))
        rusty.add_edges_from(
            list(zip(sources.tolist(), graph.indices.tolist(), graph.weights.tolist(), strict=True))
        )
        found["rustworkx"] = lambda: _dense(
            rustworkx.pagerank(
                rusty,
                alpha=damping,
                weight_fn=float,
                personalization=personal,
                tol=tol * (1 - damping) / n,
                max_iter=1000,
            ),
            n,
        )
    if "networkx" in names:
        net = networkx.DiGraph()
        net.add_nodes_from(range(n))
        net.add_weighted_edges_from(
            zip(sources.tolist(), graph.indices.tolist(), graph.weights.tolist(), strict=True)
        )
        found["networkx"] = lambda: _dense(
            networkx.pagerank(
                net, alpha=damping, personalization=personal, tol=tol * (1 - damping) / n, max_iter=1000
            ),
            n,
        )
    return found


def _dense(scores: object, n: int) -> Vector:
    found = dict(scores)  # type: ignore[call-overload]
    return np.array([found[i] for i in range(n)])
