"""One pass over vectors: which centre each is nearest to, and what those of a centre add up to.

Sums are taken in float64 over fixed blocks of rows in a fixed number of lanes, and the lanes added
in order. So they depend neither on the threads nor on the chunks that the vectors came in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gpu.arrays import Array, Floats, Integers, array_namespace
from gpu.compiling import kernel
from gpu.threads import side_by_side
from gpu.vectors.chunks import ROUND_ROWS, Chunks, rounds
from gpu.vectors.products import BLOCK_ROWS, multiply, packed, widened
from gpu.vectors.registers import COLUMNS, largest

LANES = 8
"""Parts of a pass; at most as many threads are of use."""

_SPAN = ROUND_ROWS // LANES
"""Rows that a lane takes at a time; a whole number of blocks."""

_ARRAY_BYTES = 1 << 28
"""Products that array operations hold at a time."""

_NOT_FINITE = "A vector holds a number that is not finite, or too large."


@dataclass(frozen=True)
class Nearest:
    """Of one round of rows: the nearest centre of each, the next, and the squared distance to the first."""

    best: Array
    second: Array
    squares: Array


def totals(source: Chunks, centres: Array) -> tuple[Array, Array]:
    """Return how many rows are nearest to each centre, and their sums: (k,) and (k, d), float64.

    Of centres at equal distance, as rounded, the first counts.

    Raises:
        ValueError: A number that is not finite, or another d than that of the centres.
    """
    xp = array_namespace(centres)
    counts = xp.zeros(len(centres), xp.float64)
    sums = xp.zeros(centres.shape, xp.float64)
    if xp is not np:
        for rows in _pieces(source, centres):
            best = _products(rows, centres).argmax(axis=1)
            # A product with zeros and ones adds in the same order every time; atomic adding does not.
            mine = (best == xp.arange(len(centres))[:, None]).astype(xp.float32)
            counts += mine.sum(axis=1, dtype=xp.float64)
            sums += (mine @ rows).astype(xp.float64)
        if not bool(xp.isfinite(sums).all()):
            raise ValueError(_NOT_FINITE)
        return counts, sums
    panels, start = _laid_out(centres)
    lane_counts = np.zeros((LANES, len(centres)))
    lane_sums = np.zeros((LANES, *centres.shape))
    nobody, nothing = np.empty(0, np.int64), np.empty(0, np.float32)
    for rows in rounds(source):
        rows = _readable(rows, centres)

        def lane(number: int, rows: Floats = rows) -> bool:
            added = (lane_counts[number], lane_sums[number])
            return _lane(*_place(rows), number, centres, panels, start, *added, nobody, nobody, nothing)

        if not all(side_by_side(lane, range(LANES))):
            raise ValueError(_NOT_FINITE)
    for number in range(LANES):
        counts += lane_counts[number]
        sums += lane_sums[number]
    return counts, sums


def nearest(source: Chunks, centres: Array) -> Iterator[Nearest]:
    """Yield the nearest and the second nearest centre of the rows, round by round.

    With one centre alone the second is -1.

    Raises:
        ValueError: A number that is not finite, or another d than that of the centres.
    """
    xp = array_namespace(centres)
    if xp is not np:
        for rows in _pieces(source, centres):
            products = _products(rows, centres)
            best = products.argmax(axis=1)
            second = xp.full(len(rows), -1)
            if len(centres) > 1:
                products[xp.arange(len(rows)), best] = -xp.inf
                second = products.argmax(axis=1)
            squares = ((rows - centres[best]) ** 2).sum(axis=1)
            if not bool(xp.isfinite(squares).all()):
                raise ValueError(_NOT_FINITE)
            yield Nearest(best, second, squares)
        return
    panels, start = _laid_out(centres)
    for rows in rounds(source):
        rows = _readable(rows, centres)
        best, second = np.empty((2, len(rows)), np.int64)
        squares = np.empty(len(rows), np.float32)

        def lane(
            number: int,
            rows: Floats = rows,
            best: Integers = best,
            second: Integers = second,
            squares: Floats = squares,
        ) -> bool:
            added = (np.empty(0), np.empty((0, 0)))
            return _lane(*_place(rows), number, centres, panels, start, *added, best, second, squares)

        if not all(side_by_side(lane, range(LANES))):
            raise ValueError(_NOT_FINITE)
        yield Nearest(best, second, squares)


def _laid_out(centres: Floats) -> tuple[Floats, Floats]:
    """The centres in panels, and what makes the largest product that of the nearest centre."""
    panels = packed(centres)
    start = np.full(len(panels) * COLUMNS, -np.inf, np.float32)
    start[: len(centres)] = -0.5 * (centres.astype(np.float64) ** 2).sum(axis=1)
    return panels, start


def _readable(rows: Array, centres: Floats) -> Floats:
    if array_namespace(rows) is not np:
        raise TypeError("NumPy and CuPy arrays cannot be mixed in one call.")
    if rows.shape[1] != centres.shape[1]:
        raise ValueError(f"Vectors of {rows.shape[1]} dimensions, centres of {centres.shape[1]}.")
    found: Floats = np.asarray(rows)  # numba knows no memmap
    if found.strides[1] != found.itemsize or not found.dtype.isnative:
        found = np.ascontiguousarray(found, dtype=np.dtype(found.dtype.name))
    return found


def _place(rows: Floats) -> tuple[int, int, int, bool]:
    return rows.__array_interface__["data"][0], rows.strides[0], len(rows), rows.itemsize == 2


@kernel
def _lane(
    address: int,
    stride: int,
    rows: int,
    half: bool,
    lane: int,
    centres: Floats,
    panels: Floats,
    start: Floats,
    counts: Floats,
    sums: Floats,
    best: Integers,
    second: Integers,
    squares: Floats,
) -> bool:
    """Take every eighth span of the rows; return whether all numbers were finite.

    Counts and sums are added to where `counts` is not empty; `best`, `second` and `squares` are
    written where they are not.
    """
    size = centres.shape[1]
    block = np.empty((BLOCK_ROWS, size), np.float32)
    products = np.empty((BLOCK_ROWS, len(start)), np.float32)
    for span in range(lane * _SPAN, rows, LANES * _SPAN):
        for first in range(span, min(span + _SPAN, rows), BLOCK_ROWS):
            count = min(BLOCK_ROWS, min(span + _SPAN, rows) - first)
            widened(address + first * stride, stride, half, count, block)
            multiply(block.ctypes.data, block.strides[0], count, panels, start, products)
            for row in range(count):
                line = products.ctypes.data + row * products.strides[0]
                here = largest(line, len(start))
                if here < 0 or not np.isfinite(products[row, here]):
                    return False
                if len(counts):
                    counts[here] += 1
                    for at in range(size):
                        sums[here, at] += block[row, at]
                if len(best):
                    square = np.float32(0.0)
                    for at in range(size):
                        apart = block[row, at] - centres[here, at]
                        square += apart * apart
                    squares[first + row] = square
                    best[first + row] = here
                    products[row, here] = -np.inf
                    second[first + row] = largest(line, len(start))
    return True


def _pieces(source: Chunks, centres: Array) -> Iterator[Array]:
    """Rows as float32, so few that their products with the centres fit."""
    xp = array_namespace(centres)
    piece = max(1, _ARRAY_BYTES // (4 * (len(centres) + centres.shape[1])))
    for rows in rounds(source):
        array_namespace(rows, centres)
        if rows.shape[1] != centres.shape[1]:
            raise ValueError(f"Vectors of {rows.shape[1]} dimensions, centres of {centres.shape[1]}.")
        for first in range(0, len(rows), piece):
            yield rows[first : first + piece].astype(xp.float32)


def _products(rows: Array, centres: Array) -> Array:
    return rows @ centres.T - 0.5 * (centres * centres).sum(axis=1)
