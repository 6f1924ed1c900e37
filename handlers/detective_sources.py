"""A place in evidence as a finding shows it: a window of the passage with the names marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from storage.detective import PassageText
from storage.findings import Source

LENGTH = 320
"""Most characters of a snippet, marks of omission aside."""

WINDOWS = 3
"""Windows of one snippet, where names stand far from each other."""

_GAP = " … "


def mark_at(passage: PassageText, case: str, spots: Sequence[tuple[int, int]]) -> Source:
    """One window that shows all the spots, or one for each group of them, joined.

    Args:
        spots: Characters of the evidence's text, rising; empty for the beginning of the passage.
    """
    text = passage.text
    inside = [
        (max(0, start - passage.start), min(len(text), end - passage.start))
        for start, end in spots
        if start < passage.end and end > passage.start
    ]
    groups = _groups(inside) or [[(0, 0)]]
    shown, marked = "", []
    for place, group in enumerate(groups):
        left, right = _window(text, group[0][0], group[-1][1], LENGTH // len(groups))
        window, at = _in_a_line(text, left, right)
        before = _GAP if place else "…" if left else ""
        offset = len(shown) + len(before)
        marked += [(at(start) + offset, at(end) + offset) for start, end in group]
        shown += before + window
        last = right
    return Source(
        evidence=passage.evidence,
        case=case,
        title=passage.title,
        page=passage.page,
        start=passage.start + groups[0][0][0],
        end=passage.start + (groups[-1][-1][1] if inside else len(text)),
        chunk=passage.chunk,
        snippet=f"{shown}{'…' if last < len(text) else ''}",
        marked=[(a, b) for a, b in marked if b > a],
    )


def _groups(spots: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Spots that one window shows; the more windows, the shorter each."""
    for windows in range(1, WINDOWS + 1):
        groups: list[list[tuple[int, int]]] = []
        for spot in spots:
            if groups and spot[1] - groups[-1][0][0] <= LENGTH // windows:
                groups[-1].append(spot)
            else:
                groups.append([spot])
        if len(groups) <= windows:
            return groups
    return groups[:WINDOWS]


def _window(text: str, first: int, last: int, length: int) -> tuple[int, int]:
    """Whole words around some characters."""
    room = max(0, length - (last - first))
    left = _word_begin(text, max(0, first - room // 2), first)
    return left, _word_end(text, min(len(text), left + max(length, last - left)), last)


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
