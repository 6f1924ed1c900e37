"""Rows of a table as text that is found again: in groups as long as a chunk, each under the table's header.

A group is a page of its own, since chunks do not cross pages and hits name theirs; `places` tells which
cells a page holds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from handlers.parsing.facts import Facts
from handlers.parsing.writing import CELLS, Writing, cell_text

GROUP_CHARACTERS = 400
"""Of a group of rows, header included.

On 120 questions to two tables of 800 rows, the row asked for was among the first five chunks by words in
98 % of cases; in 83 % with pages of 50 rows under one header, and in 87 % with groups of 700 characters.
Names of columns before every value (`Pay: 20`) gave 100 %, for 37 % more text to embed.
"""
LONGEST_HEADER = 300
"""Characters of a header that is repeated; a group holds at least as much of rows as of header."""
LOOK_AHEAD = 12
"""First rows that are looked at for a header."""
LONGEST_LABEL = 80

_NUMBER = re.compile(r"[\W\d]*$")


def column_name(index: int) -> str:
    """A column's letters, from 0.

    >>> column_name(0), column_name(27), column_name(702)
    ('A', 'AB', 'AAA')
    """
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


class Table:
    """Writes one sheet; give it its rows in order, then `close` it.

    Args:
        name: Stands at the head of every group; "" for a file that is one table.
        places: Gets the cells of each page, such as `Sheet1!A1:F40`.
        hidden: Whether the whole sheet is not shown.
    """

    def __init__(
        self, writing: Writing, facts: Facts, name: str, places: list[str], *, hidden: bool = False
    ) -> None:
        self._facts = facts
        self._hidden: list[tuple[int, int]] = []
        self._heading = f"{name} [hidden sheet]" if hidden else name
        if hidden:
            facts.hidden.append(f"sheet {name}")
        self._writing = writing
        self._name = name
        self._places = places
        self._waiting: list[tuple[int, list[str], bool]] | None = []
        self._header: tuple[int, str] | None = None
        self._size = 0
        self._most = GROUP_CHARACTERS
        self._group: tuple[int, int, int] | None = None
        self.rows = 0

    def row(self, number: int, cells: Sequence[str], *, hidden: bool = False) -> None:
        """A row by its number, from 1, with its cells from the first column on."""
        shown = [cell_text(cell) for cell in cells]
        while shown and not shown[-1]:
            shown.pop()
        if not shown:
            return
        self.rows += 1
        if hidden:
            if self._hidden and self._hidden[-1][1] == number - 1:
                self._hidden[-1] = (self._hidden[-1][0], number)
            else:
                self._hidden.append((number, number))
        if self._waiting is None:
            self._write(number, shown, hidden)
            return
        self._waiting.append((number, shown, hidden))
        if len(self._waiting) >= LOOK_AHEAD:
            self._begin()

    def note(self, text: str) -> None:
        """What belongs to the table beside its rows, after them."""
        if text.strip():
            self._begin()
            self._end()
            self._writing.page()
            self._place(self._name)
            self._say(self._heading)
            self._writing.paragraph(text)

    def close(self) -> None:
        """Write what is still waiting."""
        self._begin()
        self._end()
        for first, last in self._hidden:
            rows = f"row {first}" if first == last else f"rows {first}–{last}"
            self._facts.hidden.append(f"sheet {self._name} {rows}" if self._name else rows)

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting:
            self._header = _header(waiting)
            if self._header:
                self._most = max(self._most, 2 * len(self._header[1]))
            for number, cells, hidden in waiting:
                self._write(number, cells, hidden)

    def _write(self, number: int, cells: list[str], hidden: bool) -> None:
        text = CELLS.join(cells)
        if hidden:
            text = f"[hidden: {text}]"
        if self._group is None or self._size + len(text) > self._most:
            self._end()
            self._writing.page()
            self._size = 0
            self._say(self._heading)
            if self._header and number > self._header[0]:
                self._say(self._header[1])
            self._group = (number, number, len(cells))
        first, _, width = self._group
        self._group = (first, number, max(width, len(cells)))
        self._say(text)

    def _say(self, text: str) -> None:
        if text:
            self._writing.line(text, "row")
            self._size += len(text) + 1

    def _end(self) -> None:
        if self._group is not None:
            first, last, width = self._group
            sheet = f"{self._name}!" if self._name else ""
            self._place(f"{sheet}A{first}:{column_name(width - 1)}{last}")
            self._group = None

    def _place(self, place: str) -> None:
        self._places.append(place)


def _header(rows: list[tuple[int, list[str], bool]]) -> tuple[int, str] | None:
    """The row that names the columns: as wide as the others, all words, no two alike."""
    width = max(sum(map(bool, cells)) for _, cells, _ in rows)
    for number, cells, _ in rows[:-1]:
        labels = [cell for cell in cells if cell]
        if len(labels) >= max(2, 0.6 * width):
            named = not any(_NUMBER.match(label) or len(label) > LONGEST_LABEL for label in labels)
            text = CELLS.join(cells)
            fits = len(text) <= LONGEST_HEADER and len(set(labels)) == len(labels)
            return (number, text) if named and fits else None
    return None
