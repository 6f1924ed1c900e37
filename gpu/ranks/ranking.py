"""Personalized PageRank solves one sparse linear system, to a stated residual."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from gpu.arrays import Array, Floats, array_namespace
from gpu.compiling import reordering_kernel
from gpu.ranks.graph import CSR
from gpu.ranks.solving import conjugate, jacobi
from gpu.ranks.solving_many import conjugate_many, jacobi_many
from gpu.ranks.walk import plain
from gpu.simd import LANES
from gpu.threads import side_by_side

TOLERANCE = {"float32": 1e-6, "float64": 1e-10}
"""The residual asked for where none is named."""

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
    those beside it; another start moves a score by at most `4 * tol / (1 - damping) ** 2`, so take
    `tol` far below the resolution of an order.

    Args:
        graph: The links, on the same device as `reset`.
        reset: Shape (n,), or (vectors, n) to solve many at once; finite, not negative, each vector of
            any positive sum; it is normalised. float32 is solved in float32, all else in float64.
        damping: Probability of following a link, in [0, 1).
        tol: Largest L1 residual of the system whose right-hand side sums to `1 - damping`; 1e-6 for
            float32 and 1e-10 for float64 where not given.
        max_iter: Most sweeps over the links.
        start: Of the reset's shape, finite, not zero: scores to begin with, such as those before a
            vote.

    Raises:
        NotConverged: `max_iter` ran out, or rounding stood still; carries the residual.
        TypeError: NumPy mixed with CuPy.
        ValueError: Wrong shapes or parameters, a negative or non-finite value, a reset that is zero
            everywhere, or a `tol` below the rounding of the precision.

    Source: Page et al. 1999, Stanford InfoLab 1999-66. Solved by conjugate gradients where all links
    run both ways (Hestenes & Stiefel 1952, J. Res. NBS 49(6)), else by Jacobi's iteration.
    """
    _check(graph, reset, damping, tol, max_iter)
    begin = start
    if start is not None:
        begin = _with_the_mass_of_a_solution(start, graph, damping) * reset.sum(axis=-1, keepdims=True)
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
        raise ValueError(_NO_RESET)
    return copy


_LEAST_SUM = 1e-30

_NO_RESET = "reset must be finite and not negative."


def _kind(reset: Array) -> type[np.floating[Any]]:
    return np.float32 if reset.dtype == np.float32 else np.float64


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
    """Scores for the reset over its sum, the most iterations, the largest residual, and the sums.

    `start` is in the unit of the reset.
    """
    xp = array_namespace(reset)
    dtype = _kind(reset)
    tol = TOLERANCE[dtype.__name__] if tol is None else tol
    flat = plain(reset, dtype) if xp is np else xp.ascontiguousarray(reset, dtype=dtype)
    sums, flat, inner = _sums(xp, flat.reshape(len(reset) if reset.ndim == 2 else 1, graph.nodes))
    if start is None:
        begin = None
    else:
        if array_namespace(start) is not xp:
            raise TypeError("start must live where reset lives.")
        if start.shape != reset.shape or not bool(xp.isfinite(start).all()):
            raise ValueError(f"start must be finite and of shape {reset.shape}.")
        begin = xp.array(start.reshape(flat.shape) / sums[:, None], dtype=dtype, order="C")
    answer = _on_the_cpu if xp is np else _on_the_gpu
    scores, iterations, residual = answer(graph, flat, inner, begin, damping, tol, max_iter)
    if not residual <= tol:
        raise NotConverged(residual, iterations)
    shape = (*reset.shape[:-1], 1)
    return scores.reshape(reset.shape), iterations, residual, sums.astype(dtype).reshape(shape)


def _sums(xp: ModuleType, flat: Array) -> tuple[Array, Array, Array]:
    """The sum of each vector, float64; the vectors, and their sums as they are now.

    Vectors whose sum is near the ends of the range of numbers are divided by their largest value.
    """
    if xp is np and len(flat) == 1:
        least, largest, total = _measured(flat[0])
        sums = np.array([total])
    else:
        least, largest = (float(flat.min()), float(flat.max())) if flat.size else (0.0, 0.0)
        sums = flat.sum(axis=1, dtype=np.float64)
    if not (least >= 0.0 and largest < np.inf):
        raise ValueError(_NO_RESET)
    if not flat.size or not bool((sums > 0).all()):
        raise ValueError("reset is zero everywhere: the walk has nowhere to restart.")
    if bool(((sums > _LEAST_SUM) & (sums < 1 / _LEAST_SUM)).all()):
        return sums, flat, sums
    peaks = flat.max(axis=1, keepdims=True)
    flat = flat / peaks
    inner = flat.sum(axis=1, dtype=np.float64)
    sums = peaks[:, 0].astype(np.float64) * inner
    if not bool(xp.isfinite(sums).all()):
        raise ValueError("The sum of a reset vector is no finite number: divide it by its largest value.")
    return sums, flat, inner


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


@reordering_kernel
def _measured(vector: Floats) -> tuple[float, float, float]:
    """The least and the largest value, either NaN where one is, and the sum."""
    least, largest, total, strange = np.inf, -np.inf, 0.0, 0
    for i in range(len(vector)):
        value = vector[i]
        least = min(least, value)
        largest = max(largest, value)
        total += value
        strange += value != value
    if strange:
        return np.nan, np.nan, np.nan
    return least, largest, total


def _on_the_cpu(
    graph: CSR,
    resets: Floats,
    sums: Floats,
    starts: Floats | None,
    damping: float,
    tol: float,
    max_iter: int,
) -> tuple[Floats, int, float]:
    if len(resets) < MANY:
        return _one_by_one(graph, resets, sums, starts, damping, tol, max_iter)
    rows = graph.in_rows(resets.dtype.type)
    factors = (1.0 - damping) / sums
    scores = np.array(resets * (1.0 / sums)[:, None], resets.dtype) if starts is None else starts
    residuals = np.empty(len(resets))
    lanes = LANES[resets.dtype.name]

    def block(first: int) -> int:
        part = slice(first, first + lanes)
        layout: Any = (rows.starts, rows.columns, rows.values, rows.scale)
        right: Any = (resets[part], factors[part], scores[part])
        limits: Any = (damping, tol, max_iter, residuals[part])
        if rows.undirected:
            warm: Any = (rows.back, *right, starts is not None)
            return int(conjugate_many(*layout, *warm, *limits))
        return int(jacobi_many(*layout, *right, *limits))

    iterations = side_by_side(block, range(0, len(resets), lanes))
    return scores, max(iterations), float(residuals.max())


def _one_by_one(
    graph: CSR,
    resets: Floats,
    sums: Floats,
    starts: Floats | None,
    damping: float,
    tol: float,
    max_iter: int,
) -> tuple[Floats, int, float]:
    walk = graph.in_slices(resets.dtype.type)
    slices = walk.slices
    layout = (slices.wide_starts, slices.starts, slices.values, slices.columns, slices.order)
    most, largest = 0, 0.0
    scores = np.empty_like(resets) if starts is None else starts
    for i in range(len(resets)):
        reset, x, factor = resets[i], scores[i], (1.0 - damping) / sums[i]
        limits: Any = (damping, tol, max_iter)
        if walk.undirected:
            scales = (walk.scale, walk.back)
            found = conjugate(*layout, *scales, reset, factor, x, starts is not None, *limits)
        else:
            if starts is None:
                x[:] = reset / sums[i]
            found = jacobi(*layout, reset, factor, x, *limits)
        most, largest = max(most, found[0]), max(largest, found[1])
    return scores, most, largest


def _on_the_gpu(
    graph: CSR, resets: Array, sums: Array, starts: Array | None, damping: float, tol: float, max_iter: int
) -> tuple[Array, int, float]:
    """Jacobi, whose nodes can all be improved at once."""
    import cupy

    from gpu.ranks.walk_cuda import solve_cuda

    links = graph.arriving
    share = cupy.ascontiguousarray((resets / sums[:, None]).astype(resets.dtype).T)
    scores = share.copy() if starts is None else cupy.ascontiguousarray(starts.T)
    base = share * resets.dtype.type(1.0 - damping)
    iterations, residual = solve_cuda(
        links.indptr,
        links.sources,
        links.probabilities.astype(resets.dtype),
        base,
        scores,
        damping,
        tol,
        max_iter,
    )
    return cupy.ascontiguousarray(scores.T), iterations, residual
