"""Solvers of x = b + damping * Pᵀ x for eight vectors at once.

A link then costs one load for all of them instead of one gather each. Every vector is solved as if
it were alone: its result does not depend on its neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu.arrays import Floats, Integers
from gpu.compiling import kernel
from gpu.ranks.graph import CSR
from gpu.ranks.one import LEAST_SUM, NO_RESET, NOWHERE, TOO_LARGE
from gpu.ranks.walk import plain
from gpu.scratch import scratch
from gpu.simd import LANES, rows_less, rows_product, rows_rest, rows_step, rows_turn
from gpu.threads import side_by_side

_PIECE = 1024
"""Rows that are summed in the precision of the vectors; longer sums go on in float64."""


def solve_many(
    graph: CSR, resets: Floats, starts: Floats | None, damping: float, tol: float, max_iter: int
) -> tuple[Floats, int, float, Floats]:
    """Scores for the resets over their sums, the most sweeps, the largest residual, and the sums.

    Args:
        resets: Shape (vectors, n); float32 is solved in float32, all else in float64.
        starts: Of the same shape, in the unit of the resets.

    Raises:
        ValueError: A reset negative, not finite or zero everywhere.
    """
    dtype: Any = np.float32 if resets.dtype == np.float32 else np.float64
    weights = plain(resets, dtype)
    if not weights.size:
        raise ValueError(NOWHERE)
    if not (weights.min() >= 0.0 and weights.max() < np.inf):
        raise ValueError(NO_RESET)
    sums = weights.sum(axis=1, dtype=np.float64)
    inner = sums
    if not ((sums > LEAST_SUM) & (sums < 1.0 / LEAST_SUM)).all():
        peaks = weights.max(axis=1, keepdims=True)
        if not peaks.all():
            raise ValueError(NOWHERE)
        weights = weights / peaks
        inner = weights.sum(axis=1, dtype=np.float64)
        sums = peaks[:, 0].astype(np.float64) * inner
        if not np.isfinite(sums).all():
            raise ValueError(TOO_LARGE)
    rows = graph.in_rows(dtype)
    factors = (1.0 - damping) / inner
    first = weights / inner[:, None] if starts is None else starts / sums[:, None]
    scores = np.array(first, dtype, order="C")
    residuals = np.empty(len(scores))

    def block(first: int) -> int:
        part = slice(first, first + LANES)
        layout: Any = (rows.starts, rows.columns, rows.values, rows.scale)
        right: Any = (weights[part], factors[part], scores[part])
        work = scratch((5 if rows.undirected else 3, graph.nodes * LANES), dtype)
        limits: Any = (damping, tol, max_iter, residuals[part], work)
        if rows.undirected:
            warm: Any = (rows.back, *right, starts is not None)
            return int(conjugate_many(*layout, *warm, *limits))
        return int(jacobi_many(*layout, *right, *limits))

    iterations = side_by_side(block, range(0, len(scores), LANES))
    return scores, max(iterations), float(residuals.max()), sums


@kernel
def _all_rest(
    b: Floats, z: Floats, q: Floats, scale: Floats, damping: float, part: Floats, sizes: Floats
) -> None:
    sizes[:] = 0.0
    for first in range(0, len(scale), _PIECE):
        rows_rest(b, z, q, scale, part, damping, first, min(first + _PIECE, len(scale)))
        for lane in range(len(sizes)):
            sizes[lane] += part[lane]


@kernel
def _all_less(p: Floats, q: Floats, damping: float, part: Floats, dots: Floats) -> None:
    dots[:] = 0.0
    nodes = len(p) // len(dots)
    for first in range(0, nodes, _PIECE):
        rows_less(p, q, part, damping, first, min(first + _PIECE, nodes))
        for lane in range(len(dots)):
            dots[lane] += part[lane]


@kernel
def conjugate_many(
    starts: Integers,
    columns: Integers,
    values: Floats,
    scale: Floats,
    back: Floats,
    resets: Floats,
    factors: Floats,
    x: Floats,
    warm: bool,
    damping: float,
    tol: float,
    max_iter: int,
    residuals: Floats,
    work: Floats,
) -> int:
    """Overwrite the rows of x, at most eight, by the solutions; return the most sweeps.

    `resets` and `x` are (vectors, nodes), `factors` and `residuals` (vectors,) float64; the residual
    of each is written. `work` is (5, 8 nodes), of any content. The method is that of
    `gpu.ranks.solving.conjugate`.
    """
    count, nodes = resets.shape
    lanes = LANES
    kind = values.dtype.type
    b, z, r, q, p = work[0], work[1], work[2], work[3], work[4]
    parts = np.zeros((4, lanes), values.dtype)
    part, other, lengths, shares = parts[0], parts[1], parts[2], parts[3]
    sizes, squares, dots = np.zeros(lanes), np.zeros(lanes), np.zeros(lanes)
    done = np.ones(lanes, np.uint8)
    done[:count] = 0
    wholes = factors.astype(values.dtype)
    for i in range(nodes):
        for lane in range(count):
            b[i * lanes + lane] = wholes[lane] * resets[lane, i] * back[i]
        for lane in range(count, lanes):
            b[i * lanes + lane] = 0
    for i in range(nodes * lanes):
        z[i] = 0
    for i in range(nodes * lanes):
        q[i] = 0
    iterations = 0
    if warm:
        for i in range(nodes):
            for lane in range(count):
                z[i * lanes + lane] = x[lane, i] * back[i]
        rows_product(starts, values, columns, z, q, 0, nodes)
        iterations += 1
    _all_rest(b, z, q, scale, damping, part, sizes)
    enough = tol / damping if damping > 0.0 else np.inf
    verified = np.full(lanes, np.inf)
    working = count
    while working:
        for i in range(nodes * lanes):
            r[i] = q[i] - z[i]
        for i in range(nodes * lanes):
            p[i] = r[i]
        _all_less(p, q, 0.0, part, squares)
        while iterations < max_iter:
            going = False
            for lane in range(lanes):
                going = going or (done[lane] == 0 and sizes[lane] > enough)
            if not going:
                break
            rows_product(starts, values, columns, p, q, 0, nodes)
            iterations += 1
            _all_less(p, q, damping, part, dots)
            turned = squares.copy()
            for lane in range(lanes):
                steps = done[lane] == 0 and sizes[lane] > enough and dots[lane] > 0.0
                lengths[lane] = squares[lane] / dots[lane] if steps else 0.0
                squares[lane] = 0.0
                if done[lane] == 0:
                    sizes[lane] = 0.0
            for first in range(0, nodes, _PIECE):
                rows_step(z, r, p, q, scale, lengths, part, other, 0.0, first, min(first + _PIECE, nodes))
                for lane in range(lanes):
                    squares[lane] += part[lane]
                    if done[lane] == 0:
                        sizes[lane] += other[lane]
            for lane in range(lanes):
                shares[lane] = squares[lane] / turned[lane] if turned[lane] > 0.0 else 0.0
            rows_turn(p, r, shares, 0.0, 0, nodes)
        for i in range(nodes * lanes):
            z[i] = max(z[i], kind(0.0))
        rows_product(starts, values, columns, z, q, 0, nodes)
        iterations += 1
        _all_rest(b, z, q, scale, damping, part, sizes)
        for lane in range(count):
            if done[lane]:
                continue
            residuals[lane] = damping * sizes[lane]
            if residuals[lane] <= tol or iterations >= max_iter or not residuals[lane] < 0.5 * verified[lane]:
                done[lane] = 2
                working -= 1
            verified[lane] = residuals[lane]
        for i in range(nodes):
            for lane in range(count):
                if done[lane] == 2:
                    x[lane, i] = q[i * lanes + lane] * scale[i]
        for lane in range(count):
            done[lane] = min(done[lane], 1)
    return iterations


@kernel
def jacobi_many(
    starts: Integers,
    columns: Integers,
    values: Floats,
    scale: Floats,
    resets: Floats,
    factors: Floats,
    x: Floats,
    damping: float,
    tol: float,
    max_iter: int,
    residuals: Floats,
    work: Floats,
) -> int:
    """Overwrite the rows of x, at most eight, by the solutions; return the most sweeps.

    Arguments as those of `conjugate_many`, `scale` being 1 and `work` (3, 8 nodes); the method is that of
    `gpu.ranks.solving.jacobi`.
    """
    count, nodes = resets.shape
    lanes = LANES
    b, current, following = work[0], work[1], work[2]
    part, sizes = np.zeros(lanes, values.dtype), np.zeros(lanes)
    done = np.zeros(count, np.uint8)
    wholes = factors.astype(values.dtype)
    for i in range(nodes):
        for lane in range(count):
            b[i * lanes + lane] = wholes[lane] * resets[lane, i]
            current[i * lanes + lane] = x[lane, i]
        for lane in range(count, lanes):
            b[i * lanes + lane] = 0
            current[i * lanes + lane] = 0
    iterations, working = 0, count
    while working:
        rows_product(starts, values, columns, current, following, 0, nodes)
        _all_rest(b, current, following, scale, damping, part, sizes)
        current, following = following, current
        iterations += 1
        for lane in range(count):
            if done[lane]:
                continue
            residuals[lane] = damping * sizes[lane]
            if residuals[lane] <= tol or iterations >= max_iter:
                done[lane] = 1
                working -= 1
                for i in range(nodes):
                    x[lane, i] = current[i * lanes + lane]
    return iterations
