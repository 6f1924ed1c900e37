"""Which chunks can be among the best of a search by words, without reading the postings of every word.

No word adds more to a score than its bound. Words are read from the rarest on, until what the others add
together cannot bring a chunk of theirs alone among the best; those are then looked up for the chunks alone
that can still get there. What comes out holds the best chunks, ties among them, and is scored anew.

Source: Turtle & Flood 1995, Information Processing & Management 31(6), "MaxScore".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]

ROUNDING = 1e-9
"""More than adding up in another order changes, as a share of the most that a chunk can have."""

LOOKED_UP = 20
"""To look a chunk up in the postings of a word takes as long as to read so many of them, about."""


@dataclass(frozen=True)
class Asked:
    """A word that is searched for.

    Attributes:
        term: The word.
        chunks: How many chunks hold it.
        bound: The most that it adds to the score of any chunk.
    """

    term: str
    chunks: int
    bound: float


class Postings(Protocol):
    """Reads what a word adds to the scores of chunks."""

    async def __call__(self, term: str, chunks: Ids | None = None) -> tuple[Ids, Floats]:
        """Chunks that hold the term, rising, and what it adds to their scores; of `chunks` alone if given."""


async def top_chunks(asked: Sequence[Asked], limit: int, read: Postings) -> Ids:
    """The chunks with the `limit` best sums, with all that equal the last of them; some more, no order."""
    words = sorted(asked, key=lambda one: (one.chunks, one.term))
    rest = [sum(one.bound for one in words[i:]) for i in range(len(words) + 1)]
    slack = ROUNDING * rest[0]
    chunks, scores = np.empty(0, dtype=np.int64), np.empty(0)
    whole = True
    for i, word in enumerate(words):
        least = _least(scores, limit)
        whole = whole and least <= rest[i] + slack
        if whole:
            chunks, scores = _joined(chunks, scores, *await read(word.term))
            continue
        chunks, scores = _hopeful(chunks, scores, least - rest[i] - slack)
        few = len(chunks) * LOOKED_UP < word.chunks
        _add(chunks, scores, *await read(word.term, chunks if few else None))
    return _hopeful(chunks, scores, _least(scores, limit) - slack)[0]


def _least(scores: Floats, limit: int) -> float:
    """What the last of the best has at least; 0 where there are fewer."""
    if len(scores) < limit:
        return 0.0
    return float(np.partition(scores, len(scores) - limit)[len(scores) - limit])


def _hopeful(chunks: Ids, scores: Floats, least: float) -> tuple[Ids, Floats]:
    """The chunks with at least so much."""
    kept = scores >= least
    return chunks[kept], scores[kept]


def _joined(chunks: Ids, scores: Floats, others: Ids, added: Floats) -> tuple[Ids, Floats]:
    """The chunks of both, each with its sum."""
    every, place = np.unique(np.concatenate((chunks, others)), return_inverse=True)
    sums = np.zeros(len(every))
    np.add.at(sums, place, np.concatenate((scores, added)))
    return every, sums


def _add(chunks: Ids, scores: Floats, others: Ids, added: Floats) -> None:
    """Add to the scores of those chunks that are among the others as well."""
    if not len(others):
        return
    place = np.minimum(np.searchsorted(others, chunks), len(others) - 1)
    there = others[place] == chunks
    scores[there] += added[place[there]]
