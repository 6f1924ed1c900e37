"""Personalized PageRank solves one sparse linear system, to a stated residual."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from gpu.arrays import Array, Floats, Integers, array_namespace
from gpu.compiling import reordering_kernel
from gpu.ranks.gathering import gather
from gpu.ranks.graph import CSR

CHECK_EVERY = 8
"""Iterations on a GPU between two looks at the residual, since a look waits for the device."""


class NotConverged(ArithmeticError):
    """`max_iter` ran out before the residual fell to `tol`.

    Attributes:
        residual: The L1 residual that was reached.
        iterations: How many iterations ran.
    """

    def __init__(self, residual: float, iterations: int) -> None:
        super().__init__(f"No convergence: residual {residual:.3g} after {iterations} iterations.")
        self.residual = residual
        self.iterations = iterations


@dataclass(frozen=True, eq=False)
class PageRankResult:
    """Scores of shape (n,), float64, summing to 1; the iterations taken; the L1 residual left."""

    scores: Array
    iterations: int
    residual: float


def pagerank(
    graph: CSR,
    reset: Array,
    *,
    damping: float = 0.5,
    tol: float = 1e-10,
    max_iter: int = 1000,
    start: Array | None = None,
) -> PageRankResult:
    """Rank nodes by how often a restarting random walk visits them.

    The walk follows a link with probability `damping`, choosing among a node's links by their
    weight, and else restarts at a node drawn from `reset`. At a node without links it always
    restarts. Without `start` equal inputs give equal bits; another start moves a score by at most
    `4 * tol / (1 - damping) ** 2`, so take `tol` far below the resolution of an order.

    Args:
        graph: The links, on the same device as `reset`.
        reset: Shape (n,), finite, not negative, of any positive sum; it is normalised.
        damping: Probability of following a link, in [0, 1).
        tol: Largest L1 residual of the system whose right-hand side sums to `1 - damping`.
        max_iter: Most sweeps over the links.
        start: Shape (n,), finite, not zero: scores to begin with, such as those before a vote.

    Raises:
        NotConverged: `max_iter` ran out; carries the residual.
        ValueError: Wrong shapes or parameters, a negative or non-finite value, or a reset that
            is zero everywhere.

    Source: Page et al. 1999, Stanford InfoLab 1999-66; Gauss-Seidel sweeps as in Gleich, Zhukov &
    Berkhin 2004, Yahoo! Research YRL-2004-038.
    """
    xp = array_namespace(graph.indptr, reset)
    weight = checked_reset(reset, graph.nodes)
    largest = float(weight.max()) if len(weight) else 0.0
    if largest <= 0.0:
        raise ValueError("reset is zero everywhere: the walk has nowhere to restart.")
    weight = weight / largest  # keeps the sum finite for any finite reset
    weight = weight / weight.sum()
    scores = weight.copy() if start is None else _unnormalised(xp, start, graph, damping)
    iterations, residual = solve(graph, weight, scores, damping=damping, tol=tol, max_iter=max_iter)
    return PageRankResult(scores / scores.sum(), iterations, residual)


def solve(
    graph: CSR, reset: Array, scores: Array, *, damping: float, tol: float, max_iter: int
) -> tuple[int, float]:
    """Overwrite `scores` with x = (1 - damping) * reset + damping * Pᵀ x; return sweeps, residual.

    P is the walk's transition matrix, its rows zero where a node has no links, so x is linear in
    `reset`; divided by its sum it is the PageRank. Both arrays are float64 of shape (n,) and
    contiguous. The L1 error is at most the residual over `1 - damping`.

    Raises:
        NotConverged: `max_iter` ran out; carries the residual.
        ValueError: `damping` or `tol` out of range.
    """
    if not 0.0 <= damping < 1.0:
        raise ValueError(f"damping must lie in [0, 1), got {damping}.")
    if not tol > 0.0:
        raise ValueError(f"tol must be positive, got {tol}.")
    xp = array_namespace(reset, scores)
    base = (1.0 - damping) * reset
    sweep = _sweep_until if xp is np else _iterate_until
    links = graph.arriving
    iterations, residual = sweep(
        links.indptr, links.sources, links.probabilities, base, scores, damping, tol, max_iter
    )
    if not residual <= tol:
        raise NotConverged(residual, iterations)
    return iterations, residual


def checked_reset(reset: Array, nodes: int) -> Array:
    """Return `reset` as a fresh contiguous float64 array of shape (nodes,).

    Raises:
        ValueError: Wrong shape, or a value negative or not finite.
    """
    xp = array_namespace(reset)
    if reset.shape != (nodes,):
        raise ValueError(f"reset must have shape ({nodes},), got {reset.shape}.")
    copy = xp.array(reset, dtype=xp.float64, order="C")
    if not bool(xp.isfinite(copy).all()) or bool((copy < 0).any()):
        raise ValueError("reset must be finite and not negative.")
    return copy


def _unnormalised(xp: ModuleType, start: Array, graph: CSR, damping: float) -> Array:
    """Scale scores to the sum that the solution of `solve` would have in their proportions.

    A node without links passes nothing on, so the sum is 1 only where every node has one.
    """
    if array_namespace(start) is not xp:
        raise TypeError("start must live where reset lives.")
    if start.shape != (graph.nodes,) or not bool(xp.isfinite(start).all()) or not start.sum() > 0:
        raise ValueError(f"start must be finite, of shape ({graph.nodes},) and positive in sum.")
    share = start.astype(xp.float64) / start.sum()
    return share * ((1.0 - damping) / (1.0 - damping * share[graph.arriving.continues].sum()))


@reordering_kernel
def _sweep_until(
    indptr: Integers,
    sources: Integers,
    probabilities: Floats,
    base: Floats,
    scores: Floats,
    damping: float,
    tol: float,
    max_iter: int,
) -> tuple[int, float]:
    """Gauss-Seidel: a sweep uses the scores it has just improved.

    What a sweep leaves of the residual came from links out of nodes improved later in the same
    sweep, so it is at most `damping` times the sweep's total change.
    """
    residual = np.inf
    for iteration in range(max_iter):
        change = 0.0
        for node in range(len(base)):
            arrived = 0.0
            for link in range(indptr[node], indptr[node + 1]):
                arrived += probabilities[link] * scores[sources[link]]
            score = base[node] + damping * arrived
            change += abs(score - scores[node])
            scores[node] = score
        residual = damping * change
        if residual <= tol:
            return iteration + 1, residual
    return max_iter, residual


def _iterate_until(
    indptr: Array,
    sources: Array,
    probabilities: Array,
    base: Array,
    scores: Array,
    damping: float,
    tol: float,
    max_iter: int,
) -> tuple[int, float]:
    """Jacobi, whose nodes can all be improved at once on a GPU."""
    xp = array_namespace(scores)
    residual = float("inf")
    current = scores
    for iteration in range(1, max_iter + 1):
        improved = base + damping * gather(indptr, sources, probabilities, current)
        if iteration % CHECK_EVERY == 0 or iteration == max_iter:
            # The next change is at most `damping` times this one, and equals the residual.
            residual = damping * float(xp.abs(improved - current).sum())
        current = improved
        if residual <= tol:
            break
    else:
        iteration = max_iter
    scores[...] = current
    return iteration, residual
