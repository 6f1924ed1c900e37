"""What a question asks beside the names that are everywhere in its case.

In an agreement every other clause speaks of the Receiving Party and of Confidential Information. A
question does too, and its vector then leans to all of them. The vector that is searched with is the
mean of the question's and of that of what is left without such names; the legs by words and by links
know them still. Measured by `tests/bench/bench_retrieval.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from handlers.terms import tokens

COMMON = 0.05
"""Share of a case's chunks above which a name tells little of what is asked."""

FEW = 5
"""Chunks above which it does so: in a small case every name is in a large share."""


def focused(question: str, frequencies: Mapping[str, int], chunks: int) -> str:
    """The question without the words of names, those with a capital letter, that are common in the case.

    Everything else stays, since an embedder reads sentences. Where nothing is common, or nothing
    else is asked, the question is returned as it is.

    Args:
        question: As it was asked.
        frequencies: Term → how many of `chunks` hold it.
        chunks: How many chunks were looked at.

    >>> focused("Did Hill see the plan of Low Water?", {"hill": 90, "plan": 90}, 100)
    'Did see the plan of Low Water?'
    """
    asked = sorted(set(tokens(question)), key=lambda token: token.start)
    least = max(COMMON * chunks, FEW)
    common = [
        token for token in asked if question[token.start].isupper() and frequencies.get(token.term, 0) > least
    ]
    if not common or len(common) == len(asked):
        return question
    left, end = [], 0
    for token in common:
        left.append(question[end : max(token.start, end)])
        end = max(token.end, end)
    left.append(question[end:])
    return " ".join("".join(left).split())


def blended(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of unit vectors as a unit vector.

    Args:
        vectors: Shape (n, dimensions), float32, n at least 1.

    Returns:
        Shape (dimensions,), float32. Of vectors that cancel each other out the first.
    """
    mean = vectors.mean(axis=0)
    length = float(np.linalg.norm(mean))
    found: NDArray[np.float32] = vectors[0] if length < 1e-6 else (mean / np.float32(length))
    return found
