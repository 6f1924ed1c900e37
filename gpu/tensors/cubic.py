"""Values of a tensor between its samples, by cubic pieces along each axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from gpu.arrays import Array, Floats, Integers, array_namespace
from gpu.compiling import cuda_functions
from gpu.tensors.blocks import MODES, Basis, Block, Mode, block_of
from gpu.tensors.cells import count_cells, sample_cells, sort_by_cell
from gpu.tensors.sampling import sample
from gpu.threads import side_by_side

_CUDA = Path(__file__).with_suffix(".cu")
_THREADS = 128

_PART_POINTS = 1 << 16
_MANY_POINTS = 1 << 14
"""From here on points in no order are sorted first."""

_NEAR_BYTES = 1 << 19
"""A tensor that the processor's nearer caches hold needs no sorting."""

_CELL_BYTES, _MOST_CELLS = 40_000, 1 << 16


def interpolate(
    samples: Array,
    points: Array,
    *,
    basis: Basis = "keys",
    linear_axes: Sequence[int] = (),
    mode: Mode = "mirror",
    outside: float = 0.0,
) -> Array:
    """Values of a tensor at any points, from the 4 samples next to each along every axis.

    Args:
        samples: One to four axes, such as (T, Z, Y, X); float32 or float64; none of its lengths is 0.
        points: Shape (m, axes): float32 or float64 indices, so 0.5 lies between the first two samples.
        basis: `keys`: local cubic convolution (a = -1/2), which passes through the samples.
            `bspline`: cubic B-splines, whose coefficients `samples` must be: see `spline_coefficients`.
        linear_axes: Axes along which two samples are joined by a straight line instead.
        mode: What lies outside, in scipy.ndimage's words. `mirror`: the tensor reflected about its last
            samples. `nearest`: the last sample repeated. `constant`: a point outside is worth `outside`,
            and samples that a point inside needs from beyond the edge are mirrored. For `bspline` these
            are the formulas of scipy.ndimage.map_coordinates.

    Returns:
        Shape (m,), dtype of `samples`. On the CPU a point's value has the same bits whatever other
        points there are, and whether the tensor is cut into tiles.

    Raises:
        TypeError: Other dtypes, or NumPy mixed with CuPy.
        ValueError: Wrong shapes, unknown basis, mode or axis, or a point that is not finite.

    Source: Keys, IEEE Trans. ASSP 29(6), 1981; Unser, Aldroubi & Eden, IEEE Trans. SP 41(2), 1993.
    """
    xp = array_namespace(samples, points)
    points = checked_points(xp, points, samples.shape)
    block = block_of(
        samples, samples.shape, (0,) * samples.ndim, basis=basis, linear_axes=linear_axes, mode=mode
    )
    values = xp.empty(len(points), dtype=block.samples.dtype)
    sample_block(block, points, values, mode, outside)
    return values


def checked_points(xp: Any, points: Array, shape: tuple[int, ...]) -> Array:
    """The points as float64 rows.

    Raises:
        TypeError, ValueError: As `interpolate`.
    """
    if points.dtype.name not in ("float32", "float64"):
        raise TypeError(f"points must be float32 or float64, got {points.dtype}.")
    if not 1 <= len(shape) <= 4 or 0 in shape:
        raise ValueError(f"samples must have one to four axes, none of length 0, got {shape}.")
    if points.ndim != 2 or points.shape[1] != len(shape):
        raise ValueError(f"points must be of shape (m, {len(shape)}), got {points.shape}.")
    return xp.ascontiguousarray(points, dtype=xp.float64)


def sample_block(block: Block, points: Array, values: Array, mode: Mode, outside: float) -> None:
    """Write the value at each of `points`, float64, to `values`.

    Raises:
        ValueError: A point is not finite.
    """
    xp = array_namespace(points)
    if xp is not np:
        finite = _sample_cuda(block, points, values, mode, outside)
    elif len(points) < _MANY_POINTS or block.samples.nbytes <= _NEAR_BYTES:
        finite = _sample_in_order(block, points, values, mode, outside)
    else:
        cell = _cell(block)
        if _in_order(points, cell[4 - points.shape[1] :]):
            finite = _sample_in_order(block, points, values, mode, outside)
        else:
            finite = _sample_sorted(block, points, values, cell, mode, outside)
    if not finite:
        raise ValueError("points must be finite.")


def sorted_by_cell(
    points: Floats, lengths: Integers, cell: Integers, mode: Mode
) -> tuple[Floats, Integers, Integers, bool]:
    """The points cell after cell, their numbers, where each cell begins, and whether all were finite."""
    cells = -(-lengths // cell)
    number = math.prod(cells.tolist())
    step = max(_PART_POINTS, 4 * number)  # a table of counts takes no more than a fraction of the points
    parts = list(range(0, len(points), step))
    keys = np.empty(len(points), dtype=np.int64)
    counts = np.zeros((len(parts), number), dtype=np.int64)

    def count(part: int) -> bool:
        chosen = slice(part, part + step)
        return count_cells(
            points[chosen], lengths, cell, cells, MODES[mode], keys[chosen], counts[part // step]
        )

    finite = all(side_by_side(count, parts))
    begins = np.zeros(counts.shape[1] + 1, dtype=np.int64)
    np.cumsum(counts.sum(axis=0), out=begins[1:])
    ends = np.cumsum(counts, axis=0)
    ends += begins[:-1] - counts
    ordered, places = np.empty_like(points), np.empty(len(points), dtype=np.int64)

    def place(part: int) -> None:
        chosen = slice(part, part + step)
        sort_by_cell(points[chosen], part, keys[chosen], ends[part // step], ordered, places)

    side_by_side(place, parts)
    return ordered, places, begins, finite


def _sample_in_order(block: Block, points: Floats, values: Floats, mode: Mode, outside: float) -> bool:
    layout = block.layout

    def work(begin: int) -> bool:
        count = min(_PART_POINTS, len(points) - begin)
        return sample(
            values[begin : begin + count], np.arange(count), points[begin : begin + count],
            block.samples.ctypes.data, layout.offsets, layout.starts, layout.lengths, layout.taps,
            layout.inner, layout.weights, MODES[mode], outside,
        )  # fmt: skip

    return all(side_by_side(work, list(range(0, len(points), _PART_POINTS))))


def _sample_sorted(
    block: Block, points: Floats, values: Floats, cell: Integers, mode: Mode, outside: float
) -> bool:
    layout = block.layout
    ordered, places, begins, finite = sorted_by_cell(points, layout.lengths, cell, mode)
    cells = -(-layout.lengths // cell)
    cuts = np.searchsorted(begins, np.arange(_PART_POINTS, len(points), _PART_POINTS))
    bounds = [0, *np.unique(cuts).tolist(), len(begins) - 1]

    def work(part: tuple[int, int]) -> None:
        sample_cells(
            values, places, ordered, begins[part[0] : part[1] + 1], part[0], cell, cells,
            block.samples.ctypes.data, layout.offsets, layout.starts, layout.lengths, layout.taps,
            layout.inner, layout.weights, MODES[mode], outside,
        )  # fmt: skip

    if finite:
        side_by_side(work, list(pairwise(bounds)))
    return finite


def _sample_cuda(block: Block, points: Array, values: Array, mode: Mode, outside: float) -> bool:
    import cupy

    if len(points) == 0:
        return True
    layout = block.layout
    axes = np.concatenate([layout.starts, layout.lengths, layout.taps, layout.inner])
    not_finite = cupy.zeros(1, dtype=np.int32)
    run = cuda_functions(_CUDA).get_function(f"sample_{values.dtype.name}")
    run(
        (-(-len(points) // _THREADS),),
        (_THREADS,),
        (
            values, points, np.int64(len(points)), np.int32(points.shape[1]), block.samples,
            cupy.asarray(layout.offsets // values.itemsize), cupy.asarray(axes), cupy.asarray(layout.weights),
            np.int32(MODES[mode]), np.int32(mode == "constant"), values.dtype.type(outside), not_finite,
        ),
    )  # fmt: skip
    return not int(not_finite[0])


def _cell(block: Block) -> Integers:
    """Lengths of the cells whose samples, neighbours included, the nearest cache holds."""
    layout = block.layout
    cell = layout.lengths.copy()
    while math.prod(int(n) for n in cell + layout.taps - 1) * block.samples.itemsize > _CELL_BYTES:
        longest = 3 - int(np.argmax(cell[::-1]))
        cell[longest] = 1 << (int(cell[longest]) - 1).bit_length() - 1
    while math.prod(int(n) for n in -(-layout.lengths // cell)) > _MOST_CELLS:
        cell[3 - int(np.argmax((layout.lengths // cell)[::-1]))] *= 2
    return cell


def _in_order(points: Floats, cell: Integers) -> bool:
    """Whether most points of a sample lie in the cell of the one before, or next to it."""
    some = points[:: max(1, len(points) // 1024)][:1024]
    after = points[1 :: max(1, len(points) // 1024)][: len(some)]
    steps = np.abs(after - some[: len(after)]) <= cell
    return bool(np.mean(np.all(steps, axis=1)) > 0.5)
