"""The window of a passage that shows best why it was found, with the matched terms marked."""

from __future__ import annotations

from collections.abc import Iterable

from handlers.terms import Token, tokens

LENGTH = 320
"""Most characters of a snippet, marks of omission included."""

_CUT = "…"


def snippet(text: str, wanted: Iterable[str], *, length: int = LENGTH) -> tuple[str, list[tuple[int, int]]]:
    """The best window of `text` in one line, and where the wanted terms stand in it.

    The best window holds the most different wanted terms, then the most occurrences, then begins
    first; with none the passage's beginning is shown. It begins and ends with words.

    Args:
        text: A passage.
        wanted: Terms as `handlers.terms` makes them.
        length: Most characters.

    Returns:
        The window, and `(start, end)` offsets into it, rising and apart.
    """
    line = " ".join(text.split())
    terms = set(wanted)
    matches = [token for token in tokens(line) if token.term in terms]
    start, end = _window(line, matches, length)
    shown = f"{_CUT if start else ''}{line[start:end]}{_CUT if end < len(line) else ''}"
    shift = len(_CUT) * bool(start) - start
    marks: list[tuple[int, int]] = []
    for token in sorted(matches, key=lambda token: (token.start, -token.end)):
        if start <= token.start and token.end <= end and (not marks or token.start + shift >= marks[-1][1]):
            marks.append((token.start + shift, token.end + shift))
    return shown, marks


def _window(line: str, matches: list[Token], length: int) -> tuple[int, int]:
    if len(line) <= length:
        return 0, len(line)
    room = length - 2 * len(_CUT)
    best, begin, finish = (0, 0), 0, 0
    for i, first in enumerate(matches):
        inside = [m for m in matches[i:] if m.end - first.start <= room]
        value = (len({m.term for m in inside}), len(inside))
        if value > best:
            best, begin, finish = value, first.start, max(m.end for m in inside)
    # The matches stand in the middle, as far as the ends of the text allow.
    start = max(0, min(begin - (room - (finish - begin)) // 2, len(line) - room))
    if start:
        space = line.find(" ", start, begin + 1)
        start = space + 1 if space != -1 else begin
    end = min(start + room, len(line))
    if end < len(line):
        space = line.rfind(" ", max(start, finish), end + 1)
        end = space if space > start else end
    return start, end
