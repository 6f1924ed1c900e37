"""Who stands how to whom, told by how it is written: mail headers, “of” an organisation, payments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from handlers.found import Found

Related = tuple[Found, str, Found, int, int]
"""Subject, predicate, object, and the characters that say so."""

MOST_READERS = 30
"""Receivers of one mail that are told of; a longer list is a circular."""

_HEADER = re.compile(r"^[> \t]*(?P<name>From|To|Cc):[ \t]*[^\n]+", re.MULTILINE | re.IGNORECASE)
_PEOPLE = ("poi", "person")
_SIDES = (*_PEOPLE, "organisation")
_OF = re.compile(r",?\s+(?:(?:the\s+)?[\w-]+(?:\s+[\w-]+){0,2}\s+)?(?:of|at|from|with|for)\s+(?:the\s+)?")
_ROLE = re.compile(r"(?:employee|director|officer|president|counsel|partner|member|manager|head|chief)", re.I)
_PAID = re.compile(r"\s+(?:had\s+|has\s+)?(?P<verb>paid|wired|transferred|sent|lent|gave|owes|owed)\s+")
_SUM_FOLLOWS = re.compile(r"\s+(?:a\s+(?:sum|total)\s+of\s+|about\s+|some\s+|over\s+)?")
_TO_FOLLOWS = re.compile(r"\s+(?:on\s+[\w ,]{3,30}\s+)?to\s+(?:the\s+)?")


def relations(text: str, found: Sequence[Found]) -> list[Related]:
    """What the writing of a text says of the entities found in it, which come in the order of the text."""
    return [*_letters(text, found), *_belonging(text, found), *_payments(text, found)]


def _letters(text: str, found: Sequence[Found]) -> Iterator[Related]:
    """Whoever stands behind From wrote to everyone who stands behind To and Cc of the same header."""
    headers = list(_HEADER.finditer(text))
    for i, header in enumerate(headers):
        if header["name"].lower() != "from":
            continue
        writers = _named(found, *header.span())
        end, readers = header.end(), list[Found]()
        for other in headers[i + 1 :]:
            # A header is a block of lines; a blank one ends it.
            if other["name"].lower() == "from" or "\n\n" in text[end : other.start()]:
                break
            end = other.end()
            readers += _named(found, *other.span())
        if len(writers) != 1 or len(readers) > MOST_READERS:
            continue
        for reader in readers:
            if (reader.kind, reader.key) != (writers[0].kind, writers[0].key):
                yield writers[0], "wrote to", reader, header.start(), end


def _named(found: Sequence[Found], start: int, end: int) -> list[Found]:
    """Who is named between two places, once each: persons, or the addresses where no person is named."""
    here = [one for one in found if start <= one.start and one.end <= end]
    people = [one for one in here if one.kind in _PEOPLE]
    chosen = people or [one for one in here if one.kind == "email"]
    return list({(one.kind, one.key): one for one in reversed(chosen)}.values())[::-1]


def _belonging(text: str, found: Sequence[Found]) -> Iterator[Related]:
    for one, other in pairwise(found):
        if one.kind not in _PEOPLE or other.kind != "organisation":
            continue
        between = text[one.end : other.start]
        if _OF.fullmatch(between):
            role = _ROLE.search(between)
            yield one, f"{role.group().lower()} of" if role else "of", other, one.start, other.end


def _payments(text: str, found: Sequence[Found]) -> Iterator[Related]:
    for one, second, third in zip(found, found[1:], found[2:], strict=False):
        paid = _PAID.fullmatch(text[one.end : second.start])
        if one.kind not in _SIDES or paid is None:
            continue
        between = text[second.end : third.start]
        if second.kind in _SIDES and third.kind == "money" and _SUM_FOLLOWS.fullmatch(between):
            yield one, paid["verb"], second, one.start, third.end
        elif second.kind == "money" and third.kind in _SIDES and _TO_FOLLOWS.fullmatch(between):
            yield one, paid["verb"], third, one.start, third.end
