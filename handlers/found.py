"""Something named in a text: which kind, what makes it the same elsewhere, where it stands."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Found:
    """Characters `start`..`end` of the text name an entity.

    Attributes:
        kind: poi, person, organisation, email, phone, date, money, citation or name (some other one).
        key: Normal form: equal keys of one kind are one entity of the case.
        name: How to show it.
        poi: Id of the POI that it is; 0 for none.
    """

    kind: str
    key: str
    name: str
    start: int
    end: int
    poi: int = 0


class _Fold(dict[int, str]):
    def __missing__(self, code: int) -> str:
        base = unicodedata.normalize("NFKD", chr(code))[:1].lower() or chr(code)
        self[code] = base if len(base) == 1 else chr(code)
        return self[code]


_FOLD = _Fold({ord("’"): "'", ord("ʼ"): "'", ord("‐"): "-", ord("‑"): "-", ord("ß"): "s"})


def level(text: str) -> str:
    """Lower case without accents, character by character, so that places stay what they are."""
    return text.translate(_FOLD)


def apart(found: Iterable[Found]) -> list[Found]:
    """Of overlapping findings the one that comes first in `found`; the rest in the order of the text."""
    taken: set[int] = set()
    kept = []
    for one in found:
        span = range(one.start, one.end)
        if taken.isdisjoint(span):
            taken.update(span)
            kept.append(one)
    return sorted(kept, key=lambda one: (one.start, one.end, one.kind, one.key))
