"""The encoder's steps between matrix products, on a GPU through CuPy."""

from __future__ import annotations

from functools import cache

import cupy

from gpu.arrays import Array


def normalise(rows: Array, bias: Array, residual: Array, scale: Array, shift: Array, epsilon: float) -> None:
    """Set `rows` to the layer normalisation of `rows + bias + residual`; (tokens, h), float32."""
    rows += bias
    rows += residual
    rows -= rows.mean(axis=1, keepdims=True)
    rows /= cupy.sqrt((rows * rows).mean(axis=1, keepdims=True) + cupy.float32(epsilon))
    rows *= scale
    rows += shift


def gelu(rows: Array, bias: Array) -> None:
    """Set `rows` to x Φ(x) of x = `rows + bias`; (tokens, width), float32."""
    _gelu()(rows, bias, rows)


def attend(qkv: Array, bias: Array, heads: int, attended: Array) -> Array:
    """Attention over all texts at once, padded to one length so that products can be batched."""
    batch, length = attended.shape
    width = qkv.shape[1] // 3
    qkv += bias
    padded = cupy.zeros((batch * length, 3 * width), dtype=cupy.float32)
    kept = cupy.flatnonzero(attended)
    padded[kept] = qkv
    split = padded.reshape(batch, length, 3, heads, width // heads).transpose(2, 0, 3, 1, 4)
    scores = split[0] @ split[1].swapaxes(2, 3)
    scores *= cupy.float32((width // heads) ** -0.5)
    scores = cupy.where(attended[:, None, None, :], scores, cupy.float32(-cupy.inf))
    scores -= scores.max(axis=3, keepdims=True)
    cupy.exp(scores, out=scores)
    scores /= scores.sum(axis=3, keepdims=True)
    return (scores @ split[2]).swapaxes(1, 2).reshape(batch * length, width)[kept]


def add_up(rows: Array, attended: Array) -> Array:
    """Return the sum of each text's rows, (batch, h)."""
    batch, length = attended.shape
    padded = cupy.zeros((batch * length, rows.shape[1]), dtype=cupy.float32)
    padded[cupy.flatnonzero(attended)] = rows
    return padded.reshape(batch, length, -1).sum(axis=1)


@cache
def _gelu() -> cupy.ElementwiseKernel:
    return cupy.ElementwiseKernel(
        "float32 row, float32 bias",
        "float32 out",
        "float x = row + bias; out = 0.5f * x * (1.0f + erff(x * 0.70710678f));",
        "casewire_gelu",
    )
