"""The coefficients of the cubic B-spline that passes through a tensor's samples, found once for all of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gpu.arrays import Array, Floats, array_namespace
from gpu.compiling import cuda_functions, kernel
from gpu.threads import side_by_side

_POLE = np.sqrt(3.0) - 2.0
_GAIN = 6.0
_HORIZON = 64
"""Samples after which the pole's powers no longer count in float64."""

_COLUMNS = 64
"""Lines that are filtered side by side."""

_PART_BYTES = 1 << 22
_CUDA = Path(__file__).with_suffix(".cu")
_THREADS = 64


def spline_coefficients(
    tensor: Array, *, axes: Sequence[int] | None = None, out: Array | None = None
) -> Array:
    """The coefficients for `interpolate(…, basis="bspline")`, where the tensor is mirrored at its ends.

    A recursive filter runs forwards and backwards along each axis, over a strip of lines at a time, so
    tensor and result may be larger than memory. As scipy.ndimage.spline_filter with mode `mirror`.

    Args:
        tensor: Any axes, finite; float32 or float64. May be a numpy.memmap.
        axes: Those to filter; None: all. Leave out the `linear_axes` of the interpolation.
        out: Where to write, C-contiguous, float32 or float64; None: an array of the tensor's dtype.
            Along each axis the filter computes in float64.

    Returns:
        `out`, or the new array.

    Raises:
        TypeError: Other dtypes, or NumPy mixed with CuPy.
        ValueError: An axis that is not there or given twice, or an `out` that does not fit.

    Source: Unser, Aldroubi & Eden, IEEE Trans. Signal Processing 41(2), 1993.
    """
    xp = array_namespace(tensor) if out is None else array_namespace(tensor, out)
    out = xp.empty(tensor.shape, dtype=tensor.dtype.name) if out is None else out
    if {tensor.dtype.name, out.dtype.name} - {"float32", "float64"}:
        raise TypeError(f"tensor and out must be float32 or float64, got {tensor.dtype}, {out.dtype}.")
    if out.shape != tensor.shape or not out.flags.c_contiguous or not out.dtype.isnative:
        raise ValueError(
            f"out must be C-contiguous, of this machine's byte order and of shape {tensor.shape}."
        )
    chosen = range(tensor.ndim) if axes is None else [axis % max(1, tensor.ndim) for axis in axes]
    if len(set(chosen)) < len(chosen) or any(not -tensor.ndim <= a < tensor.ndim for a in axes or ()):
        raise ValueError(f"axes must be different axes of a tensor with {tensor.ndim}, got {axes}.")
    if xp is np and np.shares_memory(tensor, out):
        raise ValueError("out must not share memory with the tensor.")
    _copy(tensor, out)
    for axis in chosen:
        length = tensor.shape[axis]
        if length > 1 and out.size:
            lines = out.reshape(-1, length, int(np.prod(tensor.shape[axis + 1 :])))
            (_filter if xp is np else _filter_cuda)(lines)
    return out


def _copy(tensor: Array, out: Array) -> None:
    """Copy by parts, so that no more than a part need be in memory."""
    if tensor.ndim == 0:
        out[...] = tensor
        return
    row_bytes = max(1, tensor[:1].nbytes)
    rows = max(1, _PART_BYTES // row_bytes)
    for first in range(0, len(tensor), rows):
        out[first : first + rows] = tensor[first : first + rows]


def _filter(lines: Floats) -> None:
    """Filter along the middle one of three axes, in place."""
    groups, length, width = lines.shape
    if width == 1:  # lines lie one after the other: take several, as columns
        rows = max(_COLUMNS, _PART_BYTES // (8 * length))
        parts = [(slice(first, first + rows), slice(0, 1)) for first in range(0, groups, rows)]
        side_by_side(lambda part: _filter_rows(lines[part[0], :, 0]), parts)
        return
    step = max(1, _PART_BYTES // (8 * length * width))
    columns = max(_COLUMNS, _PART_BYTES // (8 * length))
    parts = [
        (slice(group, group + step), slice(first, first + columns))
        for group in range(0, groups, step)
        for first in range(0, width, columns)
    ]
    side_by_side(lambda part: _filter_columns(lines[part[0], :, part[1]]), parts)


@kernel
def _filter_strip(strip: Floats, length: int) -> None:
    """Filter along the first axis, each column by itself."""
    width = strip.shape[1]
    gain, pole = _GAIN, _POLE
    sums = np.zeros(width)
    if length <= _HORIZON:  # the mirrored line repeats within reach of the pole
        end = pole ** (length - 1)
        for c in range(width):
            sums[c] = strip[0, c] + end * strip[length - 1, c]
        power = pole
        for i in range(1, length - 1):
            factor = power + end * end / power
            for c in range(width):
                sums[c] += factor * strip[i, c]
            power *= pole
        for c in range(width):
            sums[c] /= 1.0 - end * end
    else:
        power = 1.0
        for i in range(_HORIZON):
            for c in range(width):
                sums[c] += power * strip[i, c]
            power *= pole
    for c in range(width):
        strip[0, c] = gain * sums[c]
    for i in range(1, length):
        for c in range(width):
            strip[i, c] = gain * strip[i, c] + pole * strip[i - 1, c]
    last = length - 1
    for c in range(width):
        strip[last, c] = (pole * strip[last - 1, c] + strip[last, c]) * (pole / (pole * pole - 1.0))
    for i in range(length - 2, -1, -1):
        for c in range(width):
            strip[i, c] = pole * (strip[i + 1, c] - strip[i, c])


@kernel
def _filter_columns(lines: Floats) -> None:
    groups, length, width = lines.shape
    strip = np.empty((length, _COLUMNS))
    for group in range(groups):
        for first in range(0, width, _COLUMNS):
            count = min(_COLUMNS, width - first)
            for i in range(length):
                for c in range(count):
                    strip[i, c] = lines[group, i, first + c]
            _filter_strip(strip[:, :count], length)
            for i in range(length):
                for c in range(count):
                    lines[group, i, first + c] = strip[i, c]


@kernel
def _filter_rows(lines: Floats) -> None:
    rows, length = lines.shape
    strip = np.empty((length, _COLUMNS))
    for first in range(0, rows, _COLUMNS):
        count = min(_COLUMNS, rows - first)
        for c in range(count):
            for i in range(length):
                strip[i, c] = lines[first + c, i]
        _filter_strip(strip[:, :count], length)
        for c in range(count):
            for i in range(length):
                lines[first + c, i] = strip[i, c]


def _filter_cuda(lines: Array) -> None:
    import cupy

    groups, length, width = lines.shape
    turned = width == 1  # neighbouring threads should read neighbouring numbers
    work = cupy.ascontiguousarray(lines[:, :, 0].T)[None] if turned else lines
    groups, _, width = work.shape
    run = cuda_functions(_CUDA).get_function(f"filter_{lines.dtype.name}")
    blocks = (-(-groups * width // _THREADS),)
    run(blocks, (_THREADS,), (work, np.int64(groups), np.int64(length), np.int64(width)))
    if turned:
        lines[:, :, 0] = work[0].T
