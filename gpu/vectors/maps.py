"""A self-organising map: a grid of units whose neighbours resemble each other, fitted to vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gpu.arrays import Array, Floats, array_namespace
from gpu.vectors.assigning import nearest, totals
from gpu.vectors.chunks import Chunks, extent, rows_at

Grid = Literal["rectangular", "hexagonal"]

_SAMPLE = 10_000
_EPOCHS = 20


@dataclass(frozen=True)
class Map:
    """A fitted map; unit `row * columns + column` lies at `places[unit]`."""

    units: Array
    """Shape (rows * columns, d), float32: the codebook."""
    shape: tuple[int, int]
    grid: Grid

    @property
    def places(self) -> Floats:
        """Where the units lie in the plane, neighbours one apart: shape (units, 2), NumPy."""
        return grid_places(self.shape, self.grid)


@dataclass(frozen=True)
class MapErrors:
    """How well a map fits vectors, and where they lie on it."""

    best: Array
    """Shape (n,), int64: the best-matching unit of each vector."""
    quantisation: float
    """The mean distance of a vector to its best-matching unit."""
    topographic: float
    """The share of vectors whose two best units are no neighbours; with a single unit 0."""


def fit_map(
    vectors: Chunks,
    shape: tuple[int, int],
    *,
    radii: Sequence[float] | None = None,
    grid: Grid = "rectangular",
    start: Array | None = None,
    seed: int = 0,
) -> Map:
    """Fit a self-organising map by the batch rule, one pass over the vectors an epoch.

    In an epoch of radius r each unit becomes the mean of all vectors, each weighted by
    exp(−g² / 2r²) with g the distance on the grid between the unit and the vector's best-matching
    unit. Vectors of one best unit are added up first, so the neighbourhoods cost one product of
    matrices an epoch, whatever n. The same vectors in one array or in chunks of any size give the
    same bits on the CPU, whatever the number of threads.

    Args:
        vectors: Shape (n, d), float32 or float16, finite; or a function giving such chunks anew
            on each call, which need not fit in memory together.
        shape: Rows and columns of the grid.
        radii: One radius an epoch, positive. Without it 20 epochs, from half the longer side to 0.5
            in equal ratios.
        grid: `hexagonal` shifts every other row by half a unit, so that each unit has six neighbours.
        start: Shape (rows * columns, d): the first units. Without it, units spread over the plane of
            the two directions along which a sample varies most.
        seed: Of the sample.

    Raises:
        TypeError: A dtype other than float32 and float16, or NumPy mixed with CuPy.
        ValueError: Wrong shapes or options, or a number that is not finite.

    Source: Kohonen, Self-Organizing Maps, 3rd ed. 2001, section 3.6 (batch map).
    """
    if grid not in ("rectangular", "hexagonal"):
        raise ValueError(f"grid must be 'rectangular' or 'hexagonal', got {grid!r}.")
    if min(shape) < 1:
        raise ValueError(f"A grid of {shape[0]} × {shape[1]} has no units.")
    if radii is None:
        radii = np.geomspace(max(1.0, max(shape) / 2), 0.5, _EPOCHS).tolist()
    if not all(0 < radius < np.inf for radius in radii):
        raise ValueError("Radii must be positive and finite.")
    xp, count, size = extent(vectors)
    places = grid_places(shape, grid)
    if start is None:
        sample = rows_at(vectors, np.sort(np.random.default_rng(seed).permutation(count)[:_SAMPLE]))
        units = _plane(sample, places)
    else:
        if array_namespace(start) is not xp or start.shape != (len(places), size):
            raise ValueError(f"Expected a start of shape {(len(places), size)} in {xp.__name__}.")
        units = xp.array(start, dtype=xp.float32)
        if not bool(xp.isfinite(units).all()):
            raise ValueError("A unit of the start holds a number that is not finite.")
    squares = xp.asarray(((places[:, None] - places) ** 2).sum(axis=2))
    for radius in radii:
        counts, sums = totals(vectors, units)
        weights = xp.exp(squares / (-2.0 * radius * radius))
        shares = weights @ counts
        # Far from all vectors every weight may have become zero: such a unit stays.
        held = (shares > 0)[:, None]
        found = (weights @ sums) / xp.where(held, shares[:, None], 1)
        units = xp.where(held, found, units).astype(xp.float32)
    return Map(units, shape, grid)


def map_errors(vectors: Chunks, fitted: Map) -> MapErrors:
    """Place vectors on a map and tell how well it fits them, in one pass.

    Neighbours touch: on a rectangular grid also at a corner.

    Raises:
        TypeError: A dtype other than float32 and float16, or NumPy mixed with CuPy.
        ValueError: Wrong shapes, no vectors, or a number that is not finite.

    Source: Kiviluoto, ICNN 1996 (topographic error).
    """
    xp = array_namespace(fitted.units)
    places = xp.asarray(fitted.places)
    best, distance, torn = [], 0.0, 0
    for part in nearest(vectors, fitted.units):
        best.append(part.best)
        distance += float(xp.sqrt(part.squares).sum(dtype=xp.float64))
        if len(places) > 1:
            apart = ((places[part.best] - places[part.second]) ** 2).sum(axis=1)
            torn += int((apart > (2.1 if fitted.grid == "rectangular" else 1.1)).sum())
    found = xp.concatenate(best) if best else xp.empty(0, xp.int64)
    if len(found) == 0:
        raise ValueError("There are no vectors.")
    return MapErrors(found, distance / len(found), torn / len(found))


def grid_places(shape: tuple[int, int], grid: Grid) -> Floats:
    """Where units lie in the plane, row by row, neighbours one apart: shape (units, 2)."""
    rows, columns = (axis.ravel().astype(np.float64) for axis in np.indices(shape))
    if grid == "hexagonal":
        return np.stack([rows * np.sqrt(0.75), columns + 0.5 * (rows % 2)], axis=1)
    return np.stack([rows, columns], axis=1)


def _plane(sample: Array, places: Floats) -> Array:
    """Units on the plane of the sample's two main directions, two standard deviations wide each way."""
    xp = array_namespace(sample)
    centre = sample.mean(axis=0, dtype=xp.float64)
    moved = sample.astype(xp.float64) - centre
    spread = moved.T @ moved / len(sample)
    if not bool(xp.isfinite(spread).all()):
        raise ValueError("A vector holds a number that is not finite.")
    variances, directions = np.linalg.eigh(spread if xp is np else spread.get())
    # The longer side of the grid lies along the direction that varies most.
    sides = np.argsort(-np.ptp(places, axis=0), kind="stable")
    main = [-1 - min(rank, len(variances) - 1) for rank in range(2)]
    units = np.zeros((len(places), len(variances)))
    for side, at in zip(sides, main, strict=True):
        width = np.ptp(places[:, side])
        if width > 0:
            along = (places[:, side] - places[:, side].min()) / width * 4 - 2
            sign = np.sign(directions[np.argmax(np.abs(directions[:, at])), at])
            units += np.outer(along * np.sqrt(max(variances[at], 0)) * sign, directions[:, at])
    return (xp.asarray(units) + centre).astype(xp.float32)
