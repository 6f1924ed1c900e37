"""What an index of signs does on the CPU: code rows, and search through codes and vectors."""

from __future__ import annotations

import numpy as np

from gpu.arrays import Floats, Integers
from gpu.compiling import kernel
from gpu.vectors.codes import GROUP, gather, likely_limit, nearest_of
from gpu.vectors.nearest import cosine_of, length_of, offer, sort_heap
from gpu.vectors.products import BLOCK_ROWS, multiply, widened
from gpu.vectors.registers import (
    COLUMNS,
    dot_floats_alone,
    dot_halves_alone,
    prefetch,
    sum_where,
)

PART_ROWS = 64 * BLOCK_ROWS

_CHUNK_BYTES = 1 << 19
"""Coarse codes that the queries of a part are compared with in turn: they stay in the cache."""

_CODES_AHEAD, _VECTORS_AHEAD = 16, 8
"""Fine codes and vectors asked for before they are used."""

_STEPS = 4095
"""Steps that estimates are told apart by."""


@kernel
def encode(
    address: int,
    stride: int,
    half: bool,
    centre: Floats,
    panels: Floats,
    coarse: Integers,
    fine: Integers,
    scales: Floats,
) -> bool:
    """Write the codes and scales of rows; return whether all numbers were finite."""
    size = len(centre)
    rows = np.empty((BLOCK_ROWS, size), np.float32)
    turned = np.empty((BLOCK_ROWS, len(panels) * COLUMNS), np.float32)
    nothing = np.zeros(turned.shape[1], np.float32)
    for block in range(0, len(fine), BLOCK_ROWS):
        count = min(BLOCK_ROWS, len(fine) - block)
        widened(address + block * stride, stride, half, count, rows)
        for row in range(count):
            scales[block + row, 1] = length_of(rows[row])
            for at in range(size):
                rows[row, at] -= centre[at]
        multiply(rows.ctypes.data, rows.strides[0], count, panels, nothing, turned)
        for row in range(count):
            length = length_of(rows[row])
            if not np.isfinite(length):
                return False
            split = coarse.shape[1] * COLUMNS
            _signs(turned[row], coarse[block + row])
            _signs(turned[row, split:], fine[block + row])
            spread = np.float32(0.0)
            for at in range(size):
                spread += abs(turned[row, split + at])
            scales[block + row, 0] = length * length / spread if spread > 0 else np.float32(0.0)
    return True


@kernel
def _signs(numbers: Floats, code: Integers) -> None:
    for word in range(len(code)):
        found = np.uint64(0)
        for bit in range(64):
            found |= np.uint64(numbers[64 * word + bit] >= 0) << np.uint64(bit)
        code[word] = found


@kernel
def search(
    queries: Floats,
    address: int,
    stride: int,
    half: bool,
    centre: Floats,
    panels: Floats,
    coarse: Integers,
    fine: Integers,
    scales: Floats,
    shortlist: int,
    rescore: int,
    cosine: bool,
    scores: Floats,
    places: Integers,
) -> bool:
    """Write the best scores and places of each query; return whether all numbers were finite."""
    many, size = queries.shape
    nothing = np.zeros(len(panels) * COLUMNS, np.float32)
    words = coarse.shape[1]
    bits = 64 * words
    turned = np.empty((many, (len(panels) - words) * COLUMNS), np.float32)
    multiply(
        queries.ctypes.data, queries.strides[0], many, panels[words:], nothing[words * COLUMNS :], turned
    )
    codes = np.empty((many, words), np.uint64)
    straight = np.empty((many, words * COLUMNS), np.float32)
    moved = queries - centre
    multiply(moved.ctypes.data, moved.strides[0], many, panels[:words], nothing[: words * COLUMNS], straight)
    near = np.empty((many, 2 * shortlist + 2 * GROUP), np.int64)
    distances = np.empty(near.shape, np.int64)
    filled, limits = np.zeros(many, np.int64), np.zeros(many, np.int64)
    scores[:], places[:] = -np.inf, np.iinfo(np.int64).max
    for query in range(many):
        if not np.isfinite(length_of(queries[query])):
            return False
        _signs(straight[query], codes[query])
        limits[query] = likely_limit(coarse, codes[query], shortlist)
    chunk = max(1, _CHUNK_BYTES // coarse.strides[0])
    for first in range(0, len(coarse), chunk):
        last = min(first + chunk, len(coarse))
        for query in range(many):
            filled[query], limits[query] = gather(
                coarse, first, last, len(fine), codes[query], shortlist,
                filled[query], limits[query], near[query], distances[query],
            )  # fmt: skip
    for query in range(many):
        if filled[query] < shortlist:  # what the sample told was too little
            filled[query], _ = gather(
                coarse, 0, len(coarse), len(fine), codes[query], shortlist,
                0, bits, near[query], distances[query],
            )  # fmt: skip
        found, _ = nearest_of(shortlist, filled[query], bits, near[query], distances[query])
        product = np.float32(0.0)
        for at in range(size):
            product += queries[query, at] * centre[at]
        if found > rescore:
            _estimate(turned[query], product, fine, scales, cosine, near[query, :found], distances[query])
            found, _ = nearest_of(rescore, found, _STEPS, near[query], distances[query])
        if not _rescore(
            queries[query], address, stride, half, cosine, near[query, :found], scores[query], places[query]
        ):
            return False
    return True


@kernel
def _estimate(
    turned: Floats,
    product: np.float32,
    fine: Integers,
    scales: Floats,
    cosine: bool,
    near: Integers,
    distances: Integers,
) -> None:
    """Write how far each estimate lies below the best, in steps."""
    words = fine.shape[1]
    total = np.float32(0.0)
    for at in range(len(turned)):
        total += turned[at]
    estimates = np.empty(len(near), np.float32)
    best, worst = np.float32(-np.inf), np.float32(np.inf)
    for at in range(len(near)):
        if at + _CODES_AHEAD < len(near):
            place = near[at + _CODES_AHEAD]
            prefetch(fine.ctypes.data + place * fine.strides[0], fine.strides[0])
            prefetch(scales.ctypes.data + place * scales.strides[0], scales.strides[0])
        place = near[at]
        signed = sum_where(turned.ctypes.data, fine.ctypes.data + place * fine.strides[0], words)
        found = product + (np.float32(2.0) * signed - total) * scales[place, 0]
        if cosine and scales[place, 1] > 0:
            found /= scales[place, 1]
        estimates[at] = found
        best, worst = max(best, found), min(worst, found)
    step = np.float32(_STEPS) / (best - worst) if best > worst else np.float32(0.0)
    for at in range(len(near)):
        distances[at] = min(max(int((best - estimates[at]) * step), 0), _STEPS)


@kernel
def _rescore(
    query: Floats,
    address: int,
    stride: int,
    half: bool,
    cosine: bool,
    near: Integers,
    scores: Floats,
    places: Integers,
) -> bool:
    size = len(query)
    width = size * (2 if half else 4)
    length = length_of(query)
    wide = np.empty((1, size if half and cosine else 0), np.float32)
    for at in range(min(_VECTORS_AHEAD, len(near))):
        prefetch(address + near[at] * stride, width)
    for at in range(len(near)):
        if at + _VECTORS_AHEAD < len(near):
            prefetch(address + near[at + _VECTORS_AHEAD] * stride, width)
        vector = address + near[at] * stride
        if half:
            score = dot_halves_alone(query.ctypes.data, vector, size)
        else:
            score = dot_floats_alone(query.ctypes.data, vector, size)
        if cosine:
            if half:
                widened(vector, stride, True, 1, wide)
                vector = wide.ctypes.data
            score = cosine_of(score, length, np.sqrt(dot_floats_alone(vector, vector, size)))
        if np.isnan(score):
            return False
        offer(scores, places, score, near[at])
    sort_heap(scores, places)
    return True
