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


_COUNTED = 12
"""Numbers up to here are as often written in words."""
_RUN = re.compile(r"\b[A-Z][^\W\d_]+(?:[ -][A-Z][^\W\d_]+)+")
_FIGURE = re.compile(r"\d+(?:[.,’' ]\d{3})*")


def invented_in(text: str, told: Iterable[str]) -> list[str]:
    """The numbers and the names of several words that nothing of what the text rests on has a part of.

    Less than `brings_in` finds, as the text may be in another language than what it rests on: single words
    and small numbers are let through.

    >>> invented_in("Eve Adder paid 95000 in 2031.", ["A sum of 95,000 went to Marit Solheim."])
    ['2031', 'Eve Adder']
    """
    said = list(told)
    words = {word for each in said for word in _WORD.findall(fold(each))}
    known = {form for each in said for match in _FIGURE.finditer(each) for form in _forms(match.group())}
    figures = (match.group() for match in _FIGURE.finditer(text))
    numbers = [one for one in figures if int(_digits(one)) > _COUNTED and not _forms(one) & known]
    names = [
        match.group()
        for match in _RUN.finditer(text)
        if not any(fold(word) in words for word in _WORD.findall(match.group()))
    ]
    return [*numbers, *names]


def _digits(figure: str) -> str:
    return "".join(c for c in figure if c.isdigit())


def _forms(figure: str) -> set[int]:
    """The number as a whole, and the parts that its marks may divide."""
    return {int(_digits(figure)), *(int(part) for part in re.findall(r"\d+", figure))}


def brings_in(text: str, told: Iterable[str]) -> list[str]:
    """The numbers and capitalised words of a text that none of the texts it was made from has.

    >>> brings_in("Who paid Ann Orr in 2031?", ["And who paid her?", "Ann Orr was paid."])
    ['2031']
    """
    known = {word for each in told for word in _WORD.findall(fold(each))} | STOP_WORDS | _FIRST
    named = (word for word in _WORD.findall(text) if word[0].isdigit() or word[0].isupper())
    return [word for word in named if fold(word) not in known]
