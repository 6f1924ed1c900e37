"""Slow and plain forms of what the tensor kernels compute."""

from __future__ import annotations

from itertools import product

import numpy as np


def keys(s):
    """The cubic convolution kernel of Keys with a = -1/2."""
    s = abs(s)
    if s < 1:
        return 1.5 * s**3 - 2.5 * s**2 + 1
    return -0.5 * s**3 + 2.5 * s**2 - 4 * s + 2 if s < 2 else 0.0


def bspline(s):
    """The cubic B-spline."""
    s = abs(s)
    if s < 1:
        return (4 - 6 * s**2 + 3 * s**3) / 6
    return (2 - s) ** 3 / 6 if s < 2 else 0.0


def linear(s):
    """The hat."""
    return max(0.0, 1 - abs(s))


def mirrored(index, length):
    """Where a whole index outside lies in the reflected tensor."""
    while length > 1 and not 0 <= index < length:
        index = -index if index < 0 else 2 * (length - 1) - index
    return index if length > 1 else 0


def value_at(samples, point, basis, linear_axes, mode, outside):
    """One value, tap by tap."""
    taps = []
    for axis, (x, n) in enumerate(zip(point, samples.shape, strict=True)):
        if mode == "constant" and not 0 <= x <= n - 1:
            return outside
        if mode != "nearest" and n == 1:
            x = 0
        elif mode != "nearest":
            x = abs(x) % (2 * n - 2)
            x = min(x, 2 * n - 2 - x)
        kernel = linear if axis in linear_axes else {"keys": keys, "bspline": bspline}[basis]
        base = int(np.floor(x))
        reached = []
        for tap in range(base - 1, base + 3):
            index = min(max(tap, 0), n - 1) if mode == "nearest" else mirrored(tap, n)
            reached.append((index, kernel(x - tap)))
        taps.append(reached)
    return sum(
        float(samples[tuple(index for index, _ in chosen)]) * np.prod([weight for _, weight in chosen])
        for chosen in product(*taps)
    )
