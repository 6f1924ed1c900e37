"""The walk is iterated on a GPU in one launch, for many reset vectors at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cupy

from gpu.arrays import Array
from gpu.compiling import cuda_function

LENGTHS = (4, 8, 16, 32, 64, 256)
"""Most links of a row of each class; what is longer is cut into segments. As in walk.cu."""

SEGMENT = 256
THREADS = 256
SUMS_AT_EVERY_ITERATION = 1 << 14
"""Up to so many blocks times columns the residual is looked at after every iteration."""

_SOURCE = Path(__file__).with_name("walk.cu")


@dataclass(frozen=True, eq=False)
class RowsByLength:
    """The rows of a CSR matrix in the order in which the GPU takes them; made by `rows_by_length`.

    `rows` is (n,), uint32, shortest class first; `firsts`, int64, and `lengths`, uint32, say in that
    order where a row's links begin and how many they are; `starts`, (8,), int64, where each class
    begins. Of the rows longer than the last class, `first_segment`, (long rows + 1,), int64, counts
    the segments, and `segment_row`, (segments,), uint32, tells each segment's place among them.
    """

    rows: Array
    firsts: Array
    lengths: Array
    starts: Array
    segment_row: Array
    first_segment: Array


def rows_by_length(indptr: Array) -> RowsByLength:
    """Sort the rows of a CuPy CSR matrix by their length; `indptr` is (n + 1,), int64.

    Worth keeping with the graph: the order serves every call of `solve_cuda` on it.
    """
    length = cupy.diff(indptr)
    kind = cupy.searchsorted(cupy.asarray(LENGTHS, dtype=cupy.int64), length, side="left")
    order = cupy.argsort(kind.astype(cupy.uint8), kind="stable")
    starts = cupy.searchsorted(kind[order], cupy.arange(len(LENGTHS) + 2), side="left").astype(cupy.int64)
    longest = order[int(starts[len(LENGTHS)]) :]
    first_segment = cupy.zeros(len(longest) + 1, dtype=cupy.int64)
    segment_row = cupy.zeros(0, dtype=cupy.int64)
    if len(longest):
        first_segment[1:] = cupy.cumsum((length[longest] + (SEGMENT - 1)) // SEGMENT)
        places = cupy.arange(int(first_segment[-1]), dtype=cupy.int64)
        segment_row = cupy.searchsorted(first_segment[1:], places, side="right")
    return RowsByLength(
        order.astype(cupy.uint32),
        indptr[order],
        length[order].astype(cupy.uint32),
        starts,
        segment_row.astype(cupy.uint32),
        first_segment,
    )


def runs_both_ways(indptr: Array, indices: Array, weights: Array) -> bool:
    """Say whether each link of a CuPy CSR graph has one back of the same weight.

    Of equal links side by side the weights must also come in the same order. Costs two sorts.
    """
    places = cupy.arange(len(indices), dtype=indptr.dtype)
    rows = cupy.searchsorted(indptr[1:], places, side="right").astype(indices.dtype)
    back = cupy.argsort(indices, kind="stable")
    there = back[cupy.argsort(rows[back], kind="stable")]
    same = (rows[there] == indices[back]) & (indices[there] == rows[back])
    return bool((same & (weights[there] == weights[back])).all())


def solve_cuda(
    indptr: Array,
    sources: Array,
    probabilities: Array,
    base: Array,
    scores: Array,
    damping: float,
    tol: float,
    max_iter: int,
    order: RowsByLength | None = None,
    *,
    undirected: bool = False,
) -> tuple[int, float]:
    """Overwrite `scores` with x = base + damping * A x, beginning at what is in it.

    The host waits once, at the end. Beside its arguments a call takes the memory of `scores` once
    more, and up to a row of `scores` for every 256 links in rows longer than that: in all 3.0 GB
    for 10^7 nodes, 10^8 links and 16 columns of float32. Equal inputs give equal bits on one device.

    Args:
        indptr: Shape (n + 1,), int64, CuPy as all arrays: row i of A is the links arriving at node i.
        sources: Shape (links,), uint32, in [0, n).
        probabilities: Shape (links,), dtype of `scores`.
        base: Shape (n,) or (n, r), dtype of `scores`; one column a reset vector. Not modified.
        scores: Shape of `base`, float32 or float64; a warm start, or anything finite. Overwritten.
        damping: In [0, 1).
        tol: The residual to reach in every column.
        max_iter: Most iterations, at least one.
        order: What `rows_by_length(indptr)` gave, if it was kept.
        undirected: All links run both ways with equal weights, so that Chebyshev's iteration may
            take the place of Jacobi's: about a third as many steps at a damping of 0.85.

    Returns:
        The iterations, and the residual: the most that a column would change in one more step of
        Jacobi's, in L1 (a bound on it for Jacobi's own, the very number for Chebyshev's).

    Raises:
        TypeError: A dtype other than those named.
        ValueError: Shapes that do not fit.

    Source: rows by length as in Ashari et al. 2014, SC14, 64; Golub & Varga 1961, Numer. Math. 3.
    """
    dtype = scores.dtype
    if dtype.name not in ("float32", "float64") or {base.dtype, probabilities.dtype} != {dtype}:
        raise TypeError("base, scores and probabilities must all be float32 or all float64.")
    if indptr.dtype != cupy.int64 or sources.dtype != cupy.uint32:
        raise TypeError(f"Expected int64 indptr and uint32 sources, got {indptr.dtype} and {sources.dtype}.")
    if scores.shape != base.shape or scores.ndim not in (1, 2) or len(scores) != len(indptr) - 1:
        raise ValueError(f"base {base.shape} and scores {scores.shape} do not fit {len(indptr) - 1} rows.")
    if scores.size == 0:
        return 1, 0.0
    order = order or rows_by_length(indptr)
    columns = scores.shape[1] if scores.ndim == 2 else 1
    sources, probabilities, base = map(cupy.ascontiguousarray, (sources, probabilities, base))
    current = cupy.ascontiguousarray(scores)
    other = cupy.empty_like(current)
    width = _width(columns, base, current, other)
    function = cuda_function(_SOURCE, f"walk_{dtype.name}_{width}", cooperative=True)
    blocks = _blocks(function, len(indptr) - 1, len(sources), -(-columns // width))
    partial = cupy.empty(max(1, len(order.segment_row) * columns), dtype=dtype)
    outcome = cupy.empty(3, dtype=cupy.float64)
    function(
        (blocks,),
        (THREADS,),
        (
            sources,
            probabilities,
            base,
            current,
            other,
            order.rows,
            order.firsts,
            order.lengths,
            order.starts,
            order.segment_row,
            order.first_segment,
            cupy.int64(len(order.segment_row)),
            partial,
            cupy.empty(2 * blocks * columns, dtype=cupy.float64),
            outcome,
            cupy.int64(columns),
            cupy.float64(damping),
            cupy.float64(tol),
            cupy.int32(max_iter),
            cupy.int32(1 if blocks * columns <= SUMS_AT_EVERY_ITERATION else 8),
            cupy.int32(undirected),
        ),
    )
    iterations, residual, in_other = outcome.get().tolist()
    found = other if in_other else current
    if found is not scores:
        scores[...] = found
    return int(iterations), residual


def _width(columns: int, *arrays: Array) -> int:
    """How many columns a lane holds: as many as 16 bytes take, where columns and memory divide so."""
    most = 16 // arrays[0].itemsize
    for width in (4, 2):
        bytes_a_lane = width * arrays[0].itemsize
        if width <= most and columns % width == 0 and not any(a.data.ptr % bytes_a_lane for a in arrays):
            return width
    return 1


def _blocks(function: Any, rows: int, links: int, lanes: int) -> int:
    """As many blocks as have work, and no more than the device holds at once."""
    device = cupy.cuda.Device()
    resident = cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(function.kernel.ptr, THREADS, 0)
    # A lane takes four links of a row, and at least one row.
    wanted = -(-(rows + links // 4) * lanes // THREADS)
    return int(max(1, min(wanted, resident * device.attributes["MultiProcessorCount"])))
