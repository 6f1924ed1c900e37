"""Where the sentences and paragraphs of a text begin and end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_BREAK = re.compile(
    r"(?P<paragraph>(?<![^\S\n])[^\S\n]*\n[^\S\n]*\n\s*)"
    r"|(?P<stop>(?<=[.!?…])[\"'”’)\]]{0,3}\s+(?=[\"'“‘(\[]{0,2}[A-Z0-9À-Þ§¶])|(?<=[。！？])\s*)"
)
_ABBREVIATION = re.compile(
    r"(?<!\w)(?:Mr|Mrs|Ms|MR|MRS|MS|Dr|DR|Prof|Hon|Rev|Gen|Col|Capt|Lt|Sgt|Sen|Rep|Gov|St|Jr|Sr|vs?|cf|No|Nos|Vol"
    r"|pp?|para|Art|Sec|Fig|Ex|Exs|Inc|Ltd|Co|Corp|Cir|Dist|Ct|Supp|Rev|Stat|Reg|Fed|Jan|Feb|Mar|Apr|Jun|Jul"
    r"|Aug|Sept?|Oct|Nov|Dec|approx|e\.g|i\.e|et al|etc|Q|A|[A-Z]|(?:[A-Z]\.)+[A-Z])\.$"
)


class Sentence(NamedTuple):
    """Characters `start`..`end` without surrounding space; `closes` a paragraph or not."""

    start: int
    end: int
    closes: bool


def sentences(text: str, start: int = 0, end: int | None = None) -> Iterator[Sentence]:
    """The sentences of `text[start:end]` in order; together they hold all that is not space."""
    end = len(text) if end is None else end
    begun = start
    for match in _BREAK.finditer(text, start, end):
        closes = match.lastgroup == "paragraph"
        if not closes and _ABBREVIATION.search(text, max(begun, match.start() - 12), match.start()):
            continue
        # Closing quotes belong to the sentence that they close.
        quotes = len(match.group()) - len(match.group().lstrip("\"'”’)]"))
        yield from _trimmed(text, begun, match.start() + quotes, closes)
        begun = match.end()
    yield from _trimmed(text, begun, end, True)


def _trimmed(text: str, start: int, end: int, closes: bool) -> Iterator[Sentence]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield Sentence(start, end, closes)
