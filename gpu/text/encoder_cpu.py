"""The encoder's steps between matrix products, each one pass over memory on the CPU."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from gpu.arrays import Floats
from gpu.compiling import reordering_kernel


def _polynomial(function: Callable[[float], float], degree: int) -> list[float]:
    """Coefficients, lowest first, of the polynomial that meets `function` on [-1, 1] at the
    Chebyshev points."""
    points = chebyshev.chebpts1(degree + 1)
    values = np.array([function(float(point)) for point in points])
    return [float(c) for c in chebyshev.cheb2poly(chebyshev.chebfit(points, values, degree))]


def _erf_over_z(s: float) -> float:
    """erf(z) / z where z² = 8 s + 8, so that s in [-1, 1] stands for z in [0, 4]."""
    z = math.sqrt(8.0 * s + 8.0)
    return math.erf(z) / z


# The C library's erf and exp are called for one number at a time; a polynomial runs in vector
# registers, if it is written out: LLVM leaves a loop over its coefficients as it is, six times
# slower. Errors: erf 2e-7 in float32, most of it rounding; exp 4e-9 of its value.
_ERF = tuple(np.float32(c) for c in _polynomial(_erf_over_z, 16))
_EXP = tuple(_polynomial(lambda s: math.exp((s - 1.0) * (87.0 / 512.0)), 6))


@reordering_kernel
def normalise(
    rows: Floats, bias: Floats, residual: Floats, scale: Floats, shift: Floats, epsilon: float
) -> None:
    """Set `rows` to the layer normalisation of `rows + bias + residual`; (tokens, h), float32."""
    width = rows.shape[1]
    for row in range(rows.shape[0]):
        x, kept = rows[row], residual[row]
        total = np.float32(0.0)
        for i in range(width):
            x[i] += bias[i] + kept[i]
            total += x[i]
        mean = total / np.float32(width)
        spread = np.float32(0.0)
        for i in range(width):
            spread += (x[i] - mean) * (x[i] - mean)
        factor = np.float32(1.0 / math.sqrt(spread / width + epsilon))
        for i in range(width):
            x[i] = (x[i] - mean) * factor * scale[i] + shift[i]


@reordering_kernel
def gelu(rows: Floats, bias: Floats) -> None:
    """Set `rows` to x Φ(x) of x = `rows + bias`; (tokens, width), float32."""
    half, eighth, one = np.float32(0.5), np.float32(0.125), np.float32(1.0)
    root, limit = np.float32(math.sqrt(0.5)), np.float32(4.0)
    for row in range(rows.shape[0]):
        line = rows[row]
        for i in range(len(line)):
            x = line[i] + bias[i]
            z = min(max(x * root, -limit), limit)
            s = z * z * eighth - one
            e = (_ERF[16] * s + _ERF[15]) * s + _ERF[14]
            e = ((e * s + _ERF[13]) * s + _ERF[12]) * s + _ERF[11]
            e = ((e * s + _ERF[10]) * s + _ERF[9]) * s + _ERF[8]
            e = ((e * s + _ERF[7]) * s + _ERF[6]) * s + _ERF[5]
            e = ((e * s + _ERF[4]) * s + _ERF[3]) * s + _ERF[2]
            line[i] = half * x * (one + z * ((e * s + _ERF[1]) * s + _ERF[0]))


def attend(qkv: Floats, bias: Floats, heads: int, attended: NDArray[np.bool_]) -> Floats:
    """Attention a text at a time, so that its scores stay in the cache."""
    qkv += bias
    width = qkv.shape[1] // 3
    context = np.empty((len(qkv), width), dtype=np.float32)
    lengths = attended.sum(axis=1)
    room = np.empty(heads * int(lengths.max()) ** 2, dtype=np.float32)
    first = 0
    for length in lengths.tolist():
        texts = slice(first, first + length)
        query, key, value = qkv[texts].reshape(length, 3, heads, width // heads).transpose(1, 2, 0, 3)
        scores = room[: heads * length * length].reshape(heads, length, length)
        np.matmul(query, key.swapaxes(1, 2), out=scores)
        softmax(scores, (width // heads) ** -0.5)
        mixed = context[texts].reshape(length, heads, width // heads)
        mixed[...] = (scores @ value).swapaxes(0, 1)
        first += length
    return context


def add_up(rows: Floats, attended: NDArray[np.bool_]) -> Floats:
    """Return the sum of each text's rows, (batch, h)."""
    ends = np.cumsum(attended.sum(axis=1))
    summed: Floats = np.add.reduceat(rows, np.concatenate([[0], ends[:-1]]), axis=0)
    return summed


@reordering_kernel
def softmax(scores: Floats, factor: float) -> None:
    """Set `scores`, (heads, length, length) float32, to the softmax of `factor * scores` over
    its last axis."""
    heads, _, length = scores.shape
    scaled = np.float32(factor)
    highest = np.empty(length, dtype=np.float32)
    for head in range(heads):
        for row in range(length):
            line = scores[head, row]
            for i in range(length):
                line[i] = line[i] * scaled
                highest[i] = line[i]
            # A running maximum waits for itself at each step; halving compares side by side.
            size = length
            while size > 1:
                kept = (size + 1) // 2
                for i in range(size - kept):
                    highest[i] = max(highest[i], highest[i + kept])
                size = kept
            total = np.float32(0.0)
            for i in range(length):
                below = np.float64(line[i] - highest[0])
                s = max(below, -87.0) * (2.0 / 87.0) + 1.0
                e = ((_EXP[6] * s + _EXP[5]) * s + _EXP[4]) * s + _EXP[3]
                e = ((e * s + _EXP[2]) * s + _EXP[1]) * s + _EXP[0]
                e = e * e * e * e
                e = e * e * e * e
                e = e * e * e * e
                e = e * e * e * e
                # What is smaller would turn subnormal when divided by the total, and a matrix
                # product meets subnormal numbers at a fraction of its speed.
                line[i] = np.float32(e) if below > -80.0 else np.float32(0.0)
                total += line[i]
            for i in range(length):
                line[i] /= total
