"""The solvers of `gpu.ranks.solving` for graphs so large that threads may wait for each other.

The vectors are cut into a fixed number of parts, so results do not depend on how many threads there
are. A thread waits asleep, three times a sweep: a wait costs tens of microseconds, a sweep tens of
milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from gpu.arrays import Floats, Integers
from gpu.compiling import kernel
from gpu.ranks.solving import arrive, dot, less_share, rest, step, turn
from gpu.ranks.walk import Walk
from gpu.simd import LANES, tall_product, wide_product
from gpu.threads import side_by_side

PARTS = 16
T = TypeVar("T")


class _Parts:
    """A matrix in slices, cut into parts of about as many links."""

    def __init__(self, walk: Walk) -> None:
        slices = walk.slices
        self.layout = (slices.wide_starts, slices.starts, slices.values, slices.columns)
        wide = slices.wide
        cuts = np.linspace(0, int(slices.starts[-1]), PARTS + 1)
        wides = np.searchsorted(slices.wide_starts, cuts[1:-1]).clip(0, wide).tolist()
        talls = np.searchsorted(slices.starts, cuts[1:-1]).clip(0, len(slices.starts) - 1).tolist()
        wides, talls = [0, *wides, wide], [0, *talls, len(slices.starts) - 1]
        self.pieces = [
            (wides[i], wides[i + 1], talls[i], talls[i + 1])
            for i in range(PARTS)
            if (wides[i], talls[i]) != (wides[i + 1], talls[i + 1])
        ]
        self.wide = wide

    def each(self, work: Callable[[tuple[int, int, int, int], slice], T]) -> list[T]:
        """`work` of each part: its slices, and the entries of a vector that they write.

        Rows that are slices of their own lie before the others, so a part with some of both has the
        last of those and the first of these: one stretch.
        """
        return side_by_side(lambda piece: work(piece, self._entries(piece)), self.pieces)

    def _entries(self, piece: tuple[int, int, int, int]) -> slice:
        first_wide, last_wide, first, last = piece
        begin = first_wide if first_wide < last_wide else self.wide + first * LANES
        end = self.wide + last * LANES if first < last else last_wide
        return slice(begin, end)

    def multiply(self, piece: tuple[int, int, int, int], x: Floats, y: Floats) -> None:
        """Write the part's entries of y = M x."""
        _multiply_part(*self.layout, x, y, *piece)


@kernel
def _multiply_part(
    wide_starts: Integers,
    starts: Integers,
    values: Floats,
    columns: Integers,
    x: Floats,
    y: Floats,
    first_wide: int,
    last_wide: int,
    first: int,
    last: int,
) -> None:
    wide_product(wide_starts, values, columns, x, y, first_wide, last_wide)
    tall_product(starts, values, columns, x, y[len(wide_starts) - 1 :], first, last)


def conjugate_in_parts(
    walk: Walk,
    reset: Floats,
    factor: float,
    x: Floats,
    warm: bool,
    damping: float,
    tol: float,
    max_iter: int,
) -> tuple[int, float]:
    """`gpu.ranks.solving.conjugate`, on all threads."""
    order, scale = walk.slices.order, walk.scale
    kind: Any = walk.slices.values.dtype.type
    parts = _Parts(walk)
    b, z, r, q, p = np.zeros((5, walk.slices.padded), kind)
    nodes = len(order)
    b[:nodes] = reset[order] * kind(factor) * walk.back[:nodes]
    iterations = 0
    if warm:
        z[:nodes] = x[order] * walk.back[:nodes]
        parts.each(lambda piece, _: parts.multiply(piece, z, q))
        iterations += 1
    size = sum(parts.each(lambda _, at: rest(b[at], z[at], q[at], scale[at], damping)))
    enough = tol / damping if damping > 0.0 else np.inf
    residual, verified = np.inf, np.inf

    def first_direction(_: object, at: slice) -> float:
        np.subtract(q[at], z[at], out=r[at])
        p[at] = r[at]
        return dot(r[at], r[at])

    def curve(piece: tuple[int, int, int, int], at: slice) -> float:
        parts.multiply(piece, p, q)
        return less_share(p[at], q[at], damping)

    def check(piece: tuple[int, int, int, int], at: slice) -> float:
        parts.multiply(piece, z, q)
        return rest(b[at], z[at], q[at], scale[at], damping)

    length, share = 0.0, 0.0

    def advance(_: object, at: slice) -> tuple[float, float]:
        return step(z[at], r[at], p[at], q[at], scale[at], length)

    def aim(_: object, at: slice) -> None:
        turn(p[at], r[at], share)

    while True:
        squares = sum(parts.each(first_direction))
        while size > enough and iterations < max_iter:
            curved = sum(parts.each(curve))
            iterations += 1
            if not curved > 0.0:
                break
            length = squares / curved
            told = parts.each(advance)
            following, size = sum(one for one, _ in told), sum(one for _, one in told)
            share = following / squares
            parts.each(aim)
            squares = following
        parts.each(lambda _, at: np.maximum(z[at], kind(0.0), out=z[at]))
        size = sum(parts.each(check))
        iterations += 1
        residual = damping * size
        if residual <= tol or iterations >= max_iter or not residual < 0.5 * verified:
            break
        verified = residual
    x[order] = q[:nodes] * scale[:nodes]
    return iterations, residual


def jacobi_in_parts(
    walk: Walk, reset: Floats, factor: float, x: Floats, damping: float, tol: float, max_iter: int
) -> tuple[int, float]:
    """`gpu.ranks.solving.jacobi`, on all threads."""
    order = walk.slices.order
    kind: Any = walk.slices.values.dtype.type
    parts = _Parts(walk)
    b, current, following = np.zeros((3, walk.slices.padded), kind)
    nodes = len(order)
    b[:nodes] = reset[order] * kind(factor)
    current[:nodes] = x[order]
    iterations, residual = 0, np.inf

    def sweep(piece: tuple[int, int, int, int], at: slice) -> float:
        parts.multiply(piece, current, following)
        return arrive(b[at], current[at], following[at], damping)

    while residual > tol and iterations < max_iter:
        residual = damping * sum(parts.each(sweep))
        current, following = following, current
        iterations += 1
    x[order] = current[:nodes]
    return iterations, residual
