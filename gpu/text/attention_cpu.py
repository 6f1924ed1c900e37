"""On the CPU as many queries as a panel has columns meet all keys of their text at a time.

Their scores stay in the cache, a column each, so that the softmax runs along registers and not
across them, and neither keys nor values need be moved.
"""

from __future__ import annotations

import math

import numpy as np

from gpu.arrays import Floats, Integers
from gpu.compiling import kernel
from gpu.text.softmax_cpu import softmax_columns
from gpu.text.tiles import COLUMNS, multiply_panel


@kernel
def rotate(qkv: Floats, places: Integers, turns: Floats, heads: int, width: int) -> None:
    """Turn queries and keys by their places: number i of a head with number i + half of it.

    Args:
        qkv: (rows, at least 3 * width), float32; the first 2 * width numbers of a row change.
        places: (rows,), the place of each row's token.
        turns: (longest text, head width): cosines, then sines.

    Source: Su et al. 2021, arXiv 2104.09864.
    """
    size = width // heads
    half = size // 2
    for row in range(len(qkv)):
        turn = turns[places[row]]
        for head in range(2 * heads):
            first, second = qkv[row, head * size : head * size + half], qkv[row, head * size + half :]
            for i in range(half):
                x, y = first[i], second[i]
                first[i] = x * turn[i] - y * turn[half + i]
                second[i] = y * turn[i] + x * turn[half + i]


@kernel
def attend(qkv: Floats, starts: Integers, first: int, last: int, heads: int, width: int, out: Floats) -> None:
    """Set `out` to what the tokens of the rows from `first` to before `last` gather from their texts.

    Args:
        qkv: (tokens, at least 3 * width), float32, C order, the texts one after the other.
        starts: (texts + 1,): where each text begins, and where the last one ends.
        heads: Of width / heads numbers each.
        out: (last - first, at least width), float32, C order.
    """
    size = width // heads
    factor = np.float32(math.log2(math.e) / math.sqrt(size))
    stride, flat = qkv.shape[1], qkv.reshape(-1)
    text = np.searchsorted(starts, first, side="right") - 1
    queries, mixed = np.zeros(size * COLUMNS, np.float32), np.empty(size * COLUMNS, np.float32)
    totals, zeros = np.empty(COLUMNS, np.float32), np.zeros(COLUMNS, np.float32)
    scores = np.empty(0, np.float32)
    while text < len(starts) - 1 and starts[text] < last:
        begin, end = starts[text], starts[text + 1]
        length = end - begin
        if len(scores) < length * COLUMNS:
            scores = np.empty(length * COLUMNS, np.float32)
        for head in range(heads):
            key = begin * stride + width + head * size
            for row in range(max(first, begin), min(last, end), COLUMNS):
                count = min(COLUMNS, min(last, end) - row)
                for j in range(count):
                    query = flat[(row + j) * stride + head * size : (row + j) * stride + (head + 1) * size]
                    for i in range(size):
                        queries[i * COLUMNS + j] = query[i] * factor
                multiply_panel(
                    flat, key, stride, 1, length, size, queries, 0, 0, zeros, 0, scores, 0, COLUMNS
                )  # fmt: skip
                softmax_columns(scores, length, totals)
                multiply_panel(
                    flat, key + width, 1, stride, size, length, scores, 0, 0, zeros, 0, mixed, 0, COLUMNS
                )  # fmt: skip
                for j in range(count):
                    share = np.float32(1.0) / totals[j]
                    to = out[row - first + j, head * size : (head + 1) * size]
                    for i in range(size):
                        to[i] = mixed[i * COLUMNS + j] * share
        text += 1
