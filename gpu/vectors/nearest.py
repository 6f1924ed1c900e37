"""The k vectors with the largest dot product, found by looking at every one."""

from __future__ import annotations

import numpy as np

from gpu.arrays import Array, Floats, Integers, array_namespace
from gpu.compiling import kernel, reordering_kernel

CHUNK_BYTES = 1 << 26
"""Bytes of intermediate scores, or of vectors widened to float32, held at a time."""

MANY_QUERIES = 4
"""From this many queries on, a matrix product first rules out most vectors."""


def top_k(queries: Array, vectors: Array, k: int) -> tuple[Array, Array]:
    """Return the scores and indices of the `k` best vectors for each query, best first.

    Exact: every vector is compared, with sums in float32. Equal scores are ordered by the smaller
    index; on the CPU a score depends on its two vectors alone, not on their place, so equal
    vectors have equal scores.

    Args:
        queries: Shape (q, d), float32 or float16.
        vectors: Shape (n, d), float32 or float16, on the same device.
        k: At least 1; of fewer than `k` vectors all are returned.

    Returns:
        Scores of shape (q, min(k, n)), float32, and indices of that shape, int64.

    Raises:
        TypeError: A dtype other than float32 and float16, or NumPy mixed with CuPy.
        ValueError: Wrong shapes, `k` below 1, or a score that is not a number.
    """
    xp = array_namespace(queries, vectors)
    if queries.ndim != 2 or vectors.ndim != 2 or queries.shape[1] != vectors.shape[1]:
        raise ValueError(f"Expected (q, d) and (n, d), got {queries.shape} and {vectors.shape}.")
    if {queries.dtype.name, vectors.dtype.name} - {"float32", "float16"}:
        raise TypeError("queries and vectors must be float32 or float16.")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}.")
    queries = xp.ascontiguousarray(queries, dtype=xp.float32)
    k = min(k, len(vectors))
    if k == 0:
        empty = (len(queries), 0)
        return xp.empty(empty, dtype=xp.float32), xp.empty(empty, dtype=xp.int64)
    return (_scan if xp is np else _scan_by_sorting)(queries, vectors, k)


def _scan(queries: Floats, vectors: Floats, k: int) -> tuple[Floats, Integers]:
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    indices = np.full((len(queries), k), np.iinfo(np.int64).max, dtype=np.int64)
    many = len(queries) >= MANY_QUERIES
    width = 4 * max(1, vectors.shape[1], len(queries) if many else 1)
    whole = vectors.dtype == np.float32 and vectors.flags.c_contiguous and not many
    rows = len(vectors) if whole else max(1, CHUNK_BYTES // width)
    for first in range(0, len(vectors), rows):
        chunk = np.ascontiguousarray(vectors[first : first + rows], dtype=np.float32)
        if many:
            numbers = _scan_likely(queries, chunk, queries @ chunk.T, first, scores, indices)
        else:
            numbers = _scan_all(queries, chunk, first, scores, indices)
        if not numbers:
            raise ValueError("A score is not a number.")
    order = np.lexsort((indices, -scores))
    return np.take_along_axis(scores, order, 1), np.take_along_axis(indices, order, 1)


@reordering_kernel
def _dot(left: Floats, right: Floats) -> np.float32:
    total = np.float32(0.0)
    for i in range(len(left)):
        total += left[i] * right[i]
    return total


@kernel
def _scan_all(queries: Floats, chunk: Floats, first: int, scores: Floats, indices: Integers) -> bool:
    """Offer each vector to each query's heap; return whether all scores were numbers."""
    for row in range(len(chunk)):
        for query in range(len(queries)):
            score = float(_dot(queries[query], chunk[row]))
            if np.isnan(score):
                return False
            _offer(scores[query], indices[query], score, first + row)
    return True


@kernel
def _scan_likely(
    queries: Floats, chunk: Floats, products: Floats, first: int, scores: Floats, indices: Integers
) -> bool:
    """`_scan_all`, skipping what the matrix `products` show to be out of reach.

    A matrix product sums in an order that depends on a vector's place. Two orders of summing d
    products of float32 differ by at most 2 d 2⁻²⁴ |q| |v|; twice that is left as a margin.
    """
    longest = np.float32(0.0)
    for row in range(len(chunk)):
        longest = max(longest, _dot(chunk[row], chunk[row]))
    for query in range(len(queries)):
        squares = _dot(queries[query], queries[query]) * longest
        margin = np.sqrt(squares) * np.float32(queries.shape[1] * 2.0**-22)
        for row in range(len(chunk)):
            if products[query, row] + margin < scores[query, 0]:
                continue
            score = float(_dot(queries[query], chunk[row]))
            if np.isnan(score):
                return False
            _offer(scores[query], indices[query], score, first + row)
    return True


@kernel
def _offer(scores: Floats, indices: Integers, score: float, index: int) -> None:
    """Put a score on a heap whose root is the one to leave first, if it beats that."""
    # Vectors come in the order of their index, so an equal score displaces only an empty place.
    if score > scores[0] or indices[0] == np.iinfo(np.int64).max:
        _replace_root(scores, indices, score, index)


@kernel
def _replace_root(scores: Floats, indices: Integers, score: float, index: int) -> None:
    at, size = 0, len(scores)
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _worse(scores[child + 1], indices[child + 1], scores[child], indices[child]):
            child += 1
        if not _worse(scores[child], indices[child], score, index):
            break
        scores[at], indices[at] = scores[child], indices[child]
        at = child
    scores[at], indices[at] = score, index


@kernel
def _worse(score: float, index: int, other: float, other_index: int) -> bool:
    return score < other or (score == other and index > other_index)


def _scan_by_sorting(queries: Array, vectors: Array, k: int) -> tuple[Array, Array]:
    """`_scan` in array operations alone: matrix products, and stable sorts that keep index order."""
    xp = array_namespace(queries, vectors)
    scores = xp.empty((len(queries), 0), dtype=xp.float32)
    indices = xp.empty((len(queries), 0), dtype=xp.int64)
    rows = max(1, CHUNK_BYTES // (4 * max(1, len(queries), vectors.shape[1])))
    for first in range(0, len(vectors), rows):
        chunk = vectors[first : first + rows].astype(xp.float32)
        found = queries @ chunk.T
        if bool(xp.isnan(found).any()):
            raise ValueError("A score is not a number.")
        places = xp.broadcast_to(xp.arange(first, first + len(chunk), dtype=xp.int64), found.shape)
        scores = xp.concatenate([scores, found], axis=1)
        indices = xp.concatenate([indices, places], axis=1)
        best = xp.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores = xp.take_along_axis(scores, best, axis=1)
        indices = xp.take_along_axis(indices, best, axis=1)
    return scores, indices
