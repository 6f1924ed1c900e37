"""One reset vector is checked, solved by what suits its graph, and given back in the order of the nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu.arrays import Floats
from gpu.compiling import reordering_kernel
from gpu.ranks.graph import CSR
from gpu.ranks.large import conjugate_in_parts, jacobi_in_parts
from gpu.ranks.solving import conjugate, jacobi
from gpu.ranks.walk import plain
from gpu.scratch import scratch

NO_RESET = "reset must be finite and not negative."
NOWHERE = "reset is zero everywhere: the walk has nowhere to restart."
TOO_LARGE = "The sum of a reset vector is no finite number: divide it by its largest value."

LEAST_SUM = 1e-30
"""Outside of this and its inverse a vector is divided by its largest value, lest its factor overflow."""

LARGE = 2_500_000
"""Links from which one vector is worth the threads' waiting for each other, measured."""


def solve_one(
    graph: CSR, reset: Floats, start: Floats | None, damping: float, tol: float, max_iter: int
) -> tuple[Floats, int, float, float]:
    """Scores for the reset over its sum, the sweeps, the residual, and the sum.

    Args:
        reset: Shape (n,); float32 is solved in float32, all else in float64.
        start: Shape (n,), in the unit of the reset.

    Raises:
        ValueError: A reset negative, not finite or zero everywhere.
    """
    dtype: Any = np.float32 if reset.dtype == np.float32 else np.float64
    weight = plain(reset, dtype)
    negative, total = _measured(weight)
    if negative or (not total < np.inf and not np.isfinite(weight).all()):
        raise ValueError(NO_RESET)
    if not total > 0.0:
        raise ValueError(NOWHERE)
    inner = total
    if not LEAST_SUM < total < 1.0 / LEAST_SUM:
        largest = float(weight.max())
        weight = weight / dtype(largest)
        inner = float(weight.sum(dtype=np.float64))
        total = largest * inner
        if not total < np.inf:
            raise ValueError(TOO_LARGE)
    walk = graph.in_slices(dtype)
    slices = walk.slices
    factor = (1.0 - damping) / inner
    warm = start is not None
    if start is not None:
        scores = np.array(start * (1.0 / total), dtype, order="C")
    elif walk.undirected:
        scores = np.empty(graph.nodes, dtype)
    else:
        scores = weight * dtype(1.0 / inner)
    limits: Any = (damping, tol, max_iter)
    if graph.links >= LARGE:
        if walk.undirected:
            found = conjugate_in_parts(walk, weight, factor, scores, warm, *limits)
        else:
            found = jacobi_in_parts(walk, weight, factor, scores, *limits)
        return scores, *found, total
    limits = (*limits, scratch((5 if walk.undirected else 3, slices.padded), dtype))
    layout = (slices.wide_starts, slices.starts, slices.values, slices.columns, slices.order)
    if walk.undirected:
        found = conjugate(*layout, walk.scale, walk.back, weight, factor, scores, warm, *limits)
    else:
        found = jacobi(*layout, weight, factor, scores, *limits)
    return scores, *found, total


@reordering_kernel
def _measured(vector: Floats) -> tuple[int, float]:
    """How many values are negative, and the sum: NaN or infinite where a value is, or it overflows."""
    negative, total = 0, 0.0
    for i in range(len(vector)):
        negative += vector[i] < 0
        total += vector[i]
    return negative, total
