"""Pieces of a document in the order in which they are read: paragraphs, headings, items, rows, notes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from handlers.parsing.writing import Writing

LONG_CELL = 400
"""Characters; a table with longer cells arranges text and is written cell by cell, not row by row."""

Kind = Literal["text", "heading", "item", "row", "note"]


class Block(NamedTuple):
    """A piece of text; only a row has cells."""

    kind: Kind
    text: str
    cells: tuple[str, ...] = ()


def write(blocks: Iterable[Block], writing: Writing) -> None:
    """Write blocks down; the rows of a table and the items of a list stand in lines."""
    for block in blocks:
        match block.kind:
            case "row":
                writing.row(block.cells)
            case "item":
                writing.line(block.text)
            case _:
                writing.paragraph(block.text)
