"""A weighted directed graph is three plain arrays, row i holding the links that leave node i."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from gpu.arrays import Array, Floats, Integers, array_namespace
from gpu.ranks.gathering import gather
from gpu.ranks.walk import Rows, Walk, plain_links, walk_in_rows, walk_in_slices

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class CSR:
    """A weighted graph of n nodes in compressed sparse rows; checked when it is made.

    The arrays are shared, not copied, and must not change afterwards: what the solvers derive
    from them is kept with the graph.

    Args:
        indptr: Shape (n + 1,), integers, rising from 0 to the number of links.
        indices: Shape (links,), integers in [0, n): the node each link points to.
        weights: Shape (links,), floats, finite and not negative. Only their proportions within
            a row matter; a row whose weights sum to zero has no links.

    Raises:
        TypeError: Wrong dtypes, or NumPy mixed with CuPy.
        ValueError: Wrong shapes, an index out of range, or a weight negative or not finite.
    """

    indptr: Array
    indices: Array
    weights: Array

    def __post_init__(self) -> None:
        xp = array_namespace(self.indptr, self.indices, self.weights)
        if self.indptr.dtype.kind not in "iu" or self.indices.dtype.kind not in "iu":
            raise TypeError("indptr and indices must be integer arrays.")
        if self.weights.dtype.name not in ("float32", "float64"):
            raise TypeError("weights must be float32 or float64.")
        if self.indptr.ndim != 1 or self.indices.ndim != 1 or self.indices.shape != self.weights.shape:
            raise ValueError("indptr, indices and weights must be flat, the last two of equal length.")
        if not len(self.indptr) or int(self.indptr[0]) != 0 or int(self.indptr[-1]) != len(self.indices):
            raise ValueError("indptr must rise from 0 to the number of links.")
        if bool((self.indptr[1:] < self.indptr[:-1]).any()):
            raise ValueError("indptr must not fall.")
        if not len(self.indices):
            return
        if int(self.indices.min()) < 0 or int(self.indices.max()) >= self.nodes:
            raise ValueError(f"indices must lie in [0, {self.nodes}).")
        # A sum is infinite or NaN when any weight is, or when a row's total would overflow.
        total = xp.sum(self.weights, dtype=xp.float64)
        if float(self.weights.min()) < 0 or not bool(xp.isfinite(total)):
            raise ValueError("weights must be finite and not negative.")
        if self.nodes >= 2**31:
            raise ValueError(f"A graph has fewer than 2³¹ nodes, got {self.nodes}.")

    @property
    def nodes(self) -> int:
        """The number of nodes."""
        return len(self.indptr) - 1

    @property
    def links(self) -> int:
        """The number of stored links."""
        return len(self.indices)

    @cached_property
    def arriving(self) -> Arriving:
        """The same links by the node they point to, as probabilities of the walk; CuPy arrays only."""
        return Arriving(*_arriving_by_sorting(self.indptr, self.indices, self.weights))

    @cached_property
    def continues(self) -> Array:
        """Shape (n,), true at the nodes that have a link of positive weight to follow."""
        xp = array_namespace(self.indptr)
        if xp is np:
            running = np.concatenate([[0], np.cumsum(self.weights > 0)])
            return running[self.indptr[1:]] > running[self.indptr[:-1]]
        return self.arriving.continues

    def in_slices(self, dtype: type[np.floating[Any]]) -> Walk:
        """The walk laid out for one vector at a time, once for each precision; NumPy arrays only."""
        return self._laid_out("slices", dtype, walk_in_slices)

    def in_rows(self, dtype: type[np.floating[Any]]) -> Rows:
        """The walk laid out for many vectors at once, once for each precision; NumPy arrays only."""
        return self._laid_out("rows", dtype, walk_in_rows)

    @cached_property
    def _layouts(self) -> dict[tuple[str, type[np.floating[Any]]], Any]:
        return {}

    def on_the_gpu(self, dtype: type[np.floating[Any]]) -> tuple[tuple[Array, Array, Array], Any, bool]:
        """What `gpu.ranks.walk_cuda.solve_cuda` needs, kept for each precision; CuPy arrays only.

        Returns:
            The matrix, its rows by their length, and whether all links run both ways.
        """
        from gpu.ranks.walk_cuda import rows_by_length, runs_both_ways

        key = ("gpu", dtype)
        if key not in self._layouts:
            links = self.arriving
            self._layouts[key] = (
                (links.indptr, links.sources, links.probabilities.astype(dtype)),
                rows_by_length(links.indptr),
                runs_both_ways(self.indptr, self.indices, self.weights),
            )
        found: tuple[tuple[Array, Array, Array], Any, bool] = self._layouts[key]
        return found

    def _laid_out(self, kind: str, dtype: type[np.floating[Any]], lay_out: Callable[..., T]) -> T:
        key = (kind, dtype)
        found: T | None = self._layouts.get(key)
        if found is None:
            found = lay_out(plain_links(self.indptr, self.indices, self.weights), dtype)
            self._layouts[key] = found
        return found


@dataclass(frozen=True, eq=False)
class Arriving:
    """The transposed transition matrix: row i holds the links that arrive at node i.

    `indptr` is (n + 1,), `sources` and `probabilities` are (links,); a row's sources rise. The
    probability of a link is its weight over the total weight leaving its source. `continues` is
    (n,), true at the nodes that have a link to follow.
    """

    indptr: Array
    sources: Array
    probabilities: Array
    continues: Array


def csr_from_edges(n: int, src: Integers, dst: Integers, weight: Floats, *, symmetric: bool = False) -> CSR:
    """Build a graph of `n` nodes from a list of edges in any order; NumPy arrays only.

    The weights of equal edges are added, smallest first, so the same edges give the same bits
    whatever order they come in.

    Args:
        n: Number of nodes.
        src: Shape (edges,), integers in [0, n).
        dst: Shape (edges,), integers in [0, n).
        weight: Shape (edges,), floats, finite and not negative.
        symmetric: Let every edge run both ways; an edge from a node to itself stays single.

    Raises:
        TypeError: Wrong dtypes.
        ValueError: Wrong shapes, a node out of range, or a weight negative or not finite.
    """
    src, dst, weight = np.asarray(src), np.asarray(dst), np.asarray(weight, dtype=np.float64)
    if src.ndim != 1 or src.shape != dst.shape or src.shape != weight.shape:
        raise ValueError("src, dst and weight must be flat and of equal length.")
    if len(src) and (src.dtype.kind not in "iu" or dst.dtype.kind not in "iu"):
        raise TypeError("src and dst must be integer arrays.")
    if len(src) and (min(src.min(), dst.min()) < 0 or max(src.max(), dst.max()) >= n):
        raise ValueError(f"src and dst must lie in [0, {n}).")
    rows, columns = src.astype(np.int64), dst.astype(np.int64)
    if symmetric:
        back = rows != columns
        rows, columns = np.concatenate([rows, columns[back]]), np.concatenate([columns, rows[back]])
        weight = np.concatenate([weight, weight[back]])
    keys = rows * n + columns
    order = np.lexsort((weight, keys))
    keys, weight = keys[order], weight[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    keys = keys[first]
    summed = np.add.reduceat(weight, first) if len(first) else weight
    indptr = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(keys // max(n, 1), minlength=n), out=indptr[1:])
    return CSR(indptr, (keys % max(n, 1)).astype(np.int32 if n < 2**31 else np.int64), summed)


def _arriving_by_sorting(indptr: Array, indices: Array, weights: Array) -> tuple[Array, ...]:
    """The arrays of `Arriving`, in array operations alone."""
    xp = array_namespace(indptr)
    n = len(indptr) - 1
    rows = xp.searchsorted(indptr[1:], xp.arange(len(indices), dtype=indptr.dtype), side="right")
    first = xp.zeros(len(indices), dtype=xp.uint32)
    totals = gather(indptr.astype(xp.int64), first, weights.astype(xp.float64), xp.ones(1))
    leaving = totals[rows]
    probabilities = xp.where(leaving > 0, weights / xp.where(leaving > 0, leaving, 1.0), 0.0)
    order = xp.argsort(indices, kind="stable")
    starts = xp.searchsorted(indices[order], xp.arange(n + 1, dtype=indices.dtype), side="left")
    return starts.astype(xp.int64), rows[order].astype(xp.uint32), probabilities[order], totals > 0
