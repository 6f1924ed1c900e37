"""Whether a language model's words name anything that it was not told."""

from __future__ import annotations

import re
from collections.abc import Iterable

from handlers.terms import STOP_WORDS, fold

_WORD = re.compile(r"[^\W_]+")


def brings_in(text: str, told: Iterable[str]) -> list[str]:
    """The numbers and capitalised words of a text that none of the texts it was made from has.

    The first word of a sentence is capitalised for its place.

    >>> brings_in("Who paid Ann Orr in 2031?", ["And who paid her?", "Ann Orr was paid."])
    ['2031']
    """
    known = {word for each in told for word in _WORD.findall(fold(each))}
    found = []
    for match in _WORD.finditer(text):
        word = match.group()
        folded = fold(word)
        named = word[0].isdigit() or word[0].isupper()
        begins = not text[: match.start()].strip() or text[: match.start()].rstrip()[-1:] in ".!?:"
        placed = begins and not word[0].isdigit()
        if named and not placed and folded not in known and folded not in STOP_WORDS:
            found.append(word)
    return found
