"""k-means: centres that are the means of the vectors nearest to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpu.arrays import Array, array_namespace
from gpu.vectors.assigning import nearest, totals
from gpu.vectors.chunks import Chunks, extent, rows_at

SEEDING_ROWS = 32
"""Vectors a cluster that the first centres are chosen from."""


@dataclass(frozen=True)
class Clusters:
    """The result of `kmeans`."""

    centres: Array
    """Shape (k, d), float32."""
    labels: Array
    """Shape (n,), int64: the nearest centre of each vector."""
    inertia: float
    """The sum of the squared distances of all vectors to their centres."""
    iterations: int
    moved: float
    """The largest squared distance by which a centre moved in the last iteration."""


def kmeans(
    vectors: Chunks,
    k: int,
    *,
    seed: int = 0,
    start: Array | None = None,
    max_iter: int = 300,
    tol: float = 1e-4,
) -> Clusters:
    """Find `k` centres by Lloyd's iterations, from centres chosen by k-means++.

    The same vectors in one array or in chunks of any size give the same bits on the CPU, whatever
    the number of threads. A centre that no vector is nearest to is put on the vector that is
    farthest from its own centre.

    Args:
        vectors: Shape (n, d), float32 or float16, finite; or a function giving such chunks anew
            on each call, which need not fit in memory together. Chosen are the first centres from
            `SEEDING_ROWS` vectors a cluster.
        k: At least 1, at most n.
        start: Shape (k, d): the first centres, instead of k-means++.
        max_iter: Most iterations; each is one pass. Two passes come first, to count the vectors and
            to choose among them, and one comes last, for labels and inertia.
        tol: Iterations end when no centre moves by more than the square root of `tol` times the
            mean variance of the seeding vectors' coordinates (of all `start` where given).

    Raises:
        TypeError: A dtype other than float32 and float16, or NumPy mixed with CuPy.
        ValueError: Wrong shapes or options, or a number that is not finite.

    Source: Lloyd, IEEE Trans. Inf. Theory 1982; Arthur & Vassilvitskii, SODA 2007.
    """
    if k < 1 or max_iter < 0 or tol < 0:
        raise ValueError(f"Expected k ≥ 1, max_iter ≥ 0 and tol ≥ 0, got {k}, {max_iter}, {tol}.")
    xp, count, size = extent(vectors)
    if k > count:
        raise ValueError(f"{k} clusters of {count} vectors.")
    rng = np.random.default_rng(seed)
    sample = rows_at(vectors, np.sort(rng.permutation(count)[: SEEDING_ROWS * k]))
    if not bool(xp.isfinite(sample).all()):
        raise ValueError("A vector holds a number that is not finite.")
    if start is None:
        centres = plus_plus(sample, k, rng)
    else:
        if array_namespace(start) is not xp or start.shape != (k, size):
            raise ValueError(f"Expected a start of shape {(k, size)} in {xp.__name__}, got {start.shape}.")
        centres = xp.array(start, dtype=xp.float32)
        if not bool(xp.isfinite(centres).all()):
            raise ValueError("A centre of the start holds a number that is not finite.")
    limit = tol * float(sample.var(axis=0, dtype=xp.float64).mean())
    moved, iterations = np.inf, 0
    while iterations < max_iter and moved > limit:
        counts, sums = totals(vectors, centres)
        filled = counts > 0
        found = xp.where(filled[:, None], sums / xp.where(filled, counts, 1)[:, None], centres)
        found = found.astype(xp.float32)
        if not bool(filled.all()):
            found = _refilled(vectors, centres, found, filled)
        moved = float(((found - centres).astype(xp.float64) ** 2).sum(axis=1).max())
        centres = found
        iterations += 1
    passed = list(nearest(vectors, centres))
    labels = xp.concatenate([part.best for part in passed])
    squares = xp.concatenate([part.squares for part in passed])
    return Clusters(centres, labels, float(squares.sum(dtype=xp.float64)), iterations, moved)


def plus_plus(sample: Array, k: int, rng: np.random.Generator) -> Array:
    """Choose `k` rows one after another, each with a chance that grows with its squared distance."""
    xp = array_namespace(sample)
    sample = sample.astype(xp.float64)
    lengths = (sample * sample).sum(axis=1)
    draws = xp.asarray(rng.random(k))
    chosen = xp.empty(k, xp.int64)
    apart = xp.ones(len(sample))
    for turn in range(k):
        upto = xp.cumsum(apart)
        # All rows may be chosen already: then the draw falls on the last one.
        at = xp.minimum(
            xp.searchsorted(upto, draws[turn : turn + 1] * upto[-1], side="right"), len(sample) - 1
        )
        chosen[turn : turn + 1] = at
        distances = xp.maximum(lengths - 2 * (sample @ sample[at][0]) + lengths[at], 0)
        distances[at] = 0
        apart = distances if turn == 0 else xp.minimum(apart, distances)
    return sample[chosen].astype(xp.float32)


def _refilled(vectors: Chunks, centres: Array, found: Array, filled: Array) -> Array:
    """Put centres without vectors on the vectors that were farthest from theirs, the first of equals."""
    xp = array_namespace(centres)
    squares = xp.concatenate([part.squares for part in nearest(vectors, centres)])
    empty = xp.nonzero(~filled)[0]
    farthest = xp.argsort(-squares, kind="stable")[: len(empty)]
    places = np.sort(np.asarray(farthest if xp is np else farthest.get()))
    found[empty] = rows_at(vectors, places)
    return found
