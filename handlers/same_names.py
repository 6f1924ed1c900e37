"""What two names tell of whether they are one person or organisation: reasons, each with its strength."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from rapidfuzz import fuzz

from handlers.found import level
from handlers.nicknames import one_person
from handlers.poi_names import spoken

Kind = Literal[
    "alias", "reversed", "nickname", "initial", "similar", "part", "address", "shaped", "context", "rivals",
    "together",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Every kind of reason, in the order in which their strengths are kept; the last two speak against it."""

ALIKE = 82
"""Of 100: what less is alike than this is not similar."""

_LEGAL_FORMS = """
inc incorporated corp corporation co company llc llp lp ltd limited plc ag gmbh sa nv bv the of and &
"""
_LEGAL = frozenset(_LEGAL_FORMS.split())


@dataclass(frozen=True)
class Reason:
    """Why two names may be the same, or may not; `strength` 0 to 1."""

    kind: Kind
    strength: float
    words: str


def compare(name: str, other: str, kind: str) -> list[Reason]:
    """What two names of one kind (`person` or `organisation`) have in common as they are written."""
    if kind == "organisation":
        return list(_organisations(name, other))
    return list(_people(words_of(name), words_of(other), name, other))


@lru_cache(maxsize=1 << 16)
def words_of(name: str) -> tuple[str, ...]:
    """The levelled words of a person's name in their spoken order, initials among them."""
    words = (re.sub(r"[^\w'-]", "", level(word)) for word in spoken(name))
    return tuple(word for word in words if word)


def _people(a: tuple[str, ...], b: tuple[str, ...], name: str, other: str) -> Iterator[Reason]:
    if not a or not b:
        return
    if _full(a) == _full(b):
        yield Reason("alias", 1.0, "They differ only in initials, title or the way they are written")
        return
    if len(a) == 1 or len(b) == 1:
        short, long = (a, b) if len(a) == 1 else (b, a)
        if len(long) > 1 and short[0] in (long[0], long[-1]) and len(short[0]) > 2:
            which = "surname" if short[0] == long[-1] else "given name"
            shown = name if len(a) == 1 else other
            yield Reason("part", 1.0 if which == "surname" else 0.5, f"“{shown}” is the {which} of the other")
        return
    if sorted(_full(a)) == sorted(_full(b)):
        yield Reason("reversed", 1.0, "The same words in another order")
        return
    if a[-1] == b[-1]:
        yield from _of_one_surname(a, b)
    yield from _similar(" ".join(_full(a)), " ".join(_full(b)))


def _of_one_surname(a: tuple[str, ...], b: tuple[str, ...]) -> Iterator[Reason]:
    first, second = a[0], b[0]
    if one_person(first, second):
        yield Reason("nickname", 1.0, f"“{first.title()}” and “{second.title()}” are forms of one given name")
    short, long = sorted((first, second), key=len)
    middles = {word[0] for word in (*a[1:-1], *b[1:-1])}
    if len(short) == 1 and long[0] == short:
        yield Reason("initial", 1.0, f"The initial “{short.upper()}.” fits “{long.title()}”")
    elif len(short) == 2 and len(long) > 2 and short[0] == long[0] and short[1] in middles:
        yield Reason("initial", 0.9, f"The initials “{short.upper()}” fit")
    elif len(a) > 2 and second in a[1:-1]:
        yield Reason("part", 0.8, f"“{second.title()}” is a middle name of the other")
    elif len(b) > 2 and first in b[1:-1]:
        yield Reason("part", 0.8, f"“{first.title()}” is a middle name of the other")


def _organisations(name: str, other: str) -> Iterator[Reason]:
    a, b = (
        tuple(word for word in re.sub(r"[^\w& ]", "", level(one)).split() if word not in _LEGAL)
        for one in (name, other)
    )
    if not a or not b:
        return
    if a == b:
        yield Reason("alias", 1.0, "They differ only in the legal form")
        return
    for short, long, shown in ((a, b, name), (b, a, other)):
        letters = "".join(word[0] for word in long)
        if len(short) == 1 and len(long) > 2 and short[0] == letters:
            yield Reason("initial", 1.0, f"“{shown}” is made of the first letters of the other")
            return
        if len(short) < len(long) and long[: len(short)] == short:
            yield Reason("part", len(short) / len(long), f"The other begins with “{shown}”")
            return
    yield from _similar(" ".join(a), " ".join(b))


def _similar(one: str, other: str) -> Iterator[Reason]:
    alike = fuzz.ratio(one, other)
    if alike >= ALIKE:
        yield Reason("similar", (alike - ALIKE) / (100 - ALIKE), f"Written nearly alike ({alike:.0f} of 100)")


def _full(words: Sequence[str]) -> tuple[str, ...]:
    """Without initials, where words remain."""
    return tuple(word for word in words if len(word) > 1) or tuple(words)


def shapes(address: str) -> str:
    """What stands before the @ of a mail address, letters and the dots and dashes between them."""
    return re.sub(r"[0-9]+", "", level(address).partition("@")[0])


def is_shaped(local: str, name: Sequence[str]) -> bool:
    """Whether what stands before the @ is made of a person's name: jdoe, doej, j.doe, doe.j, john_doe …

    >>> is_shaped("jdoe", ["john", "doe"]), is_shaped("doe.john", ["john", "doe"])
    (True, True)
    """
    words = [re.sub(r"[^a-z]", "", word) for word in name]
    if len(words) < 2 or len(words[-1]) < 2 or not words[0]:
        return False
    first, last, bare = words[0], words[-1], re.sub(r"[^a-z]", "", local)
    middles = "".join(word[0] for word in words[1:-1] if word)
    given = {first, first[0], first[0] + middles, first + middles}
    return len(bare) > 3 and bare in {form for one in given for form in (one + last, last + one)}
