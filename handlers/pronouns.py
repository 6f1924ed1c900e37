"""Whether somebody is spoken of as “he” or as “she”, as titles and pronouns of the case's own texts tell.

Given names are not asked: they tell of many people nothing, and of some what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from handlers.poi_names import parts
from handlers.said import Finder
from handlers.sentences import sentences
from handlers.terms import fold

Spoken = Literal["he", "she"]

HE = frozenset({"he", "him", "his", "himself"})
SHE = frozenset({"she", "her", "hers", "herself"})

_TITLES: dict[Spoken, str] = {"he": r"(?:Mr|Mister)", "she": r"(?:Mrs|Ms|Miss)"}
_WORD = re.compile(r"[^\W_]+")

SURE = 2
"""Sentences that speak of somebody one way must be more than so many times those that do the other way."""


def spoken_of_as(name: str, texts: Sequence[str], finder: Finder) -> Spoken | None:
    """How texts speak of somebody; None where they do not tell, or contradict each other.

    A title before the name decides. Else sentences count that name nobody else and go on with a pronoun.

    Args:
        name: As the case writes it in full.
        texts: Passages that name them, among others perhaps.
    """
    titled = {how for how in _TITLES if _is_titled(name, how, [name, *texts], finder)}
    if titled:
        return titled.pop() if len(titled) == 1 else None
    votes = [how for text in texts for how in _votes(fold(name), text, finder)]
    he, she = votes.count("he"), votes.count("she")
    if he > SURE * she:
        return "he"
    return "she" if she > SURE * he else None


def _is_titled(name: str, how: Spoken, texts: Iterable[str], finder: Finder) -> bool:
    words = parts(name)
    if not words:
        return False
    last = re.escape(words[-1])
    given = rf"{re.escape(words[0])}\s+(?:\w\.\s+)?" if len(words) > 1 else ""
    # The title and the surname alone may be meant for anybody of the name.
    first = given if finder.bearers(words[-1]) > 1 else f"(?:{given})?"
    middle = "".join(rf"(?:{re.escape(word)}\.?\s+)?" for word in words[1:-1])
    titled = re.compile(rf"(?<!\w){_TITLES[how]}\.?\s+{first}{middle}{last}(?!\w)", re.IGNORECASE)
    return any(titled.search(text) for text in texts)


def _votes(key: str, text: str, finder: Finder) -> Iterable[Spoken]:
    """One of each sentence that names them alone and has a pronoun of one kind behind the name."""
    surname = key.rpartition(" ")[2]
    for start, end, _ in sentences(text):
        sentence = text[start:end]
        words = {fold(word) for word in _WORD.findall(sentence)}
        if surname not in words or words.isdisjoint(HE | SHE):
            continue  # to look for everybody whom a sentence names takes a hundred times as long
        people = [one for one in finder.mentions(sentence) if one.topic == "person"]
        if not people or {one.key for one in people} != {key}:
            continue
        behind = {word.group().lower() for word in _WORD.finditer(sentence, people[0].end)}
        he, she = bool(behind & HE), bool(behind & SHE)
        if he != she:
            yield "he" if he else "she"
