"""Which known names a question names, as written, misspelt, or by the last name alone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rapidfuzz import fuzz, process

from handlers.terms import STOP_WORDS, fold
from storage.graph import Graph, Name, rarity

LONGEST = 8
"""Words of the longest name looked for."""

ALIKE = 90
"""Least similarity, of 100, of a misspelt name to the right one."""

FUZZY_LETTERS = 5
"""Shorter names must be spelt right: in so few letters another word is always near."""

FUZZY_QUALITY = 0.9
LAST_NAME_QUALITY = 0.6

_WORD = re.compile(r"[^\W_]+")
_POSSESSIVE = re.compile(r"['’ʼ]s?\b")
_PEOPLE = ("person", "poi")


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


def named_in(question: str, names: Sequence[Name]) -> list[Named]:
    """The names found in a question, best first, then by node; the longest match at a place counts.

    >>> hill = Name(7, "person", "Ada Hill", (7,), False)
    >>> [n.name.node for n in named_in("Where does ada hill's letter lie?", [hill])]
    [7]
    """
    original = _WORD.findall(_POSSESSIVE.sub(" ", question))
    words = [fold(word) for word in original]
    by_form: dict[str, list[Name]] = defaultdict(list)
    by_last: dict[str, list[Name]] = defaultdict(list)
    for name in names:
        parts = _parts(name.text)
        if parts and not (len(parts) == 1 and (parts[0] in STOP_WORDS or len(parts[0]) < 2)):
            by_form[" ".join(parts)].append(name)
            if len(parts) > 1 and name.kind in _PEOPLE:
                by_last[parts[-1]].append(name)
    found: dict[tuple[int, str], Named] = {}
    taken = [False] * len(words)

    def note(candidates: Sequence[Name], quality: float) -> None:
        for name in candidates:
            known = found.get((name.node, name.text))
            if known is None or known.quality < quality:
                found[name.node, name.text] = Named(name, quality)

    for start, end in _free(taken):
        candidates = by_form.get(" ".join(words[start:end]))
        if candidates:
            note(candidates, 1.0)
            taken[start:end] = [True] * (end - start)
    for i, word in enumerate(words):
        if not taken[i] and word in by_last and original[i][0].isupper() and word not in STOP_WORDS:
            note(by_last[word], LAST_NAME_QUALITY)
            taken[i] = True
    for form, quality in _misspelt(words, taken, sorted(by_form)):
        note(by_form[form], quality)
    return sorted(found.values(), key=lambda n: (-n.quality, n.name.node, n.name.text))


async def seeds_in(
    question: str, case: str, *, graph: Graph
) -> tuple[list[Seed], list[tuple[Named, dict[int, float]]]]:
    """The seeds of a question, and each named name with its entities' rarity in the case.

    A person of interest is a seed through the entities that are that person; the heaviest way
    to a node counts. Ordered by node.
    """
    named = named_in(question, await graph.names(case))
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


@lru_cache(maxsize=1 << 17)
def _parts(text: str) -> tuple[str, ...]:
    """The folded words of a name; the names of a case come again with each of its questions."""
    return tuple(_WORD.findall(fold(_POSSESSIVE.sub(" ", text))))


def _free(taken: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Runs of words that are still free when their turn comes, the longest first."""
    for length in range(min(LONGEST, len(taken)), 0, -1):
        for start in range(len(taken) - length + 1):
            if not any(taken[start : start + length]):
                yield start, start + length


def _misspelt(words: Sequence[str], taken: Sequence[bool], forms: Sequence[str]) -> list[tuple[str, float]]:
    """Known forms that free words nearly spell, with the quality of the best match."""
    runs = sorted(
        {
            " ".join(words[start:end])
            for start, end in _free(taken)
            if words[start] not in STOP_WORDS and words[end - 1] not in STOP_WORDS
        }
    )
    runs = [run for run in runs if len(run) >= FUZZY_LETTERS]
    choices = [form for form in forms if len(form) >= FUZZY_LETTERS]
    if not runs or not choices:
        return []
    alike = process.cdist(runs, choices, scorer=fuzz.ratio, score_cutoff=ALIKE, dtype=np.float32)
    best = alike.max(axis=0)
    return [(choices[i], FUZZY_QUALITY * float(best[i]) / 100) for i in np.flatnonzero(best)]
