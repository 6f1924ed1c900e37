"""Topics of a case: documents grouped by what they mean, named by what sets each group apart."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray

from gpu.vectors.clusters import kmeans
from gpu.vectors.nearest import top_k
from storage.topics import Documents, NewTopic

MOST = 24
"""Topics of one case."""
TERMS = 4
NEAREST = 5
"""Similar documents of each document."""
FLOOR = 0.3
"""Cosine below which a document is not called similar."""
SEEDS = 4
"""Beginnings of which the one with the tightest groups is taken."""

Floats = NDArray[np.float32]


def topics_of(documents: Documents, before: Mapping[int, AbstractSet[int]]) -> list[NewTopic]:
    """The topics, each going on from the earlier one that it shares most evidence with; by size.

    Args:
        before: Earlier topic → its evidence.
    """
    if len(documents.ids) < 2:
        return []
    labels = _grouped(_unit(documents.means))
    groups = [np.flatnonzero(labels == label).tolist() for label in sorted(set(labels.tolist()))]
    groups.sort(key=lambda group: (-len(group), group))
    everywhere = Counter(tag for tags in documents.tags for tag in set(tags))
    earlier = _matched([{documents.ids[i] for i in group} for group in groups], before)
    return [
        NewTopic(
            earlier.get(number),
            _terms([documents.tags[i] for i in group], everywhere, len(documents.ids)),
            [documents.ids[i] for i in group],
        )
        for number, group in enumerate(groups)
    ]


def alike(documents: Documents) -> dict[int, list[tuple[int, float]]]:
    """The `NEAREST` others of each document by the cosine of their means, near copies left out."""
    if len(documents.ids) < 2:
        return {}
    means = _unit(documents.means)
    copies: Counter[int] = Counter(one for pair in documents.copies for one in pair)
    # Itself and its copies may take the first places.
    most = max(copies.values(), default=0) + NEAREST + 1
    cosines, places = top_k(means, means, min(most, len(means)))
    found: dict[int, list[tuple[int, float]]] = {}
    for i, source in enumerate(documents.ids):
        theirs = [
            (documents.ids[int(place)], min(1.0, float(cosine)))
            for cosine, place in zip(cosines[i], places[i], strict=True)
            if int(place) != i and cosine >= FLOOR
        ]
        theirs = [each for each in theirs if _pair(source, each[0]) not in documents.copies]
        if theirs:
            found[source] = theirs[:NEAREST]
    return found


def _pair(one: int, other: int) -> tuple[int, int]:
    return min(one, other), max(one, other)


def _unit(means: Floats) -> Floats:
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    told: Floats = (means / np.maximum(lengths, 1e-12)).astype(np.float32)
    return told


def _grouped(means: Floats) -> NDArray[np.int64]:
    """A label for each; equal data gives equal groups."""
    different = len(np.unique(means, axis=0))
    k = max(1, min(MOST, different, round(math.sqrt(len(means) / 2))))
    tries = [kmeans(means, k, seed=seed) for seed in range(SEEDS)]
    best = min(tries, key=lambda one: one.inertia)
    return np.asarray(best.labels, dtype=np.int64)


def _terms(tags: Sequence[Sequence[str]], everywhere: Mapping[str, int], size: int) -> list[str]:
    """Tags that many of these documents have and few others, in the spelling that they have."""
    here = Counter(tag for own in tags for tag in set(own))

    def score(tag: str) -> float:
        return here[tag] / len(tags) * math.log((size + 1) / everywhere[tag])

    least = 2 if len(tags) > 2 else 1
    told = [tag for tag in here if here[tag] >= least] or list(here)
    return sorted(told, key=lambda tag: (-score(tag), tag))[:TERMS] or ["other"]


def _matched(groups: Sequence[AbstractSet[int]], before: Mapping[int, AbstractSet[int]]) -> dict[int, int]:
    """Group → earlier topic, the pairs that share the largest part of both first, at least a third."""
    pairs = [
        (len(group & old) / len(group | old), number, topic)
        for number, group in enumerate(groups)
        for topic, old in before.items()
        if group & old
    ]
    found: dict[int, int] = {}
    for share, number, topic in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if share >= 1 / 3 and number not in found and topic not in found.values():
            found[number] = topic
    return found
