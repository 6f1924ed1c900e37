"""How the loss of a sparse autoencoder changes with its weights: sparse on the CPU, dense on a GPU.

With A = x − offset, z the k largest of max(0, A Eᵀ + bias) and r = z D + offset − x, the loss is the
sum of |r|², plus for dead features, with y the `revived` largest of theirs, that of |y D + r|² where
r is a constant. What is not among the largest has no slope. Nothing of size rows × features is kept
from one step to the next: the CPU looks at the products of a few rows at a time, and the products
with the dead features are calculated anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpu.arrays import Array, Floats, Integers, array_namespace
from gpu.compiling import kernel, reordering_kernel
from gpu.threads import side_by_side
from gpu.vectors.nearest import offer, sort_heap
from gpu.vectors.products import BLOCK_ROWS, multiply, packed
from gpu.vectors.registers import COLUMNS

_PART_ROWS = 2 * BLOCK_ROWS
_PART_COLUMNS = 64


@dataclass
class Weights:
    """What is learnt, or slopes in the same shapes: (f, d), (f,), (f, d), (d,)."""

    encoder: Array
    bias: Array
    decoder: Array
    offset: Array

    def zeros(self) -> Weights:
        """Zeros of the same shapes."""
        return Weights(*(array_namespace(each).zeros_like(each) for each in self.all()))

    def all(self) -> tuple[Array, Array, Array, Array]:
        """The four arrays, in order."""
        return self.encoder, self.bias, self.decoder, self.offset


@dataclass(frozen=True)
class Sparsity:
    """How many features a vector may light, and how dead ones come back."""

    k: int
    revived: int
    """Dead features a vector may light in the second term."""
    share: float
    """The weight of the second term."""


def bytes_a_row(features: int, dimensions: int, sparsity: Sparsity, on_gpu: bool) -> int:
    """Memory that one more row of a piece takes."""
    if on_gpu:
        return 4 * (6 * features + 6 * dimensions)
    return 4 * 5 * dimensions + 16 * (sparsity.k + sparsity.revived)


def add_slopes(
    weights: Weights,
    rows: Array,
    dead: Array,
    sparsity: Sparsity,
    scale: float,
    slopes: Weights,
    lit: Array,
) -> Array:
    """Add the slopes of `scale` times the loss over `rows` to `slopes`; return the first term.

    That is an array without axes where the rows are, so that a GPU need not be waited for. `lit`, one
    bool a feature, becomes true where a feature was lit; `dead` tells which may revive.
    """
    terms = [(None, sparsity.k, scale)]
    if sparsity.revived and bool(dead.any()):
        terms.append((dead, min(sparsity.revived, int(dead.sum())), scale * sparsity.share))
    if array_namespace(rows) is np:
        return _add_sparse(weights, rows, terms, slopes, lit)
    return _add_dense(weights, rows, terms, slopes, lit)


def _add_dense(
    weights: Weights,
    rows: Array,
    terms: list[tuple[Array | None, int, float]],
    slopes: Weights,
    lit: Array,
) -> Array:
    xp = array_namespace(rows)
    inputs = rows - weights.offset
    residual, first = None, xp.zeros(())
    for among, k, scale in terms:
        codes = inputs @ weights.encoder.T + weights.bias
        if among is not None:
            codes = xp.where(among, codes, -xp.inf)
        kept = xp.argsort(-codes, axis=1, kind="stable")[:, :k]
        values = xp.maximum(xp.take_along_axis(codes, kept, axis=1), 0)
        codes = xp.zeros_like(codes)
        xp.put_along_axis(codes, kept, values, axis=1)
        if residual is None:
            residual = codes @ weights.decoder + weights.offset - rows
            first = scale * (residual * residual).sum(dtype=xp.float64)
            lit |= (codes > 0).any(axis=0)
            wrong = residual
        else:
            wrong = codes @ weights.decoder + residual
        slope = 2 * scale * wrong
        slopes.decoder += codes.T @ slope
        inner = xp.where(codes > 0, slope @ weights.decoder.T, 0)
        slopes.encoder += inner.T @ inputs
        biases = inner.sum(axis=0)
        slopes.bias += biases
        slopes.offset -= biases @ weights.encoder
        if among is None:
            slopes.offset += slope.sum(axis=0)
    return first


def _add_sparse(
    weights: Weights,
    rows: Floats,
    terms: list[tuple[Array | None, int, float]],
    slopes: Weights,
    lit: Array,
) -> Array:
    inputs = rows - weights.offset
    panels = packed(weights.encoder)
    residual, first = np.empty((0, rows.shape[1]), np.float32), np.zeros(())
    for among, k, scale in terms:
        start = np.full(len(panels) * COLUMNS, -np.inf, np.float32)
        chosen = slice(0, len(weights.bias)) if among is None else np.flatnonzero(among)
        start[chosen] = weights.bias[chosen]
        indices, values = sparse_codes(inputs, panels, start, k)
        wrong, inner = np.empty_like(rows), np.empty_like(values)

        def part(
            begin: int,
            indices: Integers = indices,
            values: Floats = values,
            wrong: Floats = wrong,
            inner: Floats = inner,
            residual: Floats = residual,
            scale: float = scale,
        ) -> None:
            some = slice(begin, begin + _PART_ROWS)
            codes = (indices[some], values[some])
            where = (weights.decoder, weights.offset, rows[some], residual[some], *codes)
            _differ(*where, np.float32(2 * scale), wrong[some], inner[some])

        side_by_side(part, range(0, len(rows), _PART_ROWS))
        if among is None:
            residual = wrong * np.float32(0.5 / scale)
            first = scale * (residual.astype(np.float64) ** 2).sum()
            lit[indices[values > 0]] = True
            slopes.offset += wrong.sum(axis=0)

        def columns(
            begin: int,
            indices: Integers = indices,
            values: Floats = values,
            wrong: Floats = wrong,
            inner: Floats = inner,
        ) -> None:
            some = slice(begin, begin + _PART_COLUMNS)
            into = (slopes.encoder[:, some], slopes.decoder[:, some])
            _scatter(inputs[:, some], wrong[:, some], indices, values, inner, *into)

        side_by_side(columns, range(0, rows.shape[1], _PART_COLUMNS))
        biases = np.zeros_like(slopes.bias)
        _scatter_biases(indices, inner, biases)
        slopes.bias += biases
        _pull(biases, weights.encoder, slopes.offset)
    return first


def sparse_codes(inputs: Floats, panels: Floats, start: Floats, k: int) -> tuple[Integers, Floats]:
    """The k largest of max(0, inputs @ panels + start) of each row, largest first, ties by feature."""
    indices = np.empty((len(inputs), k), np.int64)
    values = np.empty((len(inputs), k), np.float32)

    def part(begin: int) -> bool:
        some = slice(begin, begin + _PART_ROWS)
        return _codes(inputs[some], panels, start, values[some], indices[some])

    if not all(side_by_side(part, range(0, len(inputs), _PART_ROWS))):
        raise ValueError("A vector holds a number that is not finite, or too large.")
    return indices, values


@kernel
def _codes(inputs: Floats, panels: Floats, start: Floats, values: Floats, indices: Integers) -> bool:
    products = np.empty((BLOCK_ROWS, len(start)), np.float32)
    for first in range(0, len(inputs), BLOCK_ROWS):
        count = min(BLOCK_ROWS, len(inputs) - first)
        address = inputs.ctypes.data + first * inputs.strides[0]
        multiply(address, inputs.strides[0], count, panels, start, products)
        for row in range(count):
            kept, places = values[first + row], indices[first + row]
            kept[:] = -np.inf
            places[:] = np.iinfo(np.int64).max
            for feature in range(len(start)):
                number = products[row, feature]
                if number > kept[0]:
                    offer(kept, places, number, feature)
                elif np.isnan(number):
                    return False
            sort_heap(kept, places)
            for at in range(len(kept)):
                if kept[at] == np.inf:
                    return False
                if kept[at] <= 0:
                    kept[at] = 0.0
                    if places[at] == np.iinfo(np.int64).max:
                        places[at] = 0
    return True


@reordering_kernel
def _differ(
    decoder: Floats,
    offset: Floats,
    rows: Floats,
    residual: Floats,
    indices: Integers,
    values: Floats,
    scale: np.float32,
    wrong: Floats,
    inner: Floats,
) -> None:
    """Write the slopes of the reconstruction (`wrong`) and of the lit features (`inner`).

    Without a `residual` the rows are to be reconstructed, with one what is missing of them.
    """
    size = rows.shape[1]
    for row in range(len(rows)):
        mine = wrong[row]
        if len(residual):
            mine[:] = residual[row]
        else:
            for at in range(size):
                mine[at] = offset[at] - rows[row, at]
        for place in range(indices.shape[1]):
            value = values[row, place]
            if value > 0:
                feature = decoder[indices[row, place]]
                for at in range(size):
                    mine[at] += value * feature[at]
        for at in range(size):
            mine[at] *= scale
        for place in range(indices.shape[1]):
            total = np.float32(0.0)
            if values[row, place] > 0:
                feature = decoder[indices[row, place]]
                for at in range(size):
                    total += mine[at] * feature[at]
            inner[row, place] = total


@kernel
def _scatter(
    inputs: Floats,
    wrong: Floats,
    indices: Integers,
    values: Floats,
    inner: Floats,
    encoder: Floats,
    decoder: Floats,
) -> None:
    size = inputs.shape[1]
    for row in range(len(indices)):
        for place in range(indices.shape[1]):
            value, slope, feature = values[row, place], inner[row, place], indices[row, place]
            if value > 0:
                for at in range(size):
                    decoder[feature, at] += value * wrong[row, at]
                    encoder[feature, at] += slope * inputs[row, at]


@kernel
def _scatter_biases(indices: Integers, inner: Floats, biases: Floats) -> None:
    for row in range(len(indices)):
        for place in range(indices.shape[1]):
            biases[indices[row, place]] += inner[row, place]


@kernel
def _pull(biases: Floats, encoder: Floats, offset: Floats) -> None:
    # BLAS may add up in an order that depends on its threads.
    for feature in range(len(biases)):
        if biases[feature] != 0:
            for at in range(len(offset)):
                offset[at] -= biases[feature] * encoder[feature, at]
