"""Values of a tensor between its samples, by cubic pieces along each axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gpu.arrays import Array, Floats, Integers, array_namespace
from gpu.compiling import cuda_functions
from gpu.tensors.cells import count_cells, sample_cells, sort_by_cell
from gpu.tensors.sampling import CONSTANT, MIRROR, NEAREST, sample
from gpu.threads import side_by_side

Basis = Literal["keys", "bspline"]
Mode = Literal["mirror", "nearest", "constant"]

MODES = {"mirror": MIRROR, "nearest": NEAREST, "constant": CONSTANT}

_CUDA = Path(__file__).with_suffix(".cu")
_THREADS = 128

HALO = 3
"""Samples that a block needs beyond the cells of its points, where the tensor has them."""

_POLYNOMIALS = {
    "keys": np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2,
    "bspline": np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6,
    "linear": np.array([[1, 0, 0, 0], [-1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]) / 1,
    "none": np.array([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]) / 1,
}
"""Row p gives each sample's factor of the distance to the power of p."""

_PART_POINTS = 1 << 16
_MANY_POINTS = 1 << 14
"""From here on points in no order are sorted first."""

_NEAR_BYTES = 1 << 19
"""A tensor that the processor's nearer caches hold needs no sorting."""

_CELL_BYTES, _MOST_CELLS = 40_000, 1 << 16


@dataclass(frozen=True)
class Block:
    """A part of a tensor, or all of it, as the compiled kernels see it: always four axes.

    Attributes:
        samples: Kept alive here; the kernels know its address.
        lengths, taps, starts, offsets, inner, weights: As `gpu.tensors.sampling.sample` describes them.
    """

    samples: Array
    lengths: Integers
    taps: Integers
    starts: Integers
    offsets: Integers
    inner: Integers
    weights: Floats


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
    values = xp.empty(len(points), dtype=samples.dtype)
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


def block_of(
    samples: Array,
    shape: tuple[int, ...],
    origin: tuple[int, ...],
    *,
    basis: Basis,
    linear_axes: Iterable[int],
    mode: Mode,
) -> Block:
    """What the kernels need to read from `samples`, the part at `origin` of a tensor of `shape`.

    Raises:
        TypeError, ValueError: As `interpolate`.
    """
    xp, axes = array_namespace(samples), len(shape)
    if samples.dtype.name not in ("float32", "float64"):
        raise TypeError(f"samples must be float32 or float64, got {samples.dtype}.")
    if basis not in ("keys", "bspline") or mode not in MODES:
        raise ValueError(f"Unknown basis or mode: {basis!r}, {mode!r}.")
    linear = {axis + axes if axis < 0 else axis for axis in linear_axes}
    if not linear <= set(range(axes)):
        raise ValueError(f"linear_axes must be axes of a tensor with {axes}, got {sorted(linear)}.")
    missing = 4 - axes
    kinds = ["none"] * missing + ["linear" if axis in linear else basis for axis in range(axes)]
    taps = [{"none": 1, "linear": 2}.get(kind, 4) for kind in kinds]
    edge = mode == "nearest"
    lengths, origin = (1,) * missing + shape, (0,) * missing + origin
    last, base = lengths[3], origin[3]
    if last < taps[3]:  # too short for a row of samples: write out what stands beyond its ends
        samples = samples[..., xp.asarray(_standing_in(last, taps[3], edge) - base)]
        rows, inner = np.arange(last + 2), (-1, last)
    else:
        rows = np.clip(np.arange(-1, last + 1) - (taps[3] // 2 - 1), 0, last - taps[3]) - base
        inner = (taps[3] // 2 - 1, last - 1 - taps[3] // 2)
    size = samples.dtype.itemsize
    if samples.strides[-1] != size or xp is not np or not samples.flags.aligned:
        samples = xp.ascontiguousarray(samples)
    strides = (0,) * missing + tuple(samples.strides)
    offsets = [
        (_standing_in(lengths[axis], taps[axis], edge) - origin[axis]) * strides[axis] for axis in range(3)
    ] + [rows * size]
    starts = np.cumsum([1, *(len(part) for part in offsets)])[:4]
    polynomials: list[Floats] = [_POLYNOMIALS[kind] for kind in kinds]
    polynomials += [_folded(polynomials[3], taps[3], side, edge) for side in range(1, 6)]
    return Block(
        samples,
        np.array(lengths, dtype=np.int64),
        np.array(taps, dtype=np.int64),
        starts.astype(np.int64),
        np.concatenate(offsets).astype(np.int64),
        np.array(inner, dtype=np.int64),
        np.stack(polynomials).astype(samples.dtype),
    )


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
    parts = list(range(0, len(points), _PART_POINTS))
    keys = np.empty(len(points), dtype=np.int64)
    counts = np.zeros((len(parts), int(np.prod(cells))), dtype=np.int64)

    def count(part: int) -> bool:
        chosen = slice(part, part + _PART_POINTS)
        return count_cells(
            points[chosen], lengths, cell, cells, MODES[mode], keys[chosen], counts[part // _PART_POINTS]
        )

    finite = all(side_by_side(count, parts))
    begins = np.zeros(counts.shape[1] + 1, dtype=np.int64)
    np.cumsum(counts.sum(axis=0), out=begins[1:])
    ends = np.cumsum(counts, axis=0)
    ends += begins[:-1] - counts
    ordered, places = np.empty_like(points), np.empty(len(points), dtype=np.int64)

    def place(part: int) -> None:
        chosen = slice(part, part + _PART_POINTS)
        sort_by_cell(points[chosen], part, keys[chosen], ends[part // _PART_POINTS], ordered, places)

    side_by_side(place, parts)
    return ordered, places, begins, finite


def _sample_in_order(block: Block, points: Floats, values: Floats, mode: Mode, outside: float) -> bool:
    def work(begin: int) -> bool:
        count = min(_PART_POINTS, len(points) - begin)
        return sample(
            values[begin : begin + count], np.arange(count), points[begin : begin + count],
            block.samples.ctypes.data, block.offsets, block.starts, block.lengths, block.taps, block.inner,
            block.weights, MODES[mode], outside,
        )  # fmt: skip

    return all(side_by_side(work, list(range(0, len(points), _PART_POINTS))))


def _sample_sorted(
    block: Block, points: Floats, values: Floats, cell: Integers, mode: Mode, outside: float
) -> bool:
    ordered, places, begins, finite = sorted_by_cell(points, block.lengths, cell, mode)
    cells = -(-block.lengths // cell)
    cuts = np.searchsorted(begins, np.arange(_PART_POINTS, len(points), _PART_POINTS))
    bounds = [0, *np.unique(cuts).tolist(), len(begins) - 1]

    def work(part: tuple[int, int]) -> None:
        sample_cells(
            values, places, ordered, begins[part[0] : part[1] + 1], part[0], cell, cells,
            block.samples.ctypes.data, block.offsets, block.starts, block.lengths, block.taps, block.inner,
            block.weights, MODES[mode], outside,
        )  # fmt: skip

    if finite:
        side_by_side(work, list(pairwise(bounds)))
    return finite


def _sample_cuda(block: Block, points: Array, values: Array, mode: Mode, outside: float) -> bool:
    import cupy

    if len(points) == 0:
        return True
    layout = np.concatenate([block.starts, block.lengths, block.taps, block.inner])
    not_finite = cupy.zeros(1, dtype=np.int32)
    run = cuda_functions(_CUDA).get_function(f"sample_{values.dtype.name}")
    run(
        (-(-len(points) // _THREADS),),
        (_THREADS,),
        (
            values, points, np.int64(len(points)), np.int32(points.shape[1]), block.samples,
            cupy.asarray(block.offsets // values.itemsize), cupy.asarray(layout), cupy.asarray(block.weights),
            np.int32(MODES[mode]), np.int32(mode == "constant"), values.dtype.type(outside), not_finite,
        ),
    )  # fmt: skip
    return not int(not_finite[0])


def _cell(block: Block) -> Integers:
    """Lengths of the cells whose samples, neighbours included, the nearest cache holds."""
    cell = block.lengths.copy()
    while math.prod(int(n) for n in cell + block.taps - 1) * block.samples.itemsize > _CELL_BYTES:
        longest = 3 - int(np.argmax(cell[::-1]))
        cell[longest] = 1 << (int(cell[longest]) - 1).bit_length() - 1
    while math.prod(int(n) for n in -(-block.lengths // cell)) > _MOST_CELLS:
        cell[3 - int(np.argmax((block.lengths // cell)[::-1]))] *= 2
    return cell


def _in_order(points: Floats, cell: Integers) -> bool:
    """Whether most points of a sample lie in the cell of the one before, or next to it."""
    some = points[:: max(1, len(points) // 1024)][:1024]
    after = points[1 :: max(1, len(points) // 1024)][: len(some)]
    steps = np.abs(after - some[: len(after)]) <= cell
    return bool(np.mean(np.all(steps, axis=1)) > 0.5)


def _standing_in(length: int, taps: int, edge: bool) -> Integers:
    """The samples read for points from a step before the first sample to a step beyond the last."""
    return _mapped(np.arange(taps // -2, length + 1 + taps // 2), length, edge)


def _mapped(index: Integers, length: int, edge: bool) -> Integers:
    """The sample that stands at `index` outside the tensor."""
    if edge or length == 1:
        return np.clip(index, 0, length - 1)
    index = np.abs(index) % (2 * length - 2)
    return np.minimum(index, 2 * length - 2 - index)


def _folded(polynomials: Floats, taps: int, side: int, edge: bool) -> Floats:
    """The weights of a row's samples at an end, where one sample stands for several.

    Args:
        side: Steps from the first sample that lacks no neighbour; from 3 on, of the last but two steps more.
    """
    begin = (taps // 2 - 1) - side if side < 3 else taps // 2 + side - 3
    first = begin - (taps // 2 - 1)
    folded = np.zeros_like(polynomials)
    for tap, stands in enumerate(_mapped(np.arange(first, first + taps), taps, edge)):
        folded[:, stands] += polynomials[:, tap]
    return folded
