"""Each point's value from the samples around it, compiled."""

from __future__ import annotations

import numpy as np

from gpu.arrays import Floats, Integers
from gpu.compiling import kernel
from gpu.tensors.rows import value_1_2, value_1_4, value_2_2, value_2_4, value_4_2, value_4_4

MIRROR, NEAREST, CONSTANT = range(3)

_BATCH = 64
"""Points whose distances are worked out together, as vectors."""


@kernel
def moved_inside(place: float, length: int, mode: int) -> float:
    """The place in the tensor, or up to one step outside, at which a point outside is read."""
    if mode == NEAREST:  # one step outside all samples that count are the last one
        return min(max(place, -1.0), float(length))
    if length == 1:
        return 0.0
    period = 2.0 * (length - 1)
    place = abs(place)
    place -= period * np.floor(place / period)
    return max(0.0, min(period - place, place))


@kernel
def sample(
    values: Floats,
    places: Integers,
    points: Floats,
    address: int,
    offsets: Integers,
    starts: Integers,
    lengths: Integers,
    taps: Integers,
    inner: Integers,
    weights: Floats,
    mode: int,
    outside: float,
) -> bool:
    """Write the value at each of `points` to its one of `places` in `values`; whether all were finite.

    Args:
        address: Where the samples lie, of the dtype of `values`.
        offsets: Bytes from there to the samples that are read, axis after axis.
        starts: Where in `offsets` a point at 0 finds its samples, for each of four axes.
        lengths: Of the whole tensor along each axis; 1 where there is no such axis.
        taps: Samples that count along each axis: 4, 2, or 1 for an axis that is not there.
        inner: The first and the last sample along the last axis that have all their neighbours.
        weights: Shape (9, 4, 4), as `rows` reads them.
        mode: What a point outside means; `outside` is its value if it is CONSTANT.
    """
    missing = 4 - points.shape[1]
    firsts = np.zeros((4, _BATCH), dtype=np.int64)
    t = np.zeros((4, _BATCH), dtype=values.dtype)
    sides = np.zeros(_BATCH, dtype=np.int64)
    away = np.zeros(_BATCH, dtype=np.uint8)
    found = np.empty(_BATCH, dtype=values.dtype)
    for axis in range(missing):
        firsts[axis] = starts[axis]
    low, high = inner[0], inner[1]
    finite = True
    for begin in range(0, len(points), _BATCH):
        count = min(_BATCH, len(points) - begin)
        any_away = False
        for axis in range(missing, 4):
            column = axis - missing
            last = float(lengths[axis] - 1)
            start = starts[axis]
            insiders = 0
            for p in range(count):
                place = points[begin + p, column]
                base = np.int64(place)
                t[axis, p] = place - base
                firsts[axis, p] = start + base
                insiders += (place >= 0.0) & (place <= last)
            if insiders == count:
                continue
            if not any_away:
                any_away = True
                away[:] = 0
            for p in range(count):
                place = points[begin + p, column]
                if not 0.0 <= place <= last:
                    finite = finite and np.isfinite(place)
                    away[p] = 1
                    place = moved_inside(place, lengths[axis], mode) if np.isfinite(place) else 0.0
                    base = np.int64(np.floor(place))
                    t[axis, p] = place - base
                    firsts[axis, p] = start + base
        for p in range(count):
            base = firsts[3, p] - starts[3]
            sides[p] = (base < low) * (low - base) + (base > high) * (base - high + 2)
        _weigh(found, count, address, offsets, firsts, t, sides, weights, taps)
        for p in range(count):
            gone = any_away and mode == CONSTANT and away[p]
            values[places[begin + p]] = outside if gone else found[p]
    return finite


@kernel
def _weigh(
    found: Floats,
    count: int,
    address: int,
    offsets: Integers,
    firsts: Integers,
    t: Floats,
    sides: Integers,
    weights: Floats,
    taps: Integers,
) -> None:
    a, b = taps[0], taps[1]
    if taps[3] == 4:
        if taps[2] == 4:
            for p in range(count):
                found[p] = value_4_4(address, offsets, firsts, t, sides, p, weights, a, b)
        elif taps[2] == 2:
            for p in range(count):
                found[p] = value_2_4(address, offsets, firsts, t, sides, p, weights, a, b)
        else:
            for p in range(count):
                found[p] = value_1_4(address, offsets, firsts, t, sides, p, weights, a, b)
    elif taps[2] == 4:
        for p in range(count):
            found[p] = value_4_2(address, offsets, firsts, t, sides, p, weights, a, b)
    elif taps[2] == 2:
        for p in range(count):
            found[p] = value_2_2(address, offsets, firsts, t, sides, p, weights, a, b)
    else:
        for p in range(count):
            found[p] = value_1_2(address, offsets, firsts, t, sides, p, weights, a, b)
