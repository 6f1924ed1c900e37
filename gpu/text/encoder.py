"""An encoder is one forward pass over plain arrays, ending in one unit vector a text."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Literal, Protocol, cast

import numpy as np

from gpu.arrays import Array, Integers, array_namespace
from gpu.text.batching import plan
from gpu.text.weights import BertWeights

Pooling = Literal["mean", "cls"]

MOST_TOKENS = 1 << 14
"""Of a batch, where the caller names no limit: enough to keep a GPU busy."""


class Device(Protocol):
    """What runs a pass on one kind of device."""

    def forward(self, weights: BertWeights, ids: Array, places: Array, starts: Array, pooling: str) -> Array:
        """Return the sum of each text's last rows, or its first row where `pooling` is `cls`.

        Args:
            ids: (tokens,), int64, of all texts one after the other; none is out of range.
            places: (tokens,), int64, where in its text each token stands.
            starts: (texts + 1,), int64, in main memory: where each text begins, where the last ends.

        Returns:
            (texts, h), float32.
        """


def encode(weights: BertWeights, ids: Array, mask: Array, *, pooling: Pooling = "mean") -> Array:
    """Return one unit vector a text, from texts that are padded to one length.

    On the CPU a text's vector has the same bits whatever texts are beside it and however many
    threads there are.

    Args:
        weights: On the same device as `ids`.
        ids: Shape (batch, length), integers below the vocabulary's size; not modified.
        mask: Shape (batch, length), true or 1 at the text's tokens and false or 0 at padding,
            at least one token a text; not modified.
        pooling: `mean` of the last layer's rows, or `cls`, the row of the first token.

    Returns:
        Shape (batch, h), float32.

    Raises:
        TypeError: NumPy mixed with CuPy, or ids that are no integers.
        ValueError: Wrong shapes, a text too long or without tokens, or an id out of range.

    Source: Devlin et al. 2019, NAACL N19-1423; Reimers & Gurevych 2019, EMNLP D19-1410; Nussbaum et
    al. 2024, arXiv 2402.01613.
    """
    xp = array_namespace(weights.words, ids, mask)
    if ids.ndim != 2 or ids.shape != mask.shape:
        raise ValueError(f"ids and mask must be (batch, length), got {ids.shape} and {mask.shape}.")
    batch, length = ids.shape
    if length > weights.longest:
        raise ValueError(f"A text has at most {weights.longest} tokens, got {length}.")
    if batch == 0:
        return xp.zeros((0, weights.width), dtype=xp.float32)
    present = mask.astype(bool)
    counts = present.sum(axis=1)
    lengths = counts if xp is np else counts.get()
    if int(lengths.min()) < 1:
        raise ValueError("Every text needs at least one token.")
    kept = xp.flatnonzero(present)
    _check(weights, ids, pooling)
    return _unit(weights, ids.reshape(-1)[kept], kept % length, lengths, pooling)


def encode_packed(
    weights: BertWeights,
    ids: Array,
    lengths: Integers | Sequence[int],
    *,
    pooling: Pooling = "mean",
    most_tokens: int = MOST_TOKENS,
) -> Array:
    """Return one unit vector a text, from texts that follow each other without padding.

    The texts are encoded in batches of like length, and their vectors come in the texts' order.

    Args:
        weights: On the same device as `ids`.
        ids: Shape (tokens,), integers below the vocabulary's size; not modified.
        lengths: Tokens of each text, in main memory; they add up to `tokens`.
        pooling: As of `encode`.
        most_tokens: Of a batch, see `plan`; `required_bytes` tells what memory it takes.

    Returns:
        Shape (texts, h), float32, as `encode` would give.

    Raises:
        TypeError: NumPy mixed with CuPy, or ids that are no integers.
        ValueError: Lengths that do not add up, a text too long or without tokens, or an id out of
            range.
    """
    xp = array_namespace(weights.words, ids)
    counts = np.asarray(lengths, dtype=np.int64)
    if ids.ndim != 1 or counts.ndim != 1 or int(counts.sum()) != len(ids):
        raise ValueError(f"The lengths of the texts add up to {counts.sum()}, ids are {ids.shape}.")
    if len(counts) and int(counts.max()) > weights.longest:
        raise ValueError(f"A text has at most {weights.longest} tokens, got {counts.max()}.")
    batches = plan(counts, most_tokens=most_tokens)
    vectors = xp.empty((len(counts), weights.width), dtype=xp.float32)
    if not batches:
        return vectors
    _check(weights, ids, pooling)
    ends = np.cumsum(counts)
    for batch in batches:
        some = counts[batch]
        places = np.arange(some.sum()) - np.repeat(np.cumsum(some) - some, some)
        tokens = xp.asarray(np.repeat(ends[batch] - some, some) + places)
        vectors[xp.asarray(batch)] = _unit(weights, ids[tokens], xp.asarray(places), some, pooling)
    return vectors


def _check(weights: BertWeights, ids: Array, pooling: str) -> None:
    if ids.dtype.kind not in "iu":
        raise TypeError(f"ids must be integers, got {ids.dtype}.")
    if pooling not in ("mean", "cls"):
        raise ValueError(f"pooling must be mean or cls, got {pooling!r}.")
    if int(ids.min()) < 0 or int(ids.max()) >= len(weights.words):
        raise ValueError(f"ids must lie in [0, {len(weights.words)}).")


def _unit(weights: BertWeights, ids: Array, places: Array, lengths: Integers, pooling: str) -> Array:
    xp = array_namespace(ids)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    found = _device(xp).forward(weights, ids.astype(xp.int64), places.astype(xp.int64), starts, pooling)
    return found / xp.sqrt((found * found).sum(axis=1, keepdims=True))


def _device(xp: ModuleType) -> Device:
    if xp is np:
        from gpu.text import encoder_cpu

        return cast(Device, encoder_cpu)
    from gpu.text import encoder_cuda

    return cast(Device, encoder_cuda)
