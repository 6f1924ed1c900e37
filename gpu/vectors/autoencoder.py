"""A sparse autoencoder: a vector as the sum of a few of many directions, its features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gpu.arrays import Array, array_namespace
from gpu.vectors.autoencoder_gradients import sparse_codes
from gpu.vectors.chunks import Chunks, checked, rounds
from gpu.vectors.products import packed
from gpu.vectors.registers import COLUMNS

_ARRAY_BYTES = 1 << 28
"""Codes that array operations hold at a time."""

_PIECE_ROWS = 4096


@dataclass(frozen=True)
class Autoencoder:
    """What `train_autoencoder` learnt, in the units of the vectors; all float32.

    A vector x lights the `k` features with the largest max(0, (x − offset) · encoder + bias), and is
    reconstructed as the sum of their decoder rows times these values, plus the offset.
    """

    encoder: Array
    """Shape (f, d)."""
    bias: Array
    """Shape (f,)."""
    decoder: Array
    """Shape (f, d), rows of length 1: the direction of each feature."""
    offset: Array
    """Shape (d,)."""
    k: int


def features(model: Autoencoder, vectors: Array) -> tuple[Array, Array]:
    """Return the features that each vector lights, the brightest first, and how brightly.

    Args:
        vectors: Shape (n, d), float32 or float16, finite, on the device of the model.

    Returns:
        Features of shape (n, k), int64, and values of that shape, float32. Where fewer than k are
        lit the rest have the value 0, and their features mean nothing.

    Raises:
        TypeError: A dtype other than float32 and float16, or NumPy mixed with CuPy.
        ValueError: Wrong shapes, or a number that is not finite.
    """
    xp = array_namespace(vectors, model.encoder)
    checked(vectors)
    if vectors.shape[1] != model.encoder.shape[1]:
        raise ValueError(f"Expected (n, {model.encoder.shape[1]}), got {vectors.shape}.")
    indices = xp.empty((len(vectors), model.k), xp.int64)
    values = xp.empty((len(vectors), model.k), xp.float32)
    if xp is np:
        panels = packed(model.encoder)
        start = np.full(len(panels) * COLUMNS, -np.inf, np.float32)
        start[: len(model.bias)] = model.bias
    for first in range(0, len(vectors), _PIECE_ROWS if xp is np else _rows_at_once(model)):
        some = slice(first, first + (_PIECE_ROWS if xp is np else _rows_at_once(model)))
        inputs = xp.ascontiguousarray(vectors[some], dtype=xp.float32) - model.offset
        if xp is np:
            indices[some], values[some] = sparse_codes(inputs, panels, start, model.k)
        else:
            indices[some], values[some] = _codes_by_arrays(model, inputs)
    return indices, values


def _rows_at_once(model: Autoencoder) -> int:
    return max(1, _ARRAY_BYTES // (12 * len(model.encoder)))


def _codes_by_arrays(model: Autoencoder, inputs: Array) -> tuple[Array, Array]:
    xp = array_namespace(inputs)
    codes = inputs @ model.encoder.T + model.bias
    if not bool(xp.isfinite(codes).all()):
        raise ValueError("A vector holds a number that is not finite, or too large.")
    kept = xp.argsort(-codes, axis=1, kind="stable")[:, : model.k]
    return kept, xp.maximum(xp.take_along_axis(codes, kept, axis=1), 0)


def reconstructed(model: Autoencoder, indices: Array, values: Array) -> Array:
    """The vectors that features, as `features` gives them, add up to: shape (n, d), float32."""
    xp = array_namespace(indices, values, model.decoder)
    found = xp.empty((len(indices), model.decoder.shape[1]), xp.float32)
    for first in range(0, len(indices), _PIECE_ROWS):
        some = slice(first, first + _PIECE_ROWS)
        found[some] = model.offset
        for place in range(indices.shape[1]):
            found[some] += values[some, place, None] * model.decoder[indices[some, place]]
    return found


def strongest(model: Autoencoder, vectors: Chunks, count: int) -> tuple[Array, Array]:
    """List the `count` vectors that light each feature most, in one pass.

    Args:
        vectors: Shape (n, d), float32 or float16, finite; or a function giving such chunks.
        count: At least 1.

    Returns:
        Places of the vectors, counted through all chunks, of shape (f, count), int64, brightest
        first, ties by place; and their values, float32. Where fewer vectors light a feature the rest
        are -1 and 0.

    Raises:
        TypeError: A dtype other than float32 and float16, or NumPy mixed with CuPy.
        ValueError: Wrong shapes, `count` below 1, or a number that is not finite.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}.")
    xp = array_namespace(model.encoder)
    lit = [xp.empty(0, xp.int64), xp.empty(0, xp.float32), xp.empty(0, xp.int64)]
    before = 0
    for piece in _pieces(vectors):
        indices, values = features(model, piece)
        rows = xp.broadcast_to(xp.arange(before, before + len(piece))[:, None], indices.shape)
        before += len(piece)
        some = values > 0
        new = (indices[some], values[some], rows[some])
        feature, value, row = (xp.concatenate(pair) for pair in zip(lit, new, strict=True))
        order = _by_feature(feature, value, row)
        feature, value, row = feature[order], value[order], row[order]
        kept = xp.arange(len(feature)) - xp.searchsorted(feature, feature) < count
        lit = [feature[kept], value[kept], row[kept]]
    feature, value, row = lit
    places = xp.full((len(model.encoder), count), -1, dtype=xp.int64)
    brightness = xp.zeros((len(model.encoder), count), xp.float32)
    rank = xp.arange(len(feature)) - xp.searchsorted(feature, feature)
    places[feature, rank] = row
    brightness[feature, rank] = value
    return places, brightness


def _by_feature(feature: Array, value: Array, row: Array) -> Array:
    """The order by feature, then brightest first, then place; places rise among what is given."""
    xp = array_namespace(feature)
    order = xp.argsort(row, kind="stable")
    order = order[xp.argsort(-value[order], kind="stable")]
    return order[xp.argsort(feature[order], kind="stable")]


def _pieces(vectors: Chunks) -> Iterator[Array]:
    for part in rounds(vectors):
        for first in range(0, len(part), _PIECE_ROWS):
            yield part[first : first + _PIECE_ROWS]
