"""Every row times every column of a matrix that is packed once and used for many rows.

Unlike a call of BLAS this is part of the kernel around it: the products of a few rows are looked at
while they are in the cache, and no second set of threads waits on the same cores.
"""

from __future__ import annotations

import numpy as np

from gpu.arrays import Floats
from gpu.compiling import kernel
from gpu.vectors.registers import COLUMNS, ROWS, copy, tile, tile_of_one, widen

BLOCK_ROWS = 16 * ROWS
"""Rows whose products a kernel holds at a time."""

_DEPTH = 128
"""Rows of a panel that are used together: with `COLUMNS` floats they fill two thirds of an L1 cache."""


def packed(columns: Floats) -> Floats:
    """Lay (m, d) columns out as panels of shape (panels, d, COLUMNS), the last filled up with zeros."""
    count, length = columns.shape
    panels = np.zeros((-(-count // COLUMNS), length, COLUMNS), np.float32)
    for panel, first in zip(panels, range(0, count, COLUMNS), strict=True):
        part = columns[first : first + COLUMNS]
        panel[:, : len(part)] = part.T
    return panels


@kernel
def widened(address: int, stride: int, half: bool, rows: int, scratch: Floats) -> None:
    """Copy rows of float16 (`half`) or float32 into `scratch`, as float32."""
    for row in range(rows):
        at, to = address + row * stride, scratch.ctypes.data + row * scratch.strides[0]
        if half:
            widen(at, to, scratch.shape[1])
        else:
            copy(at, to, scratch.shape[1])


@kernel
def multiply(address: int, stride: int, rows: int, panels: Floats, start: Floats, products: Floats) -> None:
    """Set `products[row, column]` for `rows` rows of float32 that lie `stride` bytes apart.

    To each product `start[column]` is added. It depends on its row and its column alone, not on
    their places.
    """
    products[:rows] = start
    length = panels.shape[1]
    for depth in range(0, length, _DEPTH):
        deep = min(_DEPTH, length - depth)
        for panel in range(len(panels)):
            column = panels.ctypes.data + panel * panels.strides[0] + depth * panels.strides[1]
            for first in range(0, rows - ROWS + 1, ROWS):
                tile(
                    address + first * stride + 4 * depth,
                    stride,
                    column,
                    deep,
                    products.ctypes.data + first * products.strides[0] + 4 * COLUMNS * panel,
                    products.strides[0],
                )
            for row in range(rows - rows % ROWS, rows):
                place = products.ctypes.data + row * products.strides[0] + 4 * COLUMNS * panel
                tile_of_one(address + row * stride + 4 * depth, stride, column, deep, place, 0)
