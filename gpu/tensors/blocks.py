"""Which samples count for a point, and how much, laid down in tables for all points of a tensor at once.

Every index is looked up, so that samples beyond the edge cost no more than others; along the last axis,
where four samples are read as one vector, samples that stand for several have their weights added up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from gpu.arrays import Array, Floats, Integers, array_namespace
from gpu.tensors.sampling import CONSTANT, MIRROR, NEAREST

Basis = Literal["keys", "bspline"]
Mode = Literal["mirror", "nearest", "constant"]

MODES = {"mirror": MIRROR, "nearest": NEAREST, "constant": CONSTANT}

HALO = 3
"""Samples that a block needs beyond the cells of its points, where the tensor has them."""

_POLYNOMIALS: dict[str, Floats] = {
    "keys": np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2,
    "bspline": np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6,
    "linear": np.array([[1, 0, 0, 0], [-1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]) / 1,
    "none": np.array([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]) / 1,
}
"""Row p gives each sample's factor of the distance to the power of p."""

_TAPS = {"none": 1, "linear": 2, "keys": 4, "bspline": 4}


@dataclass(frozen=True)
class Layout:
    """Where samples lie in memory and what they weigh: always four axes.

    Attributes: as `gpu.tensors.sampling.sample` describes them.
    """

    lengths: Integers
    taps: Integers
    starts: Integers
    offsets: Integers
    inner: Integers
    weights: Floats


@dataclass(frozen=True)
class Block:
    """A part of a tensor, or all of it, as the compiled kernels see it.

    Attributes:
        samples: Kept alive here; the kernels know its address.
    """

    samples: Array
    layout: Layout


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
        TypeError, ValueError: As `gpu.tensors.cubic.interpolate`.
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
    kinds = ("none",) * missing + tuple("linear" if axis in linear else basis for axis in range(axes))
    if shape[-1] < _TAPS[kinds[3]]:  # too short for a row of samples: write out what stands beyond its ends
        needed = _standing_in(shape[-1], _TAPS[kinds[3]], mode == "nearest") - origin[-1]
        samples = samples[..., xp.asarray(needed)]
    plain = samples.strides[-1] == samples.dtype.itemsize and samples.dtype.isnative
    if not (plain and xp is np and samples.flags.aligned):
        samples = xp.ascontiguousarray(samples, dtype=samples.dtype.name)
    layout = _layout(
        (1,) * missing + tuple(shape),
        (0,) * missing + tuple(origin),
        (0,) * missing + tuple(samples.strides),
        kinds,
        mode == "nearest",
        samples.dtype.name,
    )
    return Block(samples, layout)


@lru_cache(maxsize=64)
def _layout(
    lengths: tuple[int, ...],
    origin: tuple[int, ...],
    strides: tuple[int, ...],
    kinds: tuple[str, ...],
    edge: bool,
    dtype: str,
) -> Layout:
    """The tables, which no kernel writes, for samples along the last axis that lie side by side."""
    taps = [_TAPS[kind] for kind in kinds]
    last, row = lengths[3], taps[3]
    if last < row:
        rows, inner = np.arange(last + 2), (-1, last)
    else:
        rows = np.clip(np.arange(-1, last + 1) - (row // 2 - 1), 0, last - row) - origin[3]
        inner = (row // 2 - 1, last - 1 - row // 2)
    offsets = [
        (_standing_in(lengths[axis], taps[axis], edge) - origin[axis]) * strides[axis] for axis in range(3)
    ]
    offsets.append(rows * strides[3])
    starts = np.cumsum([1, *(len(part) for part in offsets)])[:4]
    polynomials = [_POLYNOMIALS[kind] for kind in kinds]
    polynomials += [_folded(polynomials[3], row, side, edge) for side in range(1, 6)]
    return Layout(
        np.array(lengths, dtype=np.int64),
        np.array(taps, dtype=np.int64),
        starts.astype(np.int64),
        np.concatenate(offsets).astype(np.int64),
        np.array(inner, dtype=np.int64),
        np.stack(polynomials).astype(dtype),
    )


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
