"""A tensor at several resolutions, each level half as fine as the one before and of the same mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpu.arrays import Array, Floats, array_namespace
from gpu.compiling import kernel
from gpu.threads import side_by_side

_PART_BYTES = 1 << 20


@dataclass(frozen=True)
class Pyramid:
    """The levels of a tensor, the tensor itself first.

    Attributes:
        levels: Arrays of one dtype.
    """

    levels: tuple[Array, ...]

    def scale(self, level: int) -> tuple[float, ...]:
        """Samples of a level for each sample of the tensor, along each axis.

        What has index i in the tensor has index (i + 0.5) * scale - 0.5 in the level.
        """
        fine, coarse = self.levels[0].shape, self.levels[level].shape
        return tuple(b / a for a, b in zip(fine, coarse, strict=True))

    def level_for(self, zoom: float) -> int:
        """The coarsest level that still has a sample for each point shown.

        Args:
            zoom: Points shown for each sample of the tensor: 0.25 shows every fourth.

        Raises:
            ValueError: `zoom` is not a positive number.
        """
        if not 0 < zoom < math.inf:
            raise ValueError(f"A zoom is a positive number, got {zoom}.")
        steps = -math.log2(zoom)
        # A zoom that was computed as a power of two may be off by a rounding.
        return max(0, min(len(self.levels) - 1, math.floor(steps + 1e-9)))


def pyramid(tensor: Array, *, axes: Sequence[int], levels: int | None = None) -> Pyramid:
    """Halve a tensor along `axes` again and again.

    Args:
        tensor: float16, float32 or float64, none of its lengths 0. Not modified; it is level 0.
        axes: Those that get coarser: Z, Y and X of (T, Z, Y, X), say.
        levels: How many at most, `tensor` included; None: until each of `axes` has one sample.

    Raises:
        TypeError: Another dtype.
        ValueError: An axis that is not there or given twice, a length of 0, or no level asked for.
    """
    if levels is not None and levels < 1:
        raise ValueError(f"At least one level is needed, got {levels}.")
    chosen = _checked_axes(tensor, axes)
    found = [tensor]
    while any(found[-1].shape[axis] > 1 for axis in chosen) and (levels is None or len(found) < levels):
        found.append(halved(found[-1], axes=chosen))
    return Pyramid(tuple(found))


def halved(tensor: Array, *, axes: Sequence[int]) -> Array:
    """Average neighbours along `axes`, so that each length n > 1 becomes n // 2; the mean stays.

    An even axis is averaged in pairs. An odd one, n = 2 m + 1, is averaged over m equal stretches of
    2 + 1/m samples: sample j of the result is ((m - j) a + m b + (j + 1) c) / n of the samples a, b, c
    from 2 j on, so each sample weighs the same in all.

    Args:
        tensor: float16, float32 or float64; float16 is averaged in float32.

    Returns:
        The same dtype, C-contiguous.

    Raises:
        TypeError, ValueError: As `pyramid`.

    Source: Guthe & Heckbert, Non-Power-of-Two Mipmapping, NVIDIA 2005.
    """
    xp = array_namespace(tensor)
    chosen = [axis for axis in _checked_axes(tensor, axes) if tensor.shape[axis] > 1]
    if not chosen:
        return tensor.copy(order="C")
    work = xp.ascontiguousarray(tensor, dtype=xp.float32 if tensor.dtype == xp.float16 else tensor.dtype.name)
    for axis in chosen:
        length = work.shape[axis]
        before, after = work.shape[:axis], work.shape[axis + 1 :]
        lines = work.reshape(math.prod(before), length, math.prod(after))
        work = (_halved if xp is np else _halved_by_slices)(lines, length // 2)
        work = work.reshape(*before, length // 2, *after)
    return xp.asarray(work, dtype=tensor.dtype.name)


def _checked_axes(tensor: Array, axes: Sequence[int]) -> list[int]:
    array_namespace(tensor)
    if tensor.dtype.name not in ("float16", "float32", "float64"):
        raise TypeError(f"tensor must be float16, float32 or float64, got {tensor.dtype}.")
    if 0 in tensor.shape:
        raise ValueError(f"No axis may have length 0, got {tensor.shape}.")
    chosen = {axis + tensor.ndim if axis < 0 else axis for axis in axes}
    if len(chosen) < len(axes) or not chosen <= set(range(tensor.ndim)):
        raise ValueError(f"axes must be different axes of a tensor with {tensor.ndim}, got {tuple(axes)}.")
    return sorted(chosen)


def _halved_by_slices(lines: Array, half: int) -> Array:
    xp = array_namespace(lines)
    length = lines.shape[1]
    if length % 2 == 0:
        part = lines.dtype.type(0.5)
        return part * lines[:, 0::2] + part * lines[:, 1::2]
    place = xp.arange(half, dtype=lines.dtype)[None, :, None]
    part = lines.dtype.type(half / length)
    first, last = (half - place) / length, (place + 1) / length
    return first * lines[:, 0:-2:2] + part * lines[:, 1:-1:2] + last * lines[:, 2::2]


def _halved(lines: Floats, half: int) -> Floats:
    groups, length, width = lines.shape
    out = np.empty((groups, half, width), dtype=lines.dtype)
    run = _halve_rows if width == 1 else _halve_lines
    if groups > 1:
        step = max(1, _PART_BYTES // (length * width * lines.itemsize))
        parts = [(slice(first, first + step), slice(None)) for first in range(0, groups, step)]
    else:
        step = max(1, _PART_BYTES // (length * lines.itemsize))
        parts = [(slice(None), slice(first, first + step)) for first in range(0, width, step)]
    side_by_side(lambda part: run(lines[part[0], :, part[1]], out[part[0], :, part[1]]), parts)
    return out


@kernel
def _halve_lines(lines: Floats, out: Floats) -> None:
    groups, half, width = out.shape
    number, length = out.dtype.type, lines.shape[1]
    part = number(half / length)
    for group in range(groups):
        for j in range(half):
            if length == 2 * half:
                for c in range(width):
                    out[group, j, c] = part * lines[group, 2 * j, c] + part * lines[group, 2 * j + 1, c]
                continue
            first, last = number((half - j) / length), number((j + 1) / length)
            for c in range(width):
                out[group, j, c] = (
                    first * lines[group, 2 * j, c]
                    + part * lines[group, 2 * j + 1, c]
                    + last * lines[group, 2 * j + 2, c]
                )


@kernel
def _halve_rows(lines: Floats, out: Floats) -> None:
    groups, half, _ = out.shape
    number, length = out.dtype.type, lines.shape[1]
    part = number(half / length)
    for group in range(groups):
        if length == 2 * half:
            for j in range(half):
                out[group, j, 0] = part * lines[group, 2 * j, 0] + part * lines[group, 2 * j + 1, 0]
            continue
        for j in range(half):
            out[group, j, 0] = (
                number((half - j) / length) * lines[group, 2 * j, 0]
                + part * lines[group, 2 * j + 1, 0]
                + number((j + 1) / length) * lines[group, 2 * j + 2, 0]
            )
