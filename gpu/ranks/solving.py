"""Solvers of x = b + damping * Pᵀ x for one vector: conjugate gradients, or Jacobi's iteration.

Where links run both ways the matrix is symmetric once scaled, and conjugate gradients need a half to
a quarter of Jacobi's sweeps. Either runs on one thread from the first multiplication to the last.
"""

from __future__ import annotations

import numpy as np

from gpu.arrays import Floats, Integers
from gpu.compiling import kernel, reordering_kernel
from gpu.simd import tall_product, wide_product

_PIECE = 1024
"""Terms that are summed in the precision of the vectors; longer sums go on in float64."""


@kernel
def multiply(
    wide_starts: Integers, starts: Integers, values: Floats, columns: Integers, x: Floats, y: Floats
) -> None:
    """y = M x, of a matrix in slices; both vectors padded."""
    wide = len(wide_starts) - 1
    wide_product(wide_starts, values, columns, x, y, 0, wide)
    tall_product(starts, values, columns, x, y[wide:], 0, len(starts) - 1)


@reordering_kernel
def dot(left: Floats, right: Floats) -> float:
    """Σ left right."""
    total = 0.0
    for first in range(0, len(left), _PIECE):
        ours, theirs = left[first : first + _PIECE], right[first : first + _PIECE]
        part = left.dtype.type(0.0)
        for i in range(len(ours)):
            part += ours[i] * theirs[i]
        total += float(part)
    return total


@reordering_kernel
def less_share(p: Floats, q: Floats, damping: float) -> float:
    """q = p - damping q; return p · q."""
    share = p.dtype.type(damping)
    total = 0.0
    for first in range(0, len(p), _PIECE):
        ps, qs = p[first : first + _PIECE], q[first : first + _PIECE]
        part = p.dtype.type(0.0)
        for i in range(len(ps)):
            qs[i] = ps[i] - share * qs[i]
            part += ps[i] * qs[i]
        total += float(part)
    return total


@reordering_kernel
def step(z: Floats, r: Floats, p: Floats, q: Floats, scale: Floats, length: float) -> tuple[float, float]:
    """z += length p; r -= length q; return r · r and Σ |r| scale."""
    far = p.dtype.type(length)
    squares, size = 0.0, 0.0
    for first in range(0, len(p), _PIECE):
        square, part = p.dtype.type(0.0), p.dtype.type(0.0)
        ps, qs, scales = p[first : first + _PIECE], q[first : first + _PIECE], scale[first : first + _PIECE]
        zs, rs = z[first : first + _PIECE], r[first : first + _PIECE]
        for i in range(len(ps)):
            zs[i] += far * ps[i]
            left = rs[i] - far * qs[i]
            rs[i] = left
            square += left * left
            part += abs(left) * scales[i]
        squares += float(square)
        size += float(part)
    return squares, size


@reordering_kernel
def turn(p: Floats, r: Floats, share: float) -> None:
    """p = r + share p."""
    kept = p.dtype.type(share)
    for i in range(len(p)):
        p[i] = r[i] + kept * p[i]


@reordering_kernel
def rest(b: Floats, z: Floats, q: Floats, scale: Floats, damping: float) -> float:
    """q = b + damping q, what Jacobi's iteration makes of z; return Σ |q - z| scale."""
    share = b.dtype.type(damping)
    total = 0.0
    for first in range(0, len(b), _PIECE):
        bs, zs = b[first : first + _PIECE], z[first : first + _PIECE]
        qs, scales = q[first : first + _PIECE], scale[first : first + _PIECE]
        part = b.dtype.type(0.0)
        for i in range(len(bs)):
            new = bs[i] + share * qs[i]
            qs[i] = new
            part += abs(new - zs[i]) * scales[i]
        total += float(part)
    return total


@kernel
def conjugate(
    wide_starts: Integers,
    starts: Integers,
    values: Floats,
    columns: Integers,
    order: Integers,
    scale: Floats,
    back: Floats,
    reset: Floats,
    factor: float,
    x: Floats,
    warm: bool,
    damping: float,
    tol: float,
    max_iter: int,
    work: Floats,
) -> tuple[int, float]:
    """Overwrite x by the solution for b = `factor` * `reset`; return sweeps and residual.

    With z = x / s, (I - damping S) z = b / s; a warm start begins at x, a cold one at zero, so that
    what no reset reaches stays zero. What the conjugate gradients carry along as their residual
    drifts from the true one, so the last sweep is Jacobi's, from a z without negative roundings: it
    measures the true residual of z, and leaves at most `damping` times that. Where that is above
    `tol` the iteration begins again from there, as long as that helps. `work` is (5, padded), of any
    content.

    Source: Hestenes & Stiefel 1952, J. Res. NBS 49(6).
    """
    nodes, padded = len(order), len(scale)
    kind = values.dtype.type
    b, z, r, q, p = work[0], work[1], work[2], work[3], work[4]
    b[nodes:] = 0
    z[:] = 0
    q[:] = 0
    whole = kind(factor)
    for i in range(nodes):
        b[i] = whole * reset[order[i]] * back[i]
    iterations = 0
    if warm:
        for i in range(nodes):
            z[i] = x[order[i]] * back[i]
        multiply(wide_starts, starts, values, columns, z, q)
        iterations += 1
    size = rest(b, z, q, scale, damping)
    enough = tol / damping if damping > 0.0 else np.inf
    residual, verified = np.inf, np.inf
    while True:
        for i in range(padded):
            r[i] = q[i] - z[i]
            p[i] = r[i]
        squares = dot(r, r)
        while size > enough and iterations < max_iter:
            multiply(wide_starts, starts, values, columns, p, q)
            curved = less_share(p, q, damping)
            iterations += 1
            if not curved > 0.0:
                break
            following, size = step(z, r, p, q, scale, squares / curved)
            turn(p, r, following / squares)
            squares = following
        for i in range(padded):
            z[i] = max(z[i], kind(0.0))
        multiply(wide_starts, starts, values, columns, z, q)
        iterations += 1
        size = rest(b, z, q, scale, damping)
        residual = damping * size
        if residual <= tol or iterations >= max_iter or not residual < 0.5 * verified:
            break
        verified = residual
    for i in range(nodes):
        x[order[i]] = q[i] * scale[i]
    return iterations, residual


@kernel
def jacobi(
    wide_starts: Integers,
    starts: Integers,
    values: Floats,
    columns: Integers,
    order: Integers,
    reset: Floats,
    factor: float,
    x: Floats,
    damping: float,
    tol: float,
    max_iter: int,
    work: Floats,
) -> tuple[int, float]:
    """Overwrite x by the solution for b = `factor` * `reset`; return sweeps and residual.

    The columns of Pᵀ sum to at most 1, so the next change is at most `damping` times this one, and
    equals the residual. `work` is (3, padded), of any content.
    """
    nodes = len(order)
    b, current, following = work[0], work[1], work[2]
    b[nodes:] = 0
    current[nodes:] = 0
    whole = values.dtype.type(factor)
    for i in range(nodes):
        b[i] = whole * reset[order[i]]
        current[i] = x[order[i]]
    iterations, residual = 0, np.inf
    while residual > tol and iterations < max_iter:
        multiply(wide_starts, starts, values, columns, current, following)
        residual = damping * arrive(b, current, following, damping)
        current, following = following, current
        iterations += 1
    for i in range(nodes):
        x[order[i]] = current[i]
    return iterations, residual


@reordering_kernel
def arrive(base: Floats, current: Floats, following: Floats, damping: float) -> float:
    """following = base + damping following; return Σ |following - current|."""
    share = base.dtype.type(damping)
    total = 0.0
    for first in range(0, len(base), _PIECE):
        part = base.dtype.type(0.0)
        bases, olds = base[first : first + _PIECE], current[first : first + _PIECE]
        news = following[first : first + _PIECE]
        for i in range(len(bases)):
            new = bases[i] + share * news[i]
            news[i] = new
            part += abs(new - olds[i])
        total += float(part)
    return total
