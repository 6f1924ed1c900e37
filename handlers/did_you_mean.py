"""What somebody meant who wrote a word that the case does not have: the nearest of its own words."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import OSA
from rapidfuzz.process import cdist

from handlers.everyday_words import EVERYDAY
from handlers.spelling import distance, keys_of, shape_of, sound_of
from handlers.terms import STOP_WORDS, normal
from storage.graph import Name

NAMING = frozenset({"poi", "person", "organisation", "place"})
"""Kinds of names that people misspell; addresses and numbers are copied."""

SHOWN = 3
COMPARED = 80
"""Words nearest by plain edits, of which the cost is worked out."""
LEAST = 3
"""Letters of a word that can be told to be misspelt."""

_WORD = re.compile(r"[^\W_]+(?:['’ʼ][^\W_]+)*")
_LIMITS = ((3, 0.5), (4, 0.95), (6, 1.4), (9, 2.0), (99, 2.6))
"""Letters up to, and what a mistake in a word of them may cost."""
_TERM_LIMIT = 0.75
"""Words that are no names must be nearer by this factor."""
_OTHER_LETTERS = 0.05
"""What it costs to write a word in other letters: `Muller` for `Müller`."""
_CONFIRMED, _NAMED, _SOUND, _BESIDE = 0.15, 0.1, 0.2, 0.4
"""By how much a word is nearer that a person has confirmed, that is a name, that sounds the same, that
stands in one name with the word beside it."""
_FARTHER = 0.8
"""What is farther away than the nearest by more than all that together is not what was meant."""


@dataclass(frozen=True)
class Slip:
    """A word of a question that the case does not have, at characters `start`..`end`, and what is near it,
    the likeliest first."""

    written: str
    start: int
    end: int
    meant: list[str]


@dataclass(frozen=True)
class Meant:
    """A question as it was probably meant, "" where nothing in it is amiss, and its slips."""

    question: str
    slips: list[Slip]


@dataclass(frozen=True)
class _Word:
    surface: str
    name: bool
    accepted: bool


class Lexicon:
    """The words of one case, found by what they look like.

    Args:
        names: Of the case's people, organisations and places.
        terms: Frequent words of its evidence as they are written.
    """

    def __init__(self, names: Sequence[Name], terms: Sequence[str]) -> None:
        self._words: list[_Word] = []
        self._known: set[str] = set()
        self._beside: dict[str, set[str]] = defaultdict(set)
        self._by_shape: dict[str, list[int]] = defaultdict(list)
        self._fill(names, terms)
        by_length: dict[int, list[tuple[str, int]]] = defaultdict(list)
        for number, word in enumerate(self._words):
            for key in keys_of(word.surface):
                by_length[len(key)].append((key, number))
                self._by_shape[shape_of(key)].append(number)
        self._keys = {length: [key for key, _ in found] for length, found in by_length.items()}
        self._numbers = {
            length: np.array([number for _, number in found]) for length, found in by_length.items()
        }

    def __len__(self) -> int:
        return len(self._words)

    def _fill(self, names: Sequence[Name], terms: Sequence[str]) -> None:
        best: dict[str, _Word] = {}
        for name in names:
            if name.kind not in NAMING:
                continue
            parts = [match.group() for match in _WORD.finditer(name.text)]
            for i, part in enumerate(parts):
                small = part.casefold()
                self._known.add(small)
                self._beside[small].update(other.casefold() for other in (*parts[:i], *parts[i + 1 :]))
                if len(part) < LEAST or small in STOP_WORDS or part.isdigit():
                    continue
                there = best.get(small)
                if there is None or (name.accepted and not there.accepted):
                    best[small] = _Word(part, True, name.accepted)
        for term in terms:
            small = term.casefold()
            self._known.add(small)
            if len(term) > LEAST and small not in best and not any(letter.isdigit() for letter in term):
                best[small] = _Word(term, False, False)
        self._words = list(best.values())

    def has(self, word: str) -> bool:
        """Whether the word stands in a name or is one of the frequent words, in whatever case."""
        return word.casefold() in self._known

    def near(self, written: str, beside: Collection[str] = ()) -> list[str]:
        """The likeliest words for a misspelt one, at most `SHOWN`; ties by the word.

        Args:
            beside: The words before and after it, in lower case.
        """
        keys = keys_of(written)
        if not keys or len(keys[0]) < LEAST:
            return []
        limit = next(cost for letters, cost in _LIMITS if len(keys[0]) <= letters)
        found: list[tuple[float, str]] = []
        least = limit
        for number in self._candidates(keys):
            word = self._words[number]
            most = min(limit if word.name else limit * _TERM_LIMIT, least + _FARTHER)
            cost = _cost(keys, word.surface, most)
            if cost is None:
                continue
            least = min(least, cost)
            cost -= _NAMED * word.name + _CONFIRMED * word.accepted
            if not self._beside[word.surface.casefold()].isdisjoint(beside):
                cost -= _BESIDE
            found.append((cost, word.surface))
        return [surface for _, surface in sorted(found)[:SHOWN]]

    def _candidates(self, keys: Sequence[str]) -> list[int]:
        """Words of like shape, and the nearest by plain edits."""
        chosen: dict[int, None] = {}
        plain: list[tuple[int, int]] = []
        for key in keys:
            for number in self._by_shape.get(shape_of(key), ())[:COMPARED]:
                chosen[number] = None
            reach = 2 if len(key) <= 5 else 3
            for length in range(max(1, len(key) - reach), len(key) + reach + 1):
                if length not in self._keys:
                    continue
                edits = cdist(
                    [key], self._keys[length], scorer=OSA.distance, score_cutoff=reach, dtype=np.uint8
                )[0]
                for place in np.flatnonzero(edits <= reach):
                    plain.append((int(edits[place]), int(self._numbers[length][place])))
        for _, number in sorted(plain)[:COMPARED]:
            chosen[number] = None
        return list(chosen)


def _cost(keys: Sequence[str], surface: str, limit: float) -> float | None:
    """What it costs to take the keys' word for another; None where that is too far."""
    best = limit
    found = False
    for key in keys:
        for other in keys_of(surface):
            cost = distance(key, other, most=best)
            if cost <= best:
                best, found = cost, True
    if not found:
        return None
    sound = sound_of(keys[0])
    if sound and sound in {sound_of(other) for other in keys_of(surface)}:
        best -= min(_SOUND, best / 2)
    return best + (_OTHER_LETTERS if keys[0] != keys_of(surface)[0] else 0.0)


def doubtful(question: str) -> dict[str, str]:
    """Words of a question that may be misspelt, as they stand in it, with the terms a search looks for.

    Stop words, numbers and everyday words are none.
    """
    found = {}
    for match in _WORD.finditer(question):
        small = match.group().casefold()
        term = normal(match.group())
        if len(small) < LEAST or small.isdigit() or term in STOP_WORDS:
            continue
        if small not in EVERYDAY and term not in _EVERYDAY_TERMS:
            found[match.group()] = term
    return found


_EVERYDAY_TERMS = frozenset(map(normal, EVERYDAY))


def did_you_mean(question: str, lexicon: Lexicon, has_terms: Collection[str]) -> Meant:
    """The question with its slips mended; a word that the case has is never taken for another.

    Args:
        has_terms: Terms of `doubtful` words that stand somewhere in the case's evidence.
    """
    words = list(_WORD.finditer(question))
    doubts = doubtful(question)
    slips, parts, last = [], [], 0
    for i, match in enumerate(words):
        word = match.group()
        if word not in doubts or doubts[word] in has_terms:
            continue
        bare = _bare(word)
        if lexicon.has(word) or lexicon.has(bare):
            continue
        around = {other.group().casefold() for other in words[max(0, i - 1) : i] + words[i + 1 : i + 2]}
        meant = lexicon.near(bare, around)
        if not meant:
            continue
        slips.append(Slip(bare, match.start(), match.start() + len(bare), meant))
        parts += [question[last : match.start()], meant[0]]
        last = match.start() + len(bare)
    if not slips:
        return Meant("", [])
    return Meant("".join([*parts, question[last:]]), slips)


def _bare(word: str) -> str:
    for ending in ("'s", "’s", "ʼs"):
        if word.lower().endswith(ending):
            return word[: -len(ending)]
    return word
