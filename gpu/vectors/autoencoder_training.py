"""Training of a sparse autoencoder, in batches that may be taken piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gpu.arrays import Array, Floats, array_namespace
from gpu.compiling import kernel
from gpu.threads import side_by_side
from gpu.vectors.autoencoder import Autoencoder
from gpu.vectors.autoencoder_gradients import Sparsity, Weights, add_slopes, bytes_a_row
from gpu.vectors.chunks import Chunks, extent, rounds

_FIRST, _SECOND, _SMALL = 0.9, 0.999, 6.25e-10
"""Adam's two rates of forgetting, and what keeps it from dividing by zero (Gao et al.)."""

_SHARE = 1 / 32
_PART_WEIGHTS = 1 << 19


@dataclass(frozen=True)
class Training:
    """The result of `train_autoencoder`."""

    model: Autoencoder
    losses: tuple[float, ...]
    """Of each epoch, the squared error over the variance of the vectors, averaged while learning."""
    dead: int
    """Features that the last `dead_after` vectors did not light."""


def train_autoencoder(
    vectors: Chunks,
    features: int,
    k: int,
    *,
    epochs: int = 10,
    batch: int = 1024,
    rate: float = 1e-3,
    seed: int = 0,
    dead_after: int = 20_000,
    revived: int = 64,
    memory_bytes: int = 1 << 28,
) -> Training:
    """Learn `features` directions such that `k` of them make up a vector.

    Adam over batches; the encoder begins as the decoder, whose rows are kept at length 1. Features
    that no vector lights any more are given what is missing of the vectors to reconstruct. Equal
    arguments give equal bits on the CPU, whatever the number of threads.

    Args:
        vectors: Shape (n, d), float32 or float16, finite; an array is shuffled anew in each epoch.
            Or a function giving such chunks anew on each call, which need not fit in memory
            together: these are shuffled within some thousand vectors only.
        features: At least `k`.
        k: Features a vector may light, at least 1.
        epochs: Passes over the vectors; one more comes first.
        batch: Vectors a step.
        rate: Adam's step, for vectors scaled to coordinates of variance 1.
        dead_after: A feature that so many vectors in turn did not light is dead.
        revived: Dead features that a vector may light in its second reconstruction; 0: none.
        memory_bytes: What activations and their slopes may take. A batch that needs more is taken in
            pieces whose slopes are added up, which is the same but for rounding; activations are
            calculated anew where they are needed again.

    Raises:
        TypeError: A dtype other than float32 and float16.
        ValueError: Wrong shapes or options, or a number that is not finite.

    Source: Gao et al., Scaling and evaluating sparse autoencoders, 2024; Kingma & Ba, ICLR 2015.
    """
    if not 1 <= k <= features:
        raise ValueError(f"Expected 1 ≤ k ≤ features, got {k} and {features}.")
    if min(epochs, revived) < 0 or min(batch, dead_after, memory_bytes) < 1 or not rate > 0:
        raise ValueError("An option of the training is out of its range.")
    xp, _, size = extent(vectors)
    rng = np.random.default_rng(seed)
    centre, scale = _scaling(vectors)
    decoder = rng.standard_normal((features, size))
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    directions = xp.asarray(decoder, dtype=xp.float32)
    zeros = (xp.zeros(features, xp.float32), xp.zeros(size, xp.float32))
    weights = Weights(directions.copy(), zeros[0], directions, zeros[1])
    sparsity = Sparsity(k, revived, _SHARE)
    piece = max(1, memory_bytes // bytes_a_row(features, size, sparsity, on_gpu=xp is not np))
    first, second = weights.zeros(), weights.zeros()
    unlit = xp.zeros(features, xp.int64)
    losses, step = [], 0
    for _ in range(epochs):
        total, seen = xp.zeros(()), 0
        for rows in _batches(vectors, batch, rng):
            rows = (rows.astype(xp.float32) - centre) * xp.float32(scale)
            slopes, lit, dead = weights.zeros(), xp.zeros(features, bool), unlit >= dead_after
            for begin in range(0, len(rows), piece):
                some = rows[begin : begin + piece]
                share = 1 / (len(rows) * size)
                total = total + len(rows) * add_slopes(weights, some, dead, sparsity, share, slopes, lit)
            step += 1
            _learn(weights, slopes, first, second, rate, step)
            unlit = xp.where(lit, 0, unlit + len(rows))
            seen += len(rows)
        losses.append(float(total) / seen)
    model = Autoencoder(
        weights.encoder,
        weights.bias / xp.float32(scale),
        weights.decoder,
        centre + weights.offset / xp.float32(scale),
        k,
    )
    return Training(model, tuple(losses), int((unlit >= dead_after).sum()))


def _scaling(vectors: Chunks) -> tuple[Array, float]:
    """The mean of all vectors, and what makes the mean variance of their coordinates 1."""
    count, total, squares = 0, 0.0, 0.0
    for rows in rounds(vectors):
        xp = array_namespace(rows)
        for first in range(0, len(rows), 4096):
            some = rows[first : first + 4096].astype(xp.float64)
            count += len(some)
            total = total + some.sum(axis=0)
            squares += float((some * some).sum())
    centre: Array = total / count
    variance = squares / count - float((centre * centre).sum())
    if not np.isfinite(variance):
        raise ValueError("A vector holds a number that is not finite.")
    scale = float(np.sqrt(len(centre) / variance)) if variance > 0 else 1.0
    return centre.astype(xp.float32), scale


def _batches(vectors: Chunks, batch: int, rng: np.random.Generator) -> Iterator[Array]:
    for rows in rounds(vectors):
        order = rng.permutation(len(rows))
        for first in range(0, len(rows), batch):
            yield rows[array_namespace(rows).asarray(order[first : first + batch])]


def _learn(
    weights: Weights, slopes: Weights, first: Weights, second: Weights, rate: float, step: int
) -> None:
    """One step of Adam; slopes that would only lengthen the decoder's rows are left out."""
    xp = array_namespace(weights.bias)
    along = (slopes.decoder * weights.decoder).sum(axis=1, keepdims=True)
    slopes.decoder -= along * weights.decoder
    forgotten = (1 - _FIRST**step, 1 - _SECOND**step)
    for weight, slope, mean, square in zip(
        weights.all(), slopes.all(), first.all(), second.all(), strict=True
    ):
        if xp is np:
            _learn_side_by_side(weight, slope, mean, square, rate, forgotten)
            continue
        mean *= _FIRST
        mean += (1 - _FIRST) * slope
        square *= _SECOND
        square += (1 - _SECOND) * slope * slope
        weight -= rate * (mean / forgotten[0]) / (xp.sqrt(square / forgotten[1]) + _SMALL)
    weights.decoder /= xp.sqrt((weights.decoder * weights.decoder).sum(axis=1, keepdims=True))


def _learn_side_by_side(
    weight: Floats, slope: Floats, mean: Floats, square: Floats, rate: float, forgotten: tuple[float, float]
) -> None:
    numbers = [array.reshape(-1) for array in (weight, slope, mean, square)]
    rates = (np.float32(rate), np.float32(forgotten[0]), np.float32(forgotten[1]))

    def part(begin: int) -> None:
        weight, slope, mean, square = (array[begin : begin + _PART_WEIGHTS] for array in numbers)
        _adam(weight, slope, mean, square, *rates)

    side_by_side(part, range(0, weight.size, _PART_WEIGHTS))


@kernel
def _adam(
    weight: Floats,
    slope: Floats,
    mean: Floats,
    square: Floats,
    rate: np.float32,
    first: np.float32,
    second: np.float32,
) -> None:
    keep, keep_square, small = np.float32(_FIRST), np.float32(_SECOND), np.float32(_SMALL)
    one = np.float32(1.0)
    for at in range(len(weight)):
        change = slope[at]
        mean[at] = keep * mean[at] + (one - keep) * change
        square[at] = keep_square * square[at] + (one - keep_square) * change * change
        weight[at] -= rate * (mean[at] / first) / (np.sqrt(square[at] / second) + small)
