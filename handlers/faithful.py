"""Whether a language model's words name anything that it was not told."""

from __future__ import annotations

import re
from collections.abc import Iterable

from handlers.terms import STOP_WORDS, fold

_WORD = re.compile(r"[^\W_]+")


_FIRST = frozenset(
    {"list", "tell", "name", "give", "show", "describe", "explain", "find", "later", "before", "since"}
)
"""Words with which a sentence may begin besides those that any text has."""


def brings_in(text: str, told: Iterable[str]) -> list[str]:
    """The numbers and capitalised words of a text that none of the texts it was made from has.

    >>> brings_in("Who paid Ann Orr in 2031?", ["And who paid her?", "Ann Orr was paid."])
    ['2031']
    """
    known = {word for each in told for word in _WORD.findall(fold(each))} | STOP_WORDS | _FIRST
    named = (word for word in _WORD.findall(text) if word[0].isdigit() or word[0].isupper())
    return [word for word in named if fold(word) not in known]
