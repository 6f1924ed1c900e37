"""Scores closer than a resolution are equal, and equals stand in the order of their ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gpu.arrays import Floats


def rank_order(
    scores: Floats, ids: Sequence[str] | Sequence[int], *, resolution: float = 1e-9
) -> NDArray[np.int64]:
    """Return the positions of `scores`, best first, unmoved by errors far below `resolution`.

    In descending order a score that follows within `resolution` of the one before it belongs to
    the same group, and a group is ordered by id. Nodes whose true scores are equal therefore keep
    their order whatever the solver's rounding was; rounding to a fixed grid would tear a pair
    apart wherever a grid line falls between them.

    Args:
        scores: Shape (n,), NumPy, finite.
        ids: n distinct, mutually comparable ids.
        resolution: Not negative; above twice the error of a score, and below the differences
            that matter.

    Raises:
        ValueError: Wrong lengths, repeated ids, a score not finite, or a negative resolution.
    """
    scores = np.asarray(scores)
    if scores.shape != (len(ids),):
        raise ValueError(f"Expected {len(ids)} scores, got shape {scores.shape}.")
    if not np.isfinite(scores).all() or not resolution >= 0:
        raise ValueError("scores must be finite and resolution not negative.")
    if len(set(ids)) != len(ids):
        raise ValueError("ids must be distinct.")
    order = np.argsort(-scores, kind="stable").astype(np.int64)
    falls = -np.diff(scores[order])
    ends = [*np.flatnonzero(falls > resolution).tolist(), len(ids) - 1]
    first = 0
    for last in ends:
        if last > first:
            order[first : last + 1] = sorted(order[first : last + 1].tolist(), key=ids.__getitem__)
        first = last + 1
    return order
