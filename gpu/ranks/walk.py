"""The walk over a graph as the matrix that a solver multiplies by, laid out once for each precision.

Where every link runs both ways with one weight, the transition matrix is similar to a symmetric one:
with A the weights, s_i² the total of row i, and P_ij = A_ij / s_i², S = diag(s) P diag(1/s) =
diag(1/s) A diag(1/s). Such a graph is solved by conjugate gradients on S, any other on Pᵀ itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu.arrays import Array, Floats, Integers
from gpu.compiling import kernel, reordering_kernel
from gpu.ranks.slices import Slices, first_and_stride, slice_rows
from gpu.simd import LANES

Links = tuple[Integers, Integers, Floats]
"""indptr int64, indices int32, weights float64; contiguous and writable, so that one kernel fits."""


WIDEST = {"float32": 1e36, "float64": 1e200}
"""Where totals differ by more than this factor the walk is laid out as Pᵀ: on S the squares that conjugate
gradients add up would leave the range of the precision."""


@dataclass(frozen=True, eq=False)
class Walk:
    """The matrix of a walk in slices: S where `undirected`, else Pᵀ.

    Attributes:
        undirected: Every link runs both ways with one weight, and the totals are within `WIDEST`.
        slices: The matrix.
        scale, back: Shape (slices.padded,), in the order of the slices: s and 1/s, in a unit in which
            the least and the largest s are each other's inverse; both 1 where not `undirected`, at
            nodes without links and past the nodes.
    """

    undirected: bool
    slices: Slices
    scale: Floats
    back: Floats


@dataclass(frozen=True, eq=False)
class Rows:
    """The matrix of a walk by rows, in the order of the nodes: what many vectors at once need.

    `scale` and `back` are those of `Walk`, of shape (nodes,).
    """

    undirected: bool
    starts: Integers
    columns: Integers
    values: Floats
    scale: Floats
    back: Floats


def plain(array: Array, dtype: type[np.generic]) -> NDArray[Any]:
    """`array` itself where it is contiguous, writable and of `dtype`, else a copy that is."""
    found: NDArray[Any] = np.ascontiguousarray(array, dtype)
    return found if found.flags.writeable else found.copy()


def plain_links(indptr: Array, indices: Array, weights: Array) -> Links:
    """The arrays of a graph in the one layout that the kernels are compiled for."""
    return plain(indptr, np.int64), plain(indices, np.int32), plain(weights, np.float64)


def walk_in_slices(links: Links, dtype: type[np.floating[Any]]) -> Walk:
    """Lay out the walk for one vector at a time, in `dtype`."""
    indptr, indices, weights = links
    totals = _totals(indptr, weights)
    unit = _unit(links, totals, dtype)
    undirected = unit > 0.0
    lengths = np.diff(indptr) if undirected else _arriving_links(indices, len(indptr) - 1)
    slices = slice_rows(lengths, dtype)
    scale, back = _scales(totals, slices.order, slices.padded, unit, dtype)
    fill = _fill_undirected if undirected else _fill_directed
    shares = back / np.sqrt(unit) if undirected else totals
    parts = (slices.place, slices.wide_starts, slices.starts, slices.values, slices.columns)
    fill(indptr, indices, weights, shares, LANES, *parts)
    return Walk(undirected, slices, scale, back)


def walk_in_rows(links: Links, dtype: type[np.floating[Any]]) -> Rows:
    """Lay out the walk for many vectors at once, in `dtype`."""
    indptr, indices, weights = links
    nodes = len(indptr) - 1
    totals = _totals(indptr, weights)
    unit = _unit(links, totals, dtype)
    undirected = unit > 0.0
    scale, back = _scales(totals, np.arange(nodes, dtype=np.uint32), nodes, unit, dtype)
    values = np.empty(len(indices), dtype)
    if undirected:
        _scaled(indptr, indices, weights, back / np.sqrt(unit), values)
        return Rows(True, indptr, indices, values, scale, back)
    starts = np.zeros(nodes + 1, np.int64)
    np.cumsum(_arriving_links(indices, nodes), out=starts[1:])
    columns = np.empty(len(indices), np.int32)
    _transposed(indptr, indices, weights, totals, starts, columns, values)
    return Rows(False, starts, columns, values, scale, back)


def _scales(
    totals: Floats,
    order: Integers,
    padded: int,
    unit: float,
    dtype: type[np.floating[Any]],
) -> tuple[Floats, Floats]:
    scale, back = np.ones(padded, dtype), np.ones(padded, dtype)
    if unit > 0.0:
        _tell_scales(totals, unit, order, scale, back)
    return scale, back


def _unit(links: Links, totals: Floats, dtype: type[np.floating[Any]]) -> float:
    """The total whose s is told as 1; 0 where the graph is to be solved as a directed one."""
    return _middle(totals, WIDEST[np.dtype(dtype).name]) if _undirected(*links) else 0.0


@kernel
def _middle(totals: Floats, widest: float) -> float:
    """The geometric mean of the least and the largest positive total; 0 where they differ too much."""
    least, most = np.inf, 0.0
    for total in totals:
        if total > 0.0:
            least, most = min(least, total), max(most, total)
    if most == 0.0:
        return 1.0
    return np.sqrt(least) * np.sqrt(most) if most / widest <= least else 0.0


@kernel
def _undirected(indptr: Integers, indices: Integers, weights: Floats) -> bool:
    """Whether the graph is its own transpose and each row's targets rise.

    A symmetric graph whose rows are in another order is solved as a directed one. `met` is how far
    each row has been found to mirror the links of earlier nodes; what is left of a row when its turn
    comes must lead to later nodes. A row that was read past its end is found out then.
    """
    links = len(indices)
    met = indptr[:-1].copy()
    for node in range(len(indptr) - 1):
        first, last = met[node], indptr[node + 1]
        if first > last:
            return False
        before = node
        for link in range(np.uint64(first), np.uint64(last)):
            target = indices[link]
            if target < before:
                return False
            before = target
            if target != node:
                mirror = np.uint64(met[np.uint32(target)])
                if mirror >= links or indices[mirror] != node or weights[mirror] != weights[link]:
                    return False
                met[np.uint32(target)] = mirror + 1
    return True


@kernel
def _arriving_links(indices: Integers, nodes: int) -> Integers:
    found = np.zeros(nodes, np.int64)
    for link in range(len(indices)):
        found[np.uint32(indices[link])] += 1
    return found


@reordering_kernel
def _totals(indptr: Integers, weights: Floats) -> Floats:
    totals = np.empty(len(indptr) - 1, np.float64)
    for node in range(len(totals)):
        total = 0.0
        for link in range(indptr[node], indptr[node + 1]):
            total += weights[np.uint64(link)]
        totals[node] = total
    return totals


@kernel
def _tell_scales(totals: Floats, unit: float, order: Integers, scale: Floats, back: Floats) -> None:
    for i in range(len(order)):
        total = totals[order[i]]
        if total > 0.0:
            root = np.sqrt(total / unit)
            scale[i] = root
            back[i] = 1.0 / root


@kernel
def _fill_undirected(
    indptr: Integers,
    indices: Integers,
    weights: Floats,
    shares: Floats,
    lanes: int,
    place: Integers,
    wide_starts: Integers,
    starts: Integers,
    values: Floats,
    columns: Integers,
) -> None:
    for node in range(len(place)):
        at, stride = first_and_stride(place[node], wide_starts, starts, lanes)
        share = shares[place[node]]
        for link in range(np.uint64(indptr[node]), np.uint64(indptr[node + 1])):
            column = np.uint32(place[np.uint32(indices[link])])
            columns[np.uint64(at)] = column
            values[np.uint64(at)] = (weights[link] * share) * shares[column]
            at += stride


@kernel
def _fill_directed(
    indptr: Integers,
    indices: Integers,
    weights: Floats,
    shares: Floats,
    lanes: int,
    place: Integers,
    wide_starts: Integers,
    starts: Integers,
    values: Floats,
    columns: Integers,
) -> None:
    nodes = len(place)
    next_at = np.empty((nodes, 2), np.int64)
    for node in range(nodes):
        next_at[node] = first_and_stride(place[node], wide_starts, starts, lanes)
    for node in range(nodes):
        total, row = shares[node], place[node]
        for link in range(np.uint64(indptr[node]), np.uint64(indptr[node + 1])):
            target = np.uint32(indices[link])
            at = np.uint64(next_at[target, 0])
            next_at[target, 0] += next_at[target, 1]
            columns[at] = row
            values[at] = weights[link] / total if total > 0.0 else 0.0


@kernel
def _scaled(indptr: Integers, indices: Integers, weights: Floats, shares: Floats, values: Floats) -> None:
    for node in range(len(shares)):
        for link in range(indptr[node], indptr[node + 1]):
            values[link] = (weights[link] * shares[node]) * shares[indices[link]]


@kernel
def _transposed(
    indptr: Integers,
    indices: Integers,
    weights: Floats,
    totals: Floats,
    starts: Integers,
    columns: Integers,
    values: Floats,
) -> None:
    next_at = starts[:-1].copy()
    for node in range(len(totals)):
        for link in range(indptr[node], indptr[node + 1]):
            at = next_at[indices[link]]
            next_at[indices[link]] += 1
            columns[at] = node
            values[at] = weights[link] / totals[node] if totals[node] > 0.0 else 0.0
