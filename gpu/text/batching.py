"""Texts are planned into batches that fit a memory limit, texts of like length together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gpu.arrays import Integers
from gpu.text.weights import BertWeights


def plan(lengths: Integers | Sequence[int], *, most_tokens: int) -> list[NDArray[np.int64]]:
    """Return the texts of each batch, longest texts first, so that no batch has too many tokens.

    Every text is in one batch. A text that is longer than `most_tokens` has a batch of its own.

    Args:
        lengths: Tokens of each text, at least one. Not modified.
        most_tokens: Of a batch, its texts packed without padding.

    Raises:
        ValueError: A length or `most_tokens` is below one.

    >>> plan([3, 9, 4], most_tokens=10)
    [array([1]), array([2, 0])]
    """
    counts = np.asarray(lengths, dtype=np.int64).reshape(-1)
    if most_tokens < 1 or (len(counts) and int(counts.min()) < 1):
        raise ValueError("Every text and every batch has at least one token.")
    order = np.argsort(-counts, kind="stable")
    ends = np.cumsum(counts[order])
    batches, first, before = [], 0, 0
    while first < len(order):
        last = max(first + 1, int(np.searchsorted(ends, before + most_tokens, side="right")))
        batches.append(order[first:last])
        first, before = last, int(ends[last - 1])
    return batches


def required_bytes(weights: BertWeights, tokens: int, *, longest: int, texts: int) -> int:
    """Memory that encoding one batch takes beside the weights, in bytes, its vectors included.

    Args:
        tokens: Of all texts of the batch together, without padding.
        longest: Tokens of its longest text.
        texts: How many there are.
    """
    if isinstance(weights.words, np.ndarray):
        from gpu.text import encoder_cpu

        return encoder_cpu.required_bytes(weights, tokens, longest, texts)
    from gpu.text import encoder_cuda

    return encoder_cuda.required_bytes(weights, tokens, longest, texts)
