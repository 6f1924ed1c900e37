"""Which known names a question names, as written, misspelt, or by the last name alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz import fuzz, process

from handlers.known_names import FUZZY_LETTERS, KNOWN, NameIndex, words_of
from handlers.terms import STOP_WORDS, fold
from storage.graph import Graph, Name, rarity

LONGEST = 8
"""Words of the longest name looked for."""

ALIKE = 90
"""Least similarity, of 100, of a misspelt name to the right one."""

FUZZY_QUALITY = 0.9
LAST_NAME_QUALITY = 0.6


@dataclass(frozen=True)
class Named:
    """A name that the question names; `quality` is 1 for an exact match, less for a guess."""

    name: Name
    quality: float


@dataclass(frozen=True)
class Seed:
    """An entity or person of interest from which a ranking starts.

    `weight` falls with the number of chunks that mention it: a name that is everywhere says little.
    """

    node: int
    weight: float


def named_in(question: str, names: NameIndex) -> list[Named]:
    """The names found in a question, best first, then by node; the longest match at a place counts.

    >>> hill = Name(7, "person", "Ada Hill", (7,), False)
    >>> [n.name.node for n in named_in("Where does ada hill's letter lie?", NameIndex([hill]))]
    [7]
    """
    original = words_of(question)
    words = [fold(word) for word in original]
    found: dict[tuple[int, str], Named] = {}
    taken = [False] * len(words)

    def note(candidates: Sequence[Name], quality: float) -> None:
        for name in candidates:
            known = found.get((name.node, name.text))
            if known is None or known.quality < quality:
                found[name.node, name.text] = Named(name, quality)

    for start, end in _free(taken):
        candidates = names.by_form.get(" ".join(words[start:end]))
        if candidates:
            note(candidates, 1.0)
            taken[start:end] = [True] * (end - start)
    for i, word in enumerate(words):
        if not taken[i] and word in names.by_last and original[i][0].isupper() and word not in STOP_WORDS:
            note(names.by_last[word], LAST_NAME_QUALITY)
            taken[i] = True
    for form, quality in _misspelt(words, taken, names):
        note(names.by_form[form], quality)
    return sorted(found.values(), key=lambda n: (-n.quality, n.name.node, n.name.text))


async def seeds_in(
    question: str, case: str, *, graph: Graph
) -> tuple[list[Seed], list[tuple[Named, dict[int, float]]]]:
    """The seeds of a question, and each named name with its entities' rarity in the case.

    A person of interest is a seed through the entities that are that person; the heaviest way
    to a node counts. Ordered by node.
    """
    named = named_in(question, await KNOWN.of(case, graph))
    entities = sorted({entity for each in named for entity in each.name.entities})
    # To count a large case takes a while, and where nothing is named nothing depends on it.
    common, size = await graph.commonness(case, entities) if entities else ({}, 0)
    weights: dict[int, float] = {}
    found = []
    for each in named:
        rarities = {e: rarity(common.get(e, 0), size) for e in each.name.entities}
        found.append((each, rarities))
        for entity, rare in rarities.items():
            sure = 1.5 if each.name.accepted else 1.0
            weight = each.quality * sure * rare / max(common.get(entity, 0), 1)
            weights[entity] = max(weights.get(entity, 0.0), weight)
    return [Seed(node, weights[node]) for node in sorted(weights)], found


def _free(taken: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Runs of words that are still free when their turn comes, the longest first."""
    for length in range(min(LONGEST, len(taken)), 0, -1):
        for start in range(len(taken) - length + 1):
            if not any(taken[start : start + length]):
                yield start, start + length


def _misspelt(words: Sequence[str], taken: Sequence[bool], names: NameIndex) -> list[tuple[str, float]]:
    """Known forms that free words nearly spell, with the quality of the best match."""
    runs = {
        " ".join(words[start:end])
        for start, end in _free(taken)
        if words[start] not in STOP_WORDS and words[end - 1] not in STOP_WORDS
    }
    runs = {run for run in runs if len(run) >= FUZZY_LETTERS}
    found = []
    for letters, forms in names.by_length.items():
        # Each letter that one has more than the other is a difference: too many, and they are not alike.
        near = [run for run in runs if 100 * abs(len(run) - letters) <= (100 - ALIKE) * (len(run) + letters)]
        if near:
            alike = process.cdist(near, forms, scorer=fuzz.ratio, score_cutoff=ALIKE, dtype=np.float32)
            best = alike.max(axis=0)
            found += [(forms[i], FUZZY_QUALITY * float(best[i]) / 100) for i in np.flatnonzero(best)]
    return found
