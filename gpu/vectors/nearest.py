"""The k vectors with the largest dot product or cosine, found by looking at every one."""

from __future__ import annotations

from types import ModuleType
from typing import Literal

import numpy as np

from gpu.arrays import Array, Floats, Integers, array_namespace
from gpu.compiling import kernel
from gpu.threads import side_by_side, threads
from gpu.vectors.products import BLOCK_ROWS, multiply, packed, widened
from gpu.vectors.registers import COLUMNS, dot_floats, dot_halves

Metric = Literal["dot", "cosine"]

MANY_QUERIES = 16
"""From this many queries on, products of whole blocks first rule out most vectors."""

_PART_BYTES = 1 << 24
"""Vectors, as float32, that a thread scans at a time: a millisecond or more."""

_QUERIES = 16 * COLUMNS
"""Queries compared with one block of vectors."""

_KEPT_BYTES = 48
"""What a score and its index take while the best of several parts are sorted."""

_LEAST = 2.0**-149
"""The least float32 above zero."""

_NOT_A_NUMBER = "A score is not a number."


def top_k(
    queries: Array, vectors: Array, k: int, *, metric: Metric = "dot", memory_bytes: int = 1 << 26
) -> tuple[Array, Array]:
    """Return the scores and indices of the `k` best vectors for each query, best first.

    Exact: every vector is compared, with sums in float32. Equal scores are ordered by the smaller
    index; on the CPU a score depends on its two vectors alone, not on their place or the number of
    queries, so equal vectors have equal scores.

    Args:
        queries: Shape (q, d), float32 or float16.
        vectors: Shape (n, d), float32 or float16, on the same device; may be a `numpy.memmap`.
            They are read where they lie when the numbers of a vector are contiguous.
        k: At least 1; of fewer than `k` vectors all are returned.
        metric: `dot`, or `cosine`: the dot product over both lengths, 0 where one of them is 0.
        memory_bytes: Most that copied vectors and intermediate scores take, in all threads
            together; never less than one block of vectors a thread.

    Returns:
        Scores of shape (q, min(k, n)), float32, and indices of that shape, int64.

    Raises:
        TypeError: A dtype other than float32 and float16, or NumPy mixed with CuPy.
        ValueError: Wrong shapes, `k` or `memory_bytes` below 1, an unknown metric, or a score that
            is not a number.
    """
    xp = array_namespace(queries, vectors)
    if queries.ndim != 2 or vectors.ndim != 2 or queries.shape[1] != vectors.shape[1]:
        raise ValueError(f"Expected (q, d) and (n, d), got {queries.shape} and {vectors.shape}.")
    if {queries.dtype.name, vectors.dtype.name} - {"float32", "float16"}:
        raise TypeError("queries and vectors must be float32 or float16.")
    if k < 1 or memory_bytes < 1:
        raise ValueError(f"k and memory_bytes must be at least 1, got {k} and {memory_bytes}.")
    if metric not in ("dot", "cosine"):
        raise ValueError(f"metric must be 'dot' or 'cosine', got {metric!r}.")
    queries = xp.ascontiguousarray(queries, dtype=xp.float32)
    k = min(k, len(vectors))
    scores = xp.empty((len(queries), k), dtype=xp.float32)
    indices = xp.empty((len(queries), k), dtype=xp.int64)
    if scores.size == 0:
        return scores, indices
    scan = _scan if xp is np else _scan_by_sorting
    # Half of the memory is for vectors and their products. Of the other, each thread keeps k scores a query,
    # and so do the best so far.
    sharing = threads() if xp is np else 1
    count = min(_QUERIES, max(1, memory_bytes // 2 // (_KEPT_BYTES * k * (sharing + 1))))
    for first in range(0, len(queries), count):
        some = slice(first, first + count)
        scores[some], indices[some] = scan(queries[some], vectors, k, metric == "cosine", memory_bytes)
    return scores, indices


def _scan(
    queries: Floats, vectors: Floats, k: int, cosine: bool, memory_bytes: int
) -> tuple[Floats, Integers]:
    vectors = np.asarray(vectors)  # numba knows no memmap
    half = vectors.dtype.itemsize == 2
    readable = vectors.dtype.isnative and vectors.strides[1] == vectors.itemsize
    limit = _PART_BYTES if readable else min(_PART_BYTES, memory_bytes // (2 * threads()))
    rows = max(BLOCK_ROWS, limit // (max(1, vectors.shape[1]) * 4))
    panels = packed(queries) if len(queries) >= MANY_QUERIES else np.empty((0, 0, COLUMNS), np.float32)

    def part(first: int) -> tuple[Floats, Integers]:
        some = vectors[first : first + rows]
        if not readable:
            some = np.ascontiguousarray(some, dtype=np.float16 if half else np.float32)
        size = min(k, len(some))
        scores = np.full((len(queries), size), -np.inf, dtype=np.float32)
        indices = np.full((len(queries), size), np.iinfo(np.int64).max, dtype=np.int64)
        place = (some.__array_interface__["data"][0], some.strides[0], len(some), half, first)
        scan = _scan_likely if len(panels) else _scan_all
        if not scan(queries, panels, cosine, *place, scores, indices):
            raise ValueError(_NOT_A_NUMBER)
        return scores, indices

    parts = range(0, len(vectors), rows)
    together = max(threads(), memory_bytes // 2 // (_KEPT_BYTES * k * len(queries)))
    best = (np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64))
    for at in range(0, len(parts), together):
        found = [best, *side_by_side(part, parts[at : at + together])]
        scores = np.concatenate([scores for scores, _ in found], axis=1)
        indices = np.concatenate([indices for _, indices in found], axis=1)
        order = np.lexsort((indices, -scores))[:, :k]
        best = np.take_along_axis(scores, order, 1), np.take_along_axis(indices, order, 1)
    return best


@kernel
def _scan_all(
    queries: Floats,
    panels: Floats,
    cosine: bool,
    address: int,
    stride: int,
    rows: int,
    half: bool,
    first: int,
    scores: Floats,
    indices: Integers,
) -> bool:
    """Offer each vector to each query's heap; return whether all scores were numbers."""
    size = queries.shape[1]
    wide = np.empty((1, size), np.float32)
    direct = half and len(queries) == 1 and not cosine
    lengths = np.array([length_of(query) for query in queries])
    for row in range(rows):
        at = address + row * stride
        if half and not direct:
            widened(at, stride, True, 1, wide)
            at = wide.ctypes.data
        length = np.sqrt(dot_floats(at, at, size)) if cosine else np.float32(1.0)
        for query in range(len(queries)):
            left = queries.ctypes.data + query * queries.strides[0]
            score = dot_halves(left, at, size) if direct else dot_floats(left, at, size)
            if cosine:
                score = cosine_of(score, lengths[query], length)
            if np.isnan(score):
                return False
            offer(scores[query], indices[query], score, first + row)
    return True


@kernel
def _scan_likely(
    queries: Floats,
    panels: Floats,
    cosine: bool,
    address: int,
    stride: int,
    rows: int,
    half: bool,
    first: int,
    scores: Floats,
    indices: Integers,
) -> bool:
    """`_scan_all`, skipping what products of whole blocks show to be out of reach.

    They are summed in another order. Two orders of summing d products of float32 differ by at most
    2 d 2⁻²⁴ |q| |v|; twice that is left as a margin, and some roundings more. Below the normal numbers
    a rounding is off by up to half the least number instead: a product's by `lost`, a square's by less.
    """
    size = queries.shape[1]
    wide = np.empty((BLOCK_ROWS if half else 0, size), np.float32)
    products = np.empty((BLOCK_ROWS, len(panels) * COLUMNS), np.float32)
    limits = np.full(products.shape[1], np.float32(np.inf))
    lost = np.float32((size + 8) * _LEAST)
    nothing = np.full(products.shape[1], np.float32(2) * lost)
    spread = np.float32((size + 8) * 2.0**-22)
    limits[: len(queries)] = -np.inf
    lengths = np.array([length_of(query) for query in queries])
    reach = (lengths + np.sqrt(lost)) * spread
    for block in range(0, rows, BLOCK_ROWS):
        count = min(BLOCK_ROWS, rows - block)
        at, step = address + block * stride, stride
        if half:
            widened(at, stride, True, count, wide)
            at, step = wide.ctypes.data, wide.strides[0]
        multiply(at, step, count, panels, nothing, products)
        for row in range(count):
            vector = at + row * step
            length = np.sqrt(dot_floats(vector, vector, size))
            longest = length + np.sqrt(lost)
            if not _any_reaches(products[row], limits, reach, length, longest, cosine):
                continue
            for query in range(len(queries)):
                if products[row, query] + reach[query] * longest < _limit(limits[query], length, cosine):
                    continue
                left = queries.ctypes.data + query * queries.strides[0]
                score = dot_floats(left, vector, size)
                if cosine:
                    score = cosine_of(score, lengths[query], length)
                if np.isnan(score):
                    return False
                offer(scores[query], indices[query], score, first + block + row)
                limits[query] = scores[query, 0] * lengths[query] if cosine else scores[query, 0]
    return True


@kernel
def _limit(limit: float, length: float, cosine: bool) -> float:
    """What a product must reach; NaN, which nothing falls short of, where it cannot be told."""
    return limit * length if cosine else limit


@kernel
def _any_reaches(
    products: Floats, limits: Floats, reach: Floats, length: float, longest: float, cosine: bool
) -> bool:
    short = 0
    scale = length if cosine else np.float32(1.0)
    for query in range(len(reach)):
        # A product that is no number is not short of anything.
        short += products[query] + reach[query] * longest < limits[query] * scale
    return short < len(reach)


@kernel
def cosine_of(product: np.float32, length: np.float32, other: np.float32) -> np.float32:
    # Two lengths of 1e-30 are no zero; their product as float32 is.
    lengths = np.float64(length) * np.float64(other)
    return np.float32(product / lengths) if lengths != 0 else product * np.float32(0.0)


@kernel
def length_of(vector: Floats) -> np.float32:
    length: np.float32 = np.sqrt(dot_floats(vector.ctypes.data, vector.ctypes.data, len(vector)))
    return length


@kernel
def offer(scores: Floats, indices: Integers, score: float, index: int) -> None:
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
def sort_heap(scores: Floats, indices: Integers) -> None:
    """Order a heap best first."""
    for last in range(len(scores) - 1, 0, -1):
        score, index = scores[last], indices[last]
        scores[last], indices[last] = scores[0], indices[0]
        _replace_root(scores[:last], indices[:last], score, index)


@kernel
def _worse(score: float, index: int, other: float, other_index: int) -> bool:
    return score < other or (score == other and index > other_index)


def _scan_by_sorting(
    queries: Array, vectors: Array, k: int, cosine: bool, memory_bytes: int
) -> tuple[Array, Array]:
    """`_scan` in array operations alone: matrix products, and stable sorts that keep index order."""
    xp = array_namespace(queries, vectors)
    scores = xp.empty((len(queries), 0), dtype=xp.float32)
    indices = xp.empty((len(queries), 0), dtype=xp.int64)
    # Scores, their negatives, places and the order of a sort: some 24 bytes a pair.
    rows = max(1, memory_bytes // 2 // (24 * len(queries) + 4 * vectors.shape[1]))
    for first in range(0, len(vectors), rows):
        chunk = vectors[first : first + rows].astype(xp.float32)
        found = queries @ chunk.T
        if cosine:
            lengths = _lengths(xp, queries)[:, None] * _lengths(xp, chunk)
            found = (found / xp.where(lengths > 0, lengths, 1)).astype(xp.float32)
        if bool(xp.isnan(found).any()):
            raise ValueError(_NOT_A_NUMBER)
        places = xp.broadcast_to(xp.arange(first, first + len(chunk), dtype=xp.int64), found.shape)
        scores = xp.concatenate([scores, found], axis=1)
        indices = xp.concatenate([indices, places], axis=1)
        best = xp.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores = xp.take_along_axis(scores, best, axis=1)
        indices = xp.take_along_axis(indices, best, axis=1)
    return scores, indices


def _lengths(xp: ModuleType, vectors: Array) -> Array:
    return xp.sqrt((vectors * vectors).sum(axis=1)).astype(xp.float64)
