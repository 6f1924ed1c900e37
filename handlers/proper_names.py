"""Whatever else is written as a name is one: places, works, products, projects, treaties.

Told by capital letters alone, so less sure than people and organisations, which come first where
readings overlap. What they are is not told. Their use is that two passages which hold the same
rare name belong together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from handlers.found import Found, level
from handlers.names import unwrapped
from handlers.terms import STOP_WORDS

LONGEST = 8
"""Words of the longest name."""

_WORD = r"(?:[A-ZÀ-Þ][\w'’]*(?:[-–][\w'’]+)*)"
_LINK = r"(?:of(?: the)?|for|the|de(?: la)?|la|le|del|von(?: der)?|van(?: de[rn]?)?|der|den|&|al|bin|ibn|da)"
_RUN = re.compile(rf"(?<![\w@./&-]){_WORD}(?:[ ](?:{_LINK}[ ])?{_WORD})*(?![\w@])")
_BRACKETS = re.compile(r"\s*\([^()]{0,60}\)\s*$")
_SENTENCE_END = '.!?:;\n"“”‘(•*>-–—'

_NEVER_TEXT = """
january february march april may june july august september october november december monday tuesday
wednesday thursday friday saturday sunday mon tue wed thu fri sat sun jan feb mar apr jun jul aug sep sept oct
nov dec yes no ok dear regards thanks thank sincerely please subject sent from to cc bcc date re fw fwd page
section article exhibit chapter table figure note mr mrs ms dr prof i ii iii iv v am pm est pst cst gmt
however although therefore moreover furthermore meanwhile additionally also since because whether another
many several
one two three four five six seven eight nine ten first second third north south east west new inc corp llc ltd
"""
_NEVER = frozenset(_NEVER_TEXT.split()) | STOP_WORDS


def proper_names(text: str) -> Iterator[Found]:
    """Names in the order of the text.

    A line of its own, short and without a final stop, is a heading and counts as a name as a
    whole. One word at the beginning of a sentence counts only where the text writes it with a
    capital elsewhere, too. Lines in capitals are headings without names.
    """
    flowing = unwrapped(text)
    headings = list(_headings(text))
    inside = {start for start, _ in headings}
    sure: set[str] = set()
    doubtful: list[Found] = []
    for start, end in headings:
        if found := _found(text, start, end):
            sure.add(found.key)
            yield found
    for match in _RUN.finditer(flowing):
        start, end = _trimmed(flowing, *match.span())
        if start >= end or start in inside or _shouts(text, start):
            continue
        if (found := _found(flowing, start, end)) is None:
            continue
        single = " " not in found.name
        if single and _begins(flowing, start):
            doubtful.append(found)
            continue
        sure.add(found.key)
        yield found
    yield from (found for found in doubtful if found.key in sure)


def _headings(text: str) -> Iterator[tuple[int, int]]:
    """Short first lines that are no sentences."""
    end = text.find("\n")
    if 0 < end <= 100 and text[end + 1 : end + 2].strip():
        line = _BRACKETS.sub("", text[:end]).rstrip()
        sentence = line.endswith((".", ",", ";", "?")) or ":" in line
        if 0 < len(line.split()) <= LONGEST and not sentence and not line.isupper():
            start = len(line) - len(line.lstrip())
            yield start, len(line)


def _found(text: str, start: int, end: int) -> Found | None:
    name = re.sub(r"\s+", " ", text[start:end])
    for ending in ("'s", "’s", "'", "’"):
        if name.endswith(ending):
            name, end = name.removesuffix(ending), end - len(ending)
            break
    words = name.split()
    if not words or len(words) > LONGEST or (len(words) == 1 and (len(name) < 3 or name.isdigit())):
        return None
    key = re.sub(r"[^\w& ]", " ", level(name))
    key = " ".join(key.split()).removeprefix("the ")
    if not key or key in _NEVER or key.isdigit():
        return None
    return Found("name", key, name, start, end)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Without words at either end that begin or join phrases."""
    while start < end:
        first = re.match(r"\S+", text[start:end])
        if first is None or level(first.group()).strip("'’") not in _NEVER:
            break
        start += len(first.group())
        while start < end and text[start] == " ":
            start += 1
    while start < end:
        last = text.rfind(" ", start, end)
        if last < 0 or level(text[last + 1 : end]).strip("'’") not in _NEVER:
            break
        end = last
    return start, end


def _begins(text: str, start: int) -> bool:
    before = text[max(0, start - 6) : start].rstrip(" '")
    return not before or before[-1] in _SENTENCE_END


def _shouts(text: str, start: int) -> bool:
    """Whether the line is written in capitals."""
    line = text[text.rfind("\n", 0, start) + 1 : (text.find("\n", start) + 1 or len(text) + 1) - 1]
    return line.isupper() and len(line) > 6
