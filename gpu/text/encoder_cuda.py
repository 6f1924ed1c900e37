"""On a GPU all texts of a batch go through a layer at once, packed, without a loop over texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cupy
import numpy as np

from gpu.arrays import Array, Integers
from gpu.compiling import cuda_functions
from gpu.text.weights import BertWeights

THREADS = 128
"""Of a block; as in encoder.cu."""

TILE = 32
"""Queries of a block; as in encoder.cu."""

HEADS = (32, 64, 96)
"""Widths of a head that attention is compiled for; a narrower one is filled up with zeros."""


def forward(weights: BertWeights, ids: Array, places: Array, starts: Integers, pooling: str) -> Array:
    """Pool the last layer's rows of each text; `gpu.text.encoder.Device` tells the rest.

    Raises:
        ValueError: A head is wider than attention is compiled for.
    """
    tokens, width, dtype = len(ids), weights.width, weights.words.dtype
    head = width // weights.heads
    compiled = next((size for size in HEADS if size >= head), None)
    if compiled is None:
        raise ValueError(f"A head has at most {HEADS[-1]} numbers on a GPU, got {head}.")
    lines = 4 * width  # bytes of shared memory: a row in float
    epsilon = np.float32(weights.epsilon)
    at_places = cupy.zeros_like(places) if len(weights.turns) else places
    tiles = cupy.asarray(_tiles(starts))
    hidden = cupy.empty((tokens, width), dtype=dtype)
    _run("embed", dtype, tokens, [
        weights.words, ids, weights.places, at_places, weights.norm.scale, weights.norm.shift,
        np.int32(width), epsilon, hidden,
    ], lines)  # fmt: skip
    for layer in weights.layers:
        qkv = hidden @ layer.qkv.matrix
        context = cupy.empty((tokens, width), dtype=dtype)
        _run(f"attend_{compiled}", dtype, (len(tiles), weights.heads), [
            qkv, layer.qkv.bias, weights.turns, places, tiles, np.int32(len(weights.turns) > 0),
            np.int32(head), np.int32(width), np.float32(head**-0.5), context,
        ])  # fmt: skip
        mixed = context @ layer.attended.matrix
        norm = layer.attended_norm
        _run("normalise", dtype, tokens, [
            mixed, hidden, layer.attended.bias, norm.scale, norm.shift, np.int32(width), epsilon,
        ], lines)  # fmt: skip
        wide = mixed @ layer.up.matrix
        count = tokens * weights.inner
        blocks = min(-(-count // THREADS), 1 << 16)
        if weights.gated:
            values = cupy.empty((tokens, weights.inner), dtype=dtype)
            gates = [wide, layer.up.bias, np.int32(weights.inner), np.int64(count), values]
            _run("gate", dtype, blocks, gates)
            wide = values
        else:
            _run("gelu", dtype, blocks, [wide, layer.up.bias, np.int32(weights.inner), np.int64(count)])
        hidden = wide @ layer.down.matrix
        norm = layer.out_norm
        _run("normalise", dtype, tokens, [
            hidden, mixed, layer.down.bias, norm.scale, norm.shift, np.int32(width), epsilon,
        ], lines)  # fmt: skip
    if pooling == "cls":
        return hidden[cupy.asarray(starts[:-1])].astype(cupy.float32)
    pooled = cupy.empty((len(starts) - 1, width), dtype=cupy.float32)
    _run("add_up", dtype, len(pooled), [hidden, cupy.asarray(starts), np.int32(width), pooled])
    return pooled


def required_bytes(weights: BertWeights, tokens: int, longest: int, texts: int) -> int:
    """Memory that a batch takes, in bytes; `gpu.text.batching.required_bytes` tells the rest."""
    row = int(weights.words.dtype.itemsize) * (6 * weights.width + (1 + 2 * weights.gated) * weights.inner)
    tiles = texts + tokens // TILE
    return tokens * (row + 64) + texts * 8 * (weights.width + 8) + tiles * 12


def _run(
    name: str, dtype: object, blocks: int | tuple[int, int], given: Sequence[object], shared_bytes: int = 0
) -> None:
    function = cuda_functions(Path(__file__).with_name("encoder.cu")).get_function(f"{name}_{dtype}")
    grid = blocks if isinstance(blocks, tuple) else (blocks,)
    function(grid, (THREADS,), tuple(given), shared_mem=shared_bytes)


def _tiles(starts: Integers) -> Integers:
    """(tiles, 3): the first row of TILE queries of a text, where that begins and where it ends; int32."""
    counts = -(-np.diff(starts) // TILE)
    text = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(text)) - np.repeat(np.cumsum(counts) - counts, counts)
    first = starts[text] + TILE * within
    return np.stack([first, starts[text], starts[text + 1]], axis=1).astype(np.int32)
