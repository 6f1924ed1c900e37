"""Personalized PageRank solves one sparse linear system, to a stated residual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu.arrays import Array, Floats, array_namespace
from gpu.ranks.graph import CSR
from gpu.ranks.many import solve_many
from gpu.ranks.one import NO_RESET, NOWHERE, solve_one

TOLERANCE = {"float32": 1e-6, "float64": 1e-10}
"""The residual asked for where none is named; float32's is divided by `1 - damping`.

An error of rounding is carried on from sweep to sweep, so on a small graph with a high damping the
residual stands still at some multiple of that.
"""

FINEST = {name: 4 * float(np.finfo(name).eps) for name in TOLERANCE}
"""Below this residual rounding is all there is to see."""

MANY = 3
"""From this many reset vectors on they are solved together."""


class NotConverged(ArithmeticError):
    """`max_iter` ran out, or rounding stood still, before the residual fell to `tol`.

    Attributes:
        residual: The L1 residual that was reached.
        iterations: How many iterations ran.
    """

    def __init__(self, residual: float, iterations: int) -> None:
        super().__init__(
            f"No convergence: residual {residual:.3g} after {iterations} iterations. "
            "Allow more of them, ask for less, or use float64."
        )
        self.residual = residual
        self.iterations = iterations


@dataclass(frozen=True, eq=False)
class PageRankResult:
    """Scores of the reset's shape, each vector summing to 1; the most iterations that one took; the
    largest L1 residual left."""

    scores: Array
    iterations: int
    residual: float


def pagerank(
    graph: CSR,
    reset: Array,
    *,
    damping: float = 0.5,
    tol: float | None = None,
    max_iter: int = 1000,
    start: Array | None = None,
) -> PageRankResult:
    """Rank nodes by how often a restarting random walk visits them.

    The walk follows a link with probability `damping`, choosing among a node's links by their
    weight, and else restarts at a node drawn from `reset`. At a node without links it always
    restarts. Without `start` equal inputs give equal bits, and a vector's scores do not depend on
    those beside it, but for their last bits on whether it is one of three or more. Another start
    moves a score by at most `4 * tol / (1 - damping) ** 2`, so take `tol` far below the resolution
    of an order.

    Args:
        graph: The links, on the same device as `reset`.
        reset: Shape (n,), or (vectors, n) to solve many at once; finite, not negative, each vector of
            any positive sum; it is normalised. float32 is solved in float32, all else in float64.
        damping: Probability of following a link, in [0, 1).
        tol: Largest L1 residual of the system whose right-hand side sums to `1 - damping`; where not
            given 1e-10, and `1e-6 / (1 - damping)` in float32.
        max_iter: Most sweeps over the links; one more may tell the residual.
        start: Of the reset's shape, finite, not zero: scores to begin with, such as those before a
            vote.

    Raises:
        NotConverged: `max_iter` ran out, or rounding stood still; carries the residual.
        TypeError: NumPy mixed with CuPy.
        ValueError: Wrong shapes or parameters, a negative or non-finite value, a reset that is zero
            everywhere, or a `tol` below the rounding of the precision.

    Source: Page et al. 1999, Stanford InfoLab 1999-66. Solved by conjugate gradients where all links
    run both ways (Hestenes & Stiefel 1952, J. Res. NBS 49(6)), on a GPU Chebyshev's iteration there,
    else by Jacobi's.
    """
    _check(graph, reset, damping, tol, max_iter)
    begin = start
    if start is not None and start.shape != reset.shape:
        raise ValueError(f"start must be finite and of shape {reset.shape}.")
    if start is not None:
        total = reset.sum(axis=-1, keepdims=True, dtype=np.float64)
        begin = _with_the_mass_of_a_solution(start, graph, damping) * total
    scores, iterations, residual, _ = _solved(graph, reset, damping, tol, max_iter, begin)
    scores /= scores.sum(axis=-1, keepdims=True)
    return PageRankResult(scores, iterations, residual)


def solve(
    graph: CSR,
    reset: Array,
    *,
    damping: float,
    tol: float | None = None,
    max_iter: int = 1000,
    start: Array | None = None,
) -> PageRankResult:
    """Solve x = (1 - damping) * reset + damping * Pᵀ x, whose solution is linear in `reset`.

    P is the walk's transition matrix, its rows zero where a node has no links. Divided by its sum
    x is the PageRank. The L1 error is at most the residual over `1 - damping`.

    Args:
        reset: As for `pagerank`, but not normalised: `tol` and the residual are relative to its sum.
        start: Of the reset's shape, finite: an x to begin with.

    Returns:
        The scores are x, not divided by their sum.

    Raises:
        NotConverged, TypeError, ValueError: As `pagerank`.
    """
    _check(graph, reset, damping, tol, max_iter)
    scores, iterations, residual, sums = _solved(graph, reset, damping, tol, max_iter, start)
    scores *= sums
    return PageRankResult(scores, iterations, residual)


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
        raise ValueError(NO_RESET)
    return copy


def _kind(reset: Array) -> type[np.floating[Any]]:
    return np.float32 if reset.dtype == np.float32 else np.float64


def _tolerance(dtype: type[np.floating[Any]], damping: float) -> float:
    return TOLERANCE["float32"] / (1.0 - damping) if dtype is np.float32 else TOLERANCE["float64"]


def _check(graph: CSR, reset: Array, damping: float, tol: float | None, max_iter: int) -> None:
    array_namespace(graph.indptr, reset)
    if reset.ndim not in (1, 2) or reset.shape[-1] != graph.nodes:
        raise ValueError(
            f"reset must have shape ({graph.nodes},) or (vectors, {graph.nodes}), got {reset.shape}."
        )
    if not 0.0 <= damping < 1.0:
        raise ValueError(f"damping must lie in [0, 1), got {damping}.")
    finest = FINEST[_kind(reset).__name__]
    if tol is not None and not tol >= finest:
        raise ValueError(f"tol must be at least {finest:.2g} in {_kind(reset).__name__}, got {tol}.")
    if max_iter < 1:
        raise ValueError(f"max_iter must be at least 1, got {max_iter}.")


def _solved(
    graph: CSR, reset: Array, damping: float, tol: float | None, max_iter: int, start: Array | None
) -> tuple[Array, int, float, Array]:
    """Scores for the reset over its sum, the most iterations, the largest residual, and the sums in float64.

    `start` is in the unit of the reset.
    """
    xp = array_namespace(reset)
    dtype = _kind(reset)
    tol = _tolerance(dtype, damping) if tol is None else tol
    if start is not None:
        if array_namespace(start) is not xp:
            raise TypeError("start must live where reset lives.")
        if start.shape != reset.shape or not bool(xp.isfinite(start).all()):
            raise ValueError(f"start must be finite and of shape {reset.shape}.")
    sums: Any
    if xp is np and reset.ndim == 1:
        scores, iterations, residual, total = solve_one(graph, reset, start, damping, tol, max_iter)
        sums = np.float64(total)  # a plain float would be cut to the precision of what it multiplies
    else:
        resets = reset.reshape(-1, graph.nodes) if graph.nodes else reset
        starts = None if start is None else start.reshape(resets.shape)
        several = _solve_several if xp is np else _solve_on_the_gpu
        scores, iterations, residual, sums = several(graph, resets, starts, damping, tol, max_iter)
        scores, sums = scores.reshape(reset.shape), sums.reshape((*reset.shape[:-1], 1))
    if not residual <= tol:
        raise NotConverged(residual, iterations)
    return scores, iterations, residual, sums


def _solve_several(
    graph: CSR, resets: Floats, starts: Floats | None, damping: float, tol: float, max_iter: int
) -> tuple[Floats, int, float, Floats]:
    if len(resets) >= MANY:
        return solve_many(graph, resets, starts, damping, tol, max_iter)
    alone = [
        solve_one(graph, resets[i], None if starts is None else starts[i], damping, tol, max_iter)
        for i in range(len(resets))
    ]
    if not alone:
        raise ValueError(NOWHERE)
    scores, iterations, residuals, sums = zip(*alone, strict=True)
    return np.stack(scores), max(iterations), max(residuals), np.array(sums)


def _with_the_mass_of_a_solution(start: Array, graph: CSR, damping: float) -> Array:
    """Scale scores to the sum that the solution of `solve` would have in their proportions, the reset
    summing to 1.

    A node without links passes nothing on, so the sum is 1 only where every node has one.
    """
    xp = array_namespace(start)
    total = start.sum(axis=-1, keepdims=True, dtype=np.float64)
    if start.shape[-1] != graph.nodes or not bool(((total > 0) & xp.isfinite(total)).all()):
        raise ValueError("start must be finite, of the reset's shape and positive in sum.")
    share = start / total
    mass = (share * graph.continues).sum(axis=-1, keepdims=True)
    return share * ((1.0 - damping) / (1.0 - damping * mass))


def _solve_on_the_gpu(
    graph: CSR, resets: Array, starts: Array | None, damping: float, tol: float, max_iter: int
) -> tuple[Array, int, float, Array]:
    """Jacobi's or Chebyshev's iteration, where all nodes can be improved at once."""
    import cupy

    from gpu.ranks.walk_cuda import solve_cuda

    dtype = _kind(resets)
    resets = resets.astype(dtype)
    if not resets.size or bool((resets < 0).any()) or not bool(cupy.isfinite(resets).all()):
        raise ValueError(NO_RESET if resets.size else NOWHERE)
    peaks = resets.max(axis=1, keepdims=True)
    if not bool((peaks > 0).all()):
        raise ValueError(NOWHERE)
    shares = resets / peaks
    inner = shares.sum(axis=1, keepdims=True, dtype=np.float64)
    sums = peaks.astype(np.float64) * inner
    shares = cupy.ascontiguousarray((shares / inner).astype(dtype).T)
    scores = shares.copy()
    if starts is not None:
        scores = cupy.ascontiguousarray((starts / sums).astype(dtype).T)
    matrix, order, undirected = graph.on_the_gpu(dtype)
    base = shares * dtype(1.0 - damping)
    limits: Any = (*matrix, base, scores, damping, tol, max_iter, order)
    iterations, residual = solve_cuda(*limits, undirected=undirected)
    return cupy.ascontiguousarray(scores.T), iterations, residual, sums
