"""The terms of a text, for documents and questions alike: folded, lightly stemmed, stop words left out."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

_STOP = """
    a about above after again all also am an and any are as at be because been before being below between
    both but by can could did do does doing down during each few for from further had has have having he
    her here hers him his how i if in into is it its itself just me more most my no nor not now of off on
    once only or other our ours out over own same shall she should so some such than that the their theirs
    them then there these they this those through to too under until up upon very was we were what when
    where which while who whom whose why will with would you your yours
    dont doesnt didnt isnt arent wasnt werent wont wouldnt cant couldnt shouldnt hasnt havent hadnt im ive
    id ill hes shes thats theyre youre weve theres lets
"""
STOP_WORDS = frozenset(_STOP.split())

_LETTER = "(?:[^\\W_][\u0300-\u036f]*)"
_CJK = "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af]"
_TOKEN = re.compile(
    rf"(?P<number>\d{{1,3}}(?:,\d{{3}})+(?!\d))"
    rf"|(?P<cjk>{_CJK}+)"
    rf"|(?P<word>(?:(?!{_CJK}){_LETTER})+(?:['’ʼ](?:(?!{_CJK}){_LETTER})+)*)"
)
_HYPHENATED = re.compile(r"(?<![^\W\d_])([^\W\d_]{1,40})[-\u2010]\n[ \t]*([a-z]{1,40})")
_VOWEL = re.compile(r"[aeiouy]")
_TITLE = re.compile(r"[a-z]+")


class Token(NamedTuple):
    """A term and the characters of the text that it stands for."""

    term: str
    start: int
    end: int


def tokens(text: str) -> Iterator[Token]:
    """The terms of a text in its order, each with its place; stop words are left out.

    A word that is broken over two lines by a hyphen counts in its parts and as a whole. Scripts
    without spaces count in pairs of characters.
    """
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        if match.lastgroup == "cjk":
            if end - start == 1:
                yield Token(match.group(), start, end)
            for i in range(start, end - 1):
                yield Token(text[i : i + 2], i, i + 2)
            continue
        term = match.group().replace(",", "") if match.lastgroup == "number" else normal(match.group())
        if term and term not in STOP_WORDS:
            yield Token(term, start, end)
    for match in _HYPHENATED.finditer(text):
        yield Token(normal(match[1] + match[2]), *match.span())


def terms(text: str) -> list[str]:
    """The terms of a text, as often as they occur."""
    return [token.term for token in tokens(text)]


def counts(text: str) -> Counter[str]:
    """How often each term occurs in a text."""
    return Counter(terms(text))


@lru_cache(maxsize=1 << 17)
def normal(word: str) -> str:
    """The term of one word: without case, accents, apostrophes and common English endings.

    >>> normal("Universities’"), normal("Müller's"), normal("P104")
    ('univers', 'muller', 'p104')
    """
    folded = fold(word)
    for apostrophe in ("'", "’", "ʼ"):
        folded = folded.removesuffix(f"{apostrophe}s").replace(apostrophe, "")
    return folded if folded in STOP_WORDS or not _TITLE.fullmatch(folded) else _stem(folded)


def fold(text: str) -> str:
    """Lower case without accents, ligatures and width variants; may differ in length from `text`."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in apart if not unicodedata.combining(c))


def _stem(word: str) -> str:
    """Cut plural, past and progressive endings, then the commonest derivations."""
    if len(word) <= 3:
        return word
    word = _singular(word)
    if word.endswith("eed"):
        word = word[:-1] if len(word) > 4 else word
    elif word.endswith("ed") and _VOWEL.search(word[:-2]) and len(word) > 4:
        word = _restore(word[:-2])
    elif word.endswith("ing") and _VOWEL.search(word[:-3]) and len(word) > 5:
        word = _restore(word[:-3])
    if word.endswith("ly") and len(word) > 5:
        word = word[:-2]
    if word.endswith("y") and len(word) > 3 and word[-2] not in "aeiou":
        word = word[:-1] + "i"
    for ending in ("iti", "ement", "ment", "ation", "ness"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    if word.endswith(("tion", "sion")) and len(word) > 7:
        return word[:-3]
    if word.endswith("ll") and len(word) > 5:
        return word[:-1]
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def _singular(word: str) -> str:
    if word.endswith("sses") or (word.endswith("ies") and len(word) > 4):
        return word[:-2]
    if word.endswith(("ss", "us", "is")) or not word.endswith("s"):
        return word
    return word[:-1]


def _restore(stem: str) -> str:
    """What stood before -ed or -ing: a lost e comes back, a doubled consonant goes."""
    if stem.endswith(("at", "bl", "iz")):
        return stem + "e"
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "aeiouylsz":
        return stem[:-1]
    return stem
