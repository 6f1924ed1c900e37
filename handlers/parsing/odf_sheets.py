"""The sheets of OpenDocument spreadsheets, row by row."""

from __future__ import annotations

from handlers.parsing.facts import Facts
from handlers.parsing.markup import Element, attribute, children, descendants, forget, local
from handlers.parsing.odf_text import Text
from handlers.parsing.package import Package
from handlers.parsing.parsed import Outlet
from handlers.parsing.tables import Table
from handlers.parsing.writing import Writing

MOST_COLUMNS = 16_384
MOST_ROWS = 1 << 20
MOST_SAME_ROWS = 1000
"""Rows that one element may stand for; a filled row is not repeated more often."""
_EVERY = 2000


def read_sheets(package: Package, text: Text, facts: Facts, writing: Writing, outlet: Outlet) -> None:
    """Write the sheets; groups of rows are pages."""
    names: list[str] = []
    places: list[str] = []
    hidden_styles = _hidden_tables(package)
    table: Table | None = None
    number = beyond = 0
    for element in package.stream("content.xml", "table-row", "table", "shapes"):
        sheet = _sheet(element)
        if sheet is None:
            continue
        if table is None:
            name, number = attribute(sheet, "name"), 0
            names.append(name)
            hidden = attribute(sheet, "style-name") in hidden_styles
            table = Table(writing, facts, name, places, hidden=hidden)
        match local(element):
            case "table-row":
                repeated = _count(element, "number-rows-repeated", MOST_ROWS)
                cells = _cells(element, text)
                if any(cells):
                    hidden = attribute(element, "visibility") in ("collapse", "filter")
                    for i in range(min(repeated, MOST_SAME_ROWS)):
                        table.row(number + i + 1, cells, hidden=hidden)
                    beyond += max(repeated - MOST_SAME_ROWS, 0)
                if (number + repeated) // _EVERY > number // _EVERY:
                    outlet.progress(number, 0, "rows")
                number += repeated
                forget(element)
            case "shapes":
                table.note("\n\n".join(block.text for part in element for block in text.blocks(part)))
            case "table":
                table.note("\n\n".join(text.new_comments()))
                table.close()
                table = None
                outlet.progress(len(names), 0, "sheets")
                forget(element)
    facts.known["sheets"] = names
    facts.known["places"] = places
    if beyond:
        facts.left_out(beyond)
        facts.notice(f"{beyond:,} rows that repeat the row above them were left out")


def _sheet(element: Element) -> Element | None:
    """The sheet that a row or shape stands in, or that this is; None for what is no part of a sheet."""
    while element is not None and local(element) != "table":
        element = element.getparent()
    parent = element.getparent() if element is not None else None
    return element if parent is not None and local(parent) == "spreadsheet" else None


def _hidden_tables(package: Package) -> set[str]:
    for styles in package.stream("content.xml", "automatic-styles"):
        return {
            attribute(style, "name")
            for style in descendants(styles, "style")
            for properties in children(style, "table-properties")
            if attribute(properties, "display") == "false"
        }
    return set()


def _cells(row: Element, text: Text) -> list[str]:
    cells: list[str] = []
    for cell in row:
        if local(cell) not in ("table-cell", "covered-table-cell"):
            continue
        said = _value(cell, text)
        repeated = _count(cell, "number-columns-repeated", MOST_COLUMNS)
        # A style may fill the rest of the row with empty cells.
        cells.extend([said] * (repeated if said else min(repeated, MOST_COLUMNS - len(cells))))
        if len(cells) >= MOST_COLUMNS:
            break
    return cells


def _value(cell: Element, text: Text) -> str:
    shown = " ".join(block.text for part in cell for block in text.blocks(part))
    kind = attribute(cell, "value-type")
    if kind == "date" and (at := attribute(cell, "date-value")):
        return at.replace("T", " ").removesuffix(" 00:00:00")
    if shown:
        return shown
    for name in ("string-value", "value", "boolean-value", "time-value"):
        if said := attribute(cell, name):
            return said
    formula = attribute(cell, "formula")
    return formula.partition(":")[2] if ":=" in formula else formula


def _count(element: Element, name: str, most: int) -> int:
    said = attribute(element, name, "1")
    return min(int(said), most) if said.isdecimal() and len(said) < 10 else 1
