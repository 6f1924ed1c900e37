"""What others publish for the same work, over the same passages, embedder and triples.

HippoRAG 2 (Gutiérrez et al. 2025, arXiv 2502.14802) by its published formula: the five facts nearest to
the question seed their subjects and objects, each by its score over the number of passages that
hold it; every passage is a seed by 0.05 of its dense score; Personalized PageRank at damping 0.5
over passages, phrases, facts and synonyms. Its filter of facts by a language model is left out, as
no model is part of the comparison.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import bm25s
import igraph
import numpy as np
from numpy.typing import NDArray

from handlers.terms import fold
from tests.bench.retrieval_sets import WORD, CachedEncoder

FACTS = 5
PASSAGE_WEIGHT = 0.05
SYNONYM = 0.8
DAMPING = 0.5

Floats = NDArray[np.float64]
Triples = Sequence[Sequence[Sequence[str]]]
"""For each passage its facts: subject, predicate, object."""


class HippoRag:
    """The graph of one corpus; `rank` gives positions of passages."""

    def __init__(self, passages: Sequence[str], triples: Triples, encoder: CachedEncoder) -> None:
        self._encoder = encoder
        self._passages = encoder.encode(list(passages))
        self._count = len(passages)
        cleaned = [
            [tuple(form(part) for part in fact) for fact in facts if len(fact) == 3] for facts in triples
        ]
        facts = sorted({fact for of_passage in cleaned for fact in of_passage if all(fact)})
        phrases = sorted({end for fact in facts for end in (fact[0], fact[2])})
        place = {phrase: self._count + i for i, phrase in enumerate(phrases)}
        self._ends = [(place[fact[0]], place[fact[2]]) for fact in facts]
        self._facts = encoder.encode([" ".join(fact) for fact in facts])
        weights: dict[tuple[int, int], float] = defaultdict(float)
        holding: dict[int, set[int]] = defaultdict(set)
        for passage, of_passage in enumerate(cleaned):
            for fact in {fact for fact in of_passage if all(fact)}:
                ends = place[fact[0]], place[fact[2]]
                if ends[0] != ends[1]:
                    weights[min(ends), max(ends)] += 1.0
                for end in ends:
                    holding[end].add(passage)
        for end, of_end in holding.items():
            for passage in of_end:
                weights[passage, end] = 1.0
        self._times = np.ones(self._count + len(phrases))
        for end, of_end in holding.items():
            self._times[end] = len(of_end)
        for first, second, cosine in _synonyms(encoder.encode(phrases), phrases):
            pair = self._count + first, self._count + second
            weights[pair] = max(weights.get(pair, 0.0), cosine)
        edges = sorted(weights)
        self._graph = igraph.Graph(n=self._count + len(phrases), edges=edges)
        self._weights = [weights[edge] for edge in edges]

    def rank(self, question: str) -> list[int]:
        """All passages, the best first, by their positions."""
        asked = self._encoder.encode([question])[0]
        scores = _min_max(self._facts @ asked)
        reset = np.zeros(len(self._times))
        for fact in np.argsort(-scores, kind="stable")[:FACTS].tolist():
            for end in self._ends[fact]:
                reset[end] = scores[fact] / self._times[end]
        reset[: self._count] += PASSAGE_WEIGHT * _min_max(self._passages @ asked)
        walked = self._graph.personalized_pagerank(
            damping=DAMPING,
            directed=False,
            weights=self._weights,
            reset=reset.tolist(),
            implementation="prpack",
        )
        return np.argsort(-np.array(walked[: self._count]), kind="stable").tolist()


class Bm25s:
    """BM25 by bm25s with its own tokens, English stop words and a Snowball stemmer if there is one."""

    def __init__(self, passages: Sequence[str]) -> None:
        self._index = bm25s.BM25()
        self._index.index(
            bm25s.tokenize(list(passages), stopwords="en", show_progress=False), show_progress=False
        )
        self._count = len(passages)

    def rank(self, question: str, limit: int = 100) -> list[int]:
        """The best passages by their positions."""
        asked = bm25s.tokenize([question], stopwords="en", show_progress=False)
        found, scores = self._index.retrieve(asked, k=min(limit, self._count), show_progress=False)
        return [int(place) for place, score in zip(found[0], scores[0], strict=True) if score > 0]


def form(phrase: str) -> str:
    """A phrase with everything but letters and digits as one space."""
    return " ".join(WORD.findall(fold(str(phrase))))


def _min_max(scores: NDArray[np.float32]) -> Floats:
    low, high = float(scores.min()), float(scores.max())
    return (scores.astype(np.float64) - low) / (high - low) if high > low else np.ones(len(scores))


def _synonyms(vectors: NDArray[np.float32], phrases: Sequence[str]) -> list[tuple[int, int, float]]:
    """Pairs of phrases of more than two letters whose vectors are alike."""
    found = []
    for start in range(0, len(vectors), 512):
        alike = vectors[start : start + 512] @ vectors.T
        for row, column in zip(*np.nonzero(alike >= SYNONYM), strict=True):
            first, second = start + int(row), int(column)
            if first < second and len(phrases[first]) > 2 and len(phrases[second]) > 2:
                found.append((first, second, float(alike[row, column])))
    return found
