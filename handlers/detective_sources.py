"""A place in evidence as a finding shows it: a window of the passage with the names marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from storage.detective import PassageText
from storage.findings import Source

LENGTH = 320
"""Most characters of a snippet, marks of omission aside."""


def mark_at(passage: PassageText, case: str, spots: Sequence[tuple[int, int]]) -> Source:
    """The window that shows as many of the spots as go into it, the first one at least.

    Args:
        spots: Characters of the evidence's text, rising; empty for the beginning of the passage.
    """
    text = passage.text
    inside = [
        (max(0, start - passage.start), min(len(text), end - passage.start))
        for start, end in spots
        if start < passage.end and end > passage.start
    ]
    first = inside[0][0] if inside else 0
    together = [(start, end) for start, end in inside if end - first <= LENGTH] or inside[:1]
    last = max((end for _, end in together), default=0)
    room = max(0, LENGTH - (last - first))
    left = _word_begin(text, max(0, first - room // 2), first)
    right = _word_end(text, min(len(text), left + max(LENGTH, last - left)), last)
    shown, places = _in_a_line(text, left, right)
    marked = [(places(start), places(end)) for start, end in together]
    cut = "…" if left else ""
    return Source(
        evidence=passage.evidence,
        case=case,
        title=passage.title,
        page=passage.page,
        start=passage.start + (first if together else 0),
        end=passage.start + (last if together else len(text)),
        chunk=passage.chunk,
        snippet=f"{cut}{shown}{'…' if right < len(text) else ''}",
        marked=[(a + len(cut), b + len(cut)) for a, b in marked if b > a],
    )


def _word_begin(text: str, left: int, most: int) -> int:
    if left == 0 or text[left - 1].isspace():
        return left
    return next((i for i in range(left, most) if text[i].isspace()), most)


def _word_end(text: str, right: int, least: int) -> int:
    if right == len(text) or text[right].isspace():
        return right
    return next((i for i in range(right, least, -1) if text[i - 1].isspace()), least)


def _in_a_line(text: str, left: int, right: int) -> tuple[str, Callable[[int], int]]:
    """The window with runs of white space as one space, and where a character of the text stands in it."""
    shown: list[str] = []
    at: dict[int, int] = {}
    for i in range(left, right):
        at[i] = len(shown)
        if not text[i].isspace():
            shown.append(text[i])
        elif shown and shown[-1] != " ":
            shown.append(" ")
    while shown and shown[-1] == " ":
        shown.pop()
    end = len(shown)
    return "".join(shown), lambda i: min(at.get(i, end), end)
