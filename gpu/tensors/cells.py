"""Points are sorted by the cell they lie in, so that the samples of a cell are read from far away once.

A cell's samples are copied side by side: those of a point lie a power of two apart in most tensors, and
then push one another out of the nearest cache.
"""

from __future__ import annotations

import numpy as np

from gpu.arrays import Floats, Integers
from gpu.compiling import kernel
from gpu.tensors.rows import copy_row
from gpu.tensors.sampling import NEAREST, moved_inside, sample

_SAMPLES_A_POINT, _MOST_SAMPLES = 64, 1 << 16
"""A cell with more samples than this for each of its points, or in all, is not worth copying."""


@kernel
def count_cells(
    points: Floats,
    lengths: Integers,
    cell: Integers,
    cells: Integers,
    mode: int,
    keys: Integers,
    counts: Integers,
) -> bool:
    """Write each point's cell to `keys` and add it to `counts`; whether all points were finite.

    Args:
        lengths, cell, cells: For each of four axes: of the tensor, of a cell, and how many cells.
    """
    missing = 4 - points.shape[1]
    finite = True
    for p in range(len(points)):
        key = 0
        for axis in range(missing, 4):
            place = points[p, axis - missing]
            if not 0.0 <= place <= lengths[axis] - 1:
                finite = finite and np.isfinite(place)
                place = moved_inside(place, lengths[axis], mode) if np.isfinite(place) else 0.0
            base = min(max(np.int64(place), 0), lengths[axis] - 1)
            key = key * cells[axis] + base // cell[axis]
        keys[p] = key
        counts[key] += 1
    return finite


@kernel
def sort_by_cell(
    points: Floats, first: int, keys: Integers, ends: Integers, ordered: Floats, places: Integers
) -> None:
    """Copy the points, of which `points[0]` is number `first`, to where their cells have room.

    Args:
        ends: For each cell, where its next point goes; moved on.
    """
    for p in range(len(points)):
        place = ends[keys[p]]
        ends[keys[p]] = place + 1
        places[place] = first + p
        for axis in range(points.shape[1]):
            ordered[place, axis] = points[p, axis]


@kernel
def sample_cells(
    values: Floats,
    places: Integers,
    points: Floats,
    begins: Integers,
    first_cell: int,
    cell: Integers,
    cells: Integers,
    address: int,
    offsets: Integers,
    starts: Integers,
    lengths: Integers,
    taps: Integers,
    inner: Integers,
    weights: Floats,
    mode: int,
    outside: float,
) -> None:
    """As `sample`, for points sorted by cell: those of cell `first_cell + i` begin at `begins[i]`."""
    size = values.itemsize
    missing = 4 - points.shape[1]
    near = np.zeros(4, dtype=np.int64)
    widths = np.zeros(4, dtype=np.int64)
    near_starts = np.zeros(4, dtype=np.int64)
    near_offsets = np.zeros(np.sum(cell) + 24, dtype=np.int64)
    room = 1
    for axis in range(4):
        room *= cell[axis] + taps[axis] - 1 + 2 * (mode == NEAREST)
    copied = np.empty(min(room, _MOST_SAMPLES) + 16, dtype=values.dtype)
    for i in range(len(begins) - 1):
        begin, end = begins[i], begins[i + 1]
        if begin == end:
            continue
        if room > _MOST_SAMPLES or room > _SAMPLES_A_POINT * (end - begin):
            sample(
                values, places[begin:end], points[begin:end], address, offsets, starts, lengths, taps, inner,
                weights, mode, outside,
            )  # fmt: skip
            continue
        rest = first_cell + i
        for axis in range(3, -1, -1):
            near[axis] = (rest % cells[axis]) * cell[axis]
            rest //= cells[axis]
            widths[axis] = min(cell[axis], lengths[axis] - near[axis])
            if mode == NEAREST and axis >= missing:  # a point may lie up to a step outside
                widths[axis] += (near[axis] == 0) + (near[axis] + widths[axis] == lengths[axis])
                near[axis] -= near[axis] == 0
        begin_x = offsets[starts[3] + near[3]]
        end_x = offsets[starts[3] + near[3] + widths[3] - 1]
        row = (end_x - begin_x) // size + taps[3]
        place = 0
        stride = row * size
        for axis in range(2, -1, -1):
            near_starts[axis] = place - near[axis]
            for k in range(widths[axis] + taps[axis] - 1):
                near_offsets[place] = k * stride
                place += 1
            stride *= widths[axis] + taps[axis] - 1
        near_starts[3] = place - near[3]
        for k in range(widths[3]):
            near_offsets[place] = offsets[starts[3] + near[3] + k] - begin_x
            place += 1
        to = copied.ctypes.data
        for t in range(widths[0] + taps[0] - 1):
            for z in range(widths[1] + taps[1] - 1):
                plane = address + begin_x
                plane += offsets[starts[0] + near[0] + t] + offsets[starts[1] + near[1] + z]
                for y in range(widths[2] + taps[2] - 1):
                    copy_row(to, plane + offsets[starts[2] + near[2] + y], row * size)
                    to += row * size
        sample(
            values, places[begin:end], points[begin:end], copied.ctypes.data, near_offsets, near_starts,
            lengths, taps, inner, weights, mode, outside,
        )  # fmt: skip
