"""A reader's text, written down piece by piece, with its pages and up to a limit."""

from __future__ import annotations

import re
from collections.abc import Iterable

from handlers.parsing.parsed import clean

MAX_CHARACTERS = 20_000_000
"""Most of one file's text: about 25,000 chunks."""

CELLS = " | "

_NARROW = "\u202f"


def cell_text(cell: str) -> str:
    """A cell as it stands in a row, in one line.

    The spaces beside its own bars become narrow ones that do not break, so that `CELLS` stands between
    cells alone.
    """
    text = " ".join(cell.split())
    if "|" not in text:
        return text
    text = re.sub(r" (?=\|)|(?<=\|) ", _NARROW, text)
    return f"|{_NARROW}" if text == "|" else text


class Writing:
    """Collects text; what goes beyond the limit is counted in `left_out` pieces."""

    def __init__(self, most: int = MAX_CHARACTERS) -> None:
        self._most = most
        self._parts: list[str] = []
        self._at = 0
        self._pages: list[tuple[int, int]] = []
        self._page: int | None = None
        self._running = ""
        self.left_out = 0

    @property
    def full(self) -> bool:
        """Whether something had to be left out already."""
        return self.left_out > 0

    @property
    def at(self) -> int:
        """Characters so far."""
        return self._at

    def paragraph(self, text: str) -> None:
        """A paragraph of its own, apart from what stands around it."""
        self._add(text, "\n\n")
        self._running = ""

    def line(self, text: str, run: str = "item") -> None:
        """A line that belongs to the lines of the same run before and after it: an item of a list, a row."""
        self._add(text, "\n" if self._running == run else "\n\n")
        self._running = run

    def row(self, cells: Iterable[str]) -> None:
        """A row of a table in one line; rows without any text are skipped."""
        shown = [cell_text(cell) for cell in cells]
        while shown and not shown[-1]:
            shown.pop()
        if shown:
            self.line(CELLS.join(shown), "row")

    def apart(self) -> None:
        """End the lines that belong together."""
        self._running = ""

    def page(self) -> None:
        """Begin a page; it holds all that is written until the next."""
        self._close()
        self._page = -1
        self._running = ""

    def finish(self) -> tuple[str, list[tuple[int, int]]]:
        """The text and `(start, end)` of each page."""
        self._close()
        self._page = None
        return "".join(self._parts), self._pages

    def _add(self, text: str, joint: str) -> None:
        text = clean(text).strip()
        if not text:
            return
        joint = joint if self._parts else ""
        if self._at + len(joint) + len(text) > self._most:
            self.left_out += 1
            return
        if self._page == -1:
            self._page = self._at + len(joint)
        self._parts += (joint, text)
        self._at += len(joint) + len(text)

    def _close(self) -> None:
        if self._page is not None:
            self._pages.append((self._at if self._page == -1 else self._page, self._at))
