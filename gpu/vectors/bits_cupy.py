"""What an index of signs does on a GPU: array operations, with two kernels for what they lack."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gpu.arrays import Array, array_namespace
from gpu.compiling import cuda_functions

_SOURCE = Path(__file__).with_name("bits.cu")
_THREADS = 256


def code_by_arrays(
    vectors: Array,
    centre: Array,
    coarse_axes: Array,
    fine_axes: Array,
    coarse: Array,
    fine: Array,
    scales: Array,
) -> bool:
    """Write the codes and scales of rows; return whether all numbers were finite."""
    xp = array_namespace(vectors)
    vectors = vectors.astype(xp.float32)
    moved = vectors - centre
    lengths = (moved * moved).sum(axis=1)
    turned = moved @ fine_axes
    spread = xp.abs(turned).sum(axis=1)
    coarse[:] = signs(moved @ coarse_axes)
    fine[:] = signs(turned)
    scales[:, 0] = xp.where(spread > 0, lengths / xp.where(spread > 0, spread, 1), 0)
    scales[:, 1] = xp.sqrt((vectors * vectors).sum(axis=1))
    return bool(xp.isfinite(lengths).all())


def signs(numbers: Array) -> Array:
    """Which numbers are not negative, 64 a word: shape (n, words), uint64."""
    xp = array_namespace(numbers)
    rows, width = numbers.shape
    words = -(-width // 64)
    bits = xp.zeros((rows, 64 * words), xp.uint8)
    bits[:, :width] = numbers >= 0
    return xp.packbits(bits.ravel(), bitorder="little").view(xp.uint64).reshape(rows, words)


def search_by_arrays(
    vectors: Array,
    axes: tuple[Array, Array, Array],
    codes: tuple[Array, Array, Array],
    queries: Array,
    wanted: tuple[int, int, int],
    cosine: bool,
) -> tuple[Array, Array]:
    """The best scores and places of each query, best first."""
    xp = array_namespace(queries)
    centre, coarse_axes, fine_axes = axes
    coarse, fine, scales = codes
    k, rescore, shortlist = wanted
    found = differing(coarse, signs((queries - centre) @ coarse_axes))
    near = nearest_by_counting(found, shortlist, 64 * len(coarse))
    if shortlist > rescore:
        turned = xp.zeros((len(queries), 64 * fine.shape[1]), xp.float32)
        turned[:, : fine_axes.shape[1]] = queries @ fine_axes
        estimates = (queries @ centre)[:, None] + signed(fine, turned, near) * scales[near, 0]
        if cosine:
            estimates /= xp.where(scales[near, 1] > 0, scales[near, 1], 1)
        best = xp.sort(xp.argsort(-estimates, axis=1, kind="stable")[:, :rescore], axis=1)
        near = xp.take_along_axis(near, best, axis=1)
    rows = vectors[near].astype(xp.float32)
    products = (rows @ queries[:, :, None])[:, :, 0]
    if cosine:
        lengths = xp.sqrt((rows * rows).sum(axis=2)).astype(xp.float64)
        lengths = lengths * xp.sqrt((queries * queries).sum(axis=1))[:, None]
        products = (products / xp.where(lengths > 0, lengths, 1)).astype(xp.float32)
    if bool(xp.isnan(products).any()):
        raise ValueError("A score is not a number.")
    order = xp.argsort(-products, axis=1, kind="stable")[:, :k]
    return xp.take_along_axis(products, order, axis=1), xp.take_along_axis(near, order, axis=1)


def differing(codes: Array, queries: Array) -> Array:
    """In how many bits each code of shape (words, n) differs from each query: (q, n), uint16."""
    xp = array_namespace(codes)
    words, count = codes.shape
    found = xp.empty((len(queries), count), xp.uint16)
    blocks = min(-(-count // _THREADS), 4096)
    cuda_functions(_SOURCE).get_function("distances")(
        (blocks, len(queries)),
        (_THREADS,),
        (codes, xp.ascontiguousarray(queries), found, np.int64(count), np.int32(words)),
        shared_mem=8 * words,
    )
    return found


def signed(codes: Array, queries: Array, places: Array) -> Array:
    """The product of each query with the signs that the codes at its places hold: (q, wanted)."""
    xp = array_namespace(codes)
    wanted, words = places.shape[1], codes.shape[1]
    found = xp.empty(places.shape, xp.float32)
    cuda_functions(_SOURCE).get_function("products")(
        (-(-wanted // _THREADS), len(places)),
        (_THREADS,),
        (codes, queries, xp.ascontiguousarray(places), found, np.int32(wanted), np.int32(words)),
        shared_mem=4 * 64 * words,
    )
    return found


def nearest_by_counting(distances: Array, wanted: int, bits: int) -> Array:
    """Places of the `wanted` smallest of each row, ties by the smaller place, in rising order."""
    xp = array_namespace(distances)
    rows = len(distances)
    keys = distances.astype(xp.int64) + (bits + 1) * xp.arange(rows, dtype=xp.int64)[:, None]
    counts = xp.bincount(keys.ravel(), minlength=rows * (bits + 1)).reshape(rows, bits + 1)
    upto = counts.cumsum(axis=1)
    cut = (upto < wanted).sum(axis=1)[:, None]
    below = xp.take_along_axis(upto - counts, cut, axis=1)
    equal = distances == cut
    kept = (distances < cut) | (equal & (equal.cumsum(axis=1) <= wanted - below))
    return xp.nonzero(kept)[1].reshape(rows, wanted)
