"""A sparse matrix in slices of as many rows as a vector has lanes, so that one gather serves them all.

Rows of like length share a slice (SELL-C-σ, C being the lanes); a row of very many links is a slice of
its own, its links spread over the lanes.

Source: Kreutzer, Hager, Wellein, Fehske & Bishop 2014, SIAM J. Sci. Comput. 36(5).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gpu.arrays import Floats, Integers
from gpu.compiling import kernel
from gpu.simd import LANES

WIDE = 128
"""Links from which a row is a slice of its own."""

WINDOW = 16_384
"""Rows that are sorted by length together: neighbours stay near, so that a gather meets the cache."""


@dataclass(frozen=True, eq=False)
class Slices:
    """A square sparse matrix, its rows and columns both in the order `order`.

    Row i of it is row `order[i]` of the original matrix. Vectors have `padded` entries, those past
    the rows being zero. The first `wide` rows are slices of their own.

    Attributes:
        order: Shape (rows,), uint32.
        place: Shape (rows,), int32, the inverse of `order`.
        wide_starts, starts: Shape (slices + 1,), int64: where the slices of one row, and of several,
            begin, in steps of as many links as there are lanes.
        values, columns: Shape (steps * lanes,), float32 or float64, and int32.
    """

    order: Integers
    place: Integers
    wide_starts: Integers
    starts: Integers
    values: Floats
    columns: Integers

    @property
    def wide(self) -> int:
        """How many rows are a slice of their own."""
        return len(self.wide_starts) - 1

    @cached_property
    def padded(self) -> int:
        """The length of a vector."""
        return self.wide + (len(self.starts) - 1) * LANES


def slice_rows(lengths: Integers, dtype: type[np.floating]) -> Slices:
    """Lay out slices for rows of the given lengths, all values and columns zero, to be filled.

    Args:
        lengths: Shape (rows,), int64: the links of each row.
        dtype: numpy.float32 or numpy.float64.
    """
    order, place, wide_starts, starts = _planned(lengths, LANES, WIDE, WINDOW)
    steps = int(starts[-1])
    return Slices(
        order, place, wide_starts, starts, np.zeros(steps * LANES, dtype), np.zeros(steps * LANES, np.int32)
    )


@kernel
def _planned(
    lengths: Integers, lanes: int, wide: int, window: int
) -> tuple[Integers, Integers, Integers, Integers]:
    """Order the rows, long ones first, the others by falling length within each window."""
    rows = len(lengths)
    order = np.empty(rows, np.uint32)
    place = np.empty(rows, np.int32)
    found = 0
    for row in range(rows):
        if lengths[row] >= wide:
            order[found] = row
            found += 1
    wide_starts = np.zeros(found + 1, np.int64)
    for i in range(found):
        wide_starts[i + 1] = wide_starts[i] + (lengths[order[i]] + lanes - 1) // lanes
    wide_rows = found
    for first in range(0, rows, window):
        last = min(first + window, rows)
        begins = np.zeros(wide + 1, np.int64)
        for row in range(first, last):
            if lengths[row] < wide:
                begins[wide - 1 - lengths[row] + 1] += 1
        for length in range(wide):
            begins[length + 1] += begins[length]
        for row in range(first, last):
            if lengths[row] < wide:
                at = found + begins[wide - 1 - lengths[row]]
                begins[wide - 1 - lengths[row]] += 1
                order[at] = row
        found += begins[wide - 1]
    for i in range(rows):
        place[order[i]] = i
    slices = (rows - wide_rows + lanes - 1) // lanes
    starts = np.zeros(slices + 1, np.int64)
    starts[0] = wide_starts[-1]
    for piece in range(slices):
        longest = 0
        first = wide_rows + piece * lanes
        for i in range(first, min(first + lanes, rows)):
            longest = max(longest, lengths[order[i]])
        starts[piece + 1] = starts[piece] + longest
    return order, place, wide_starts, starts


@kernel
def first_and_stride(row: int, wide_starts: Integers, starts: Integers, lanes: int) -> tuple[int, int]:
    """Where the links of a row of the new order begin in `values`, and how far apart they are."""
    wide = len(wide_starts) - 1
    if row < wide:
        return wide_starts[row] * lanes, 1
    return starts[(row - wide) // lanes] * lanes + (row - wide) % lanes, lanes
