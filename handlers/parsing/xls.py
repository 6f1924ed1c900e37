"""Excel 97-2003 workbooks (.xls) and older: the sheets with their values as shown, and comments."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import IO, Any

import xlrd

from handlers.parsing import blips, ole, properties
from handlers.parsing.enclosed import Enclosed
from handlers.parsing.facts import Facts, comment
from handlers.parsing.number_format import general, shown
from handlers.parsing.opened import opened
from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable
from handlers.parsing.tables import Table, column_name
from handlers.parsing.writing import Writing

MOST_BYTES = 256 << 20

_DRAWINGS, _CONTINUED = 0x00EB, 0x003C
_BROKEN = (xlrd.XLRDError, struct.error, IndexError, KeyError, ValueError, AssertionError, TypeError,
           AttributeError, UnicodeError, NotImplementedError)  # fmt: skip
"""What xlrd raises on a damaged file."""


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read a workbook sheet by sheet, also an encrypted one; groups of rows are its pages.

    Raises:
        PasswordNeeded: It is encrypted, and there is no password or it is wrong.
        Unreadable: It is damaged or of another kind.
    """
    facts, writing = Facts(), Writing()
    with opened(source) as file:
        content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise Unreadable(f"the workbook is larger than {MOST_BYTES >> 20} MiB")
        enclosed = Enclosed(outlet, facts)
        title = ""
        drawn: list[str] = []
        if content.startswith(b"\xd0\xcf\x11\xe0"):
            title, drawn, content = _around(io.BytesIO(content), facts, enclosed)
    try:
        book = xlrd.open_workbook(
            file_contents=content,
            formatting_info=True,
            on_demand=True,
            ragged_rows=True,
            logfile=io.StringIO(),
        )
    except _BROKEN as error:
        raise Unreadable(f"the Excel workbook is damaged: {_reason(error)}") from error
    names = book.sheet_names()
    places: list[str] = []
    for number, name in enumerate(names):
        try:
            _sheet(book, number, writing, facts, places)
        except _BROKEN as error:
            facts.notice(f"the sheet {name} is damaged and was read in part: {_reason(error)}")
        book.unload_sheet(number)
        outlet.progress(number + 1, len(names), "sheets")
    facts.known["sheets"] = names
    facts.known["places"] = places
    for said in drawn:
        writing.paragraph(f"[drawing: {' '.join(said.split())}]")
    enclosed.close()
    facts.note_left_out(writing)
    text, pages = writing.finish()
    return Parsed(text=text, pages=pages, title=title, meta=facts.meta())


def _around(file: IO[bytes], facts: Facts, enclosed: Enclosed) -> tuple[str, list[str], bytes]:
    """Properties, macros, pictures and objects; returns the title, the text of drawings and the sheets."""
    with ole.opened(file) as container:
        title = properties.of_ole(container, facts)
        ole.note_macros(container, facts)
        drawn = ole.send_inside(container, enclosed, ())
        name = "Workbook" if container.exists("Workbook") else "Book"
        stream = ole.stream(container, name)
        for suffix, content in blips.found_in(b"".join(_drawings(stream))):
            said = enclosed.held(f"picture{suffix}", content, picture=True)
            if said and said not in drawn:
                drawn.append(said)
    return title, drawn, stream


def _sheet(book: Any, number: int, writing: Writing, facts: Facts, places: list[str]) -> None:
    sheet = book.sheet_by_index(number)
    table = Table(writing, facts, sheet.name, places, hidden=sheet.visibility != 0)
    for column, info in sorted(sheet.colinfo_map.items()):
        if info.hidden and column < sheet.ncols:
            facts.hidden.append(f"sheet {sheet.name} column {column_name(column)}")
    for row in range(sheet.nrows):
        info = sheet.rowinfo_map.get(row)
        cells = [_value(book, cell) for cell in sheet.row(row)]
        table.row(row + 1, cells, hidden=bool(info and info.hidden))
    said = []
    for (row, column), note in sorted(sheet.cell_note_map.items()):
        where = f"{column_name(column)}{row + 1}"
        before = len(facts.annotations)
        facts.annotate("comment", note.author or "", note.text or "", "", on=f"{sheet.name}!{where}")
        said += [comment(found) for found in facts.annotations[before:]]
    table.note("\n\n".join(said))
    table.close()


def _value(book: Any, cell: Any) -> str:
    match cell.ctype:
        case xlrd.XL_CELL_TEXT:
            return str(cell.value)
        case xlrd.XL_CELL_NUMBER | xlrd.XL_CELL_DATE:
            style = book.xf_list[cell.xf_index] if cell.xf_index is not None else None
            form = book.format_map.get(style.format_key) if style is not None else None
            if form is None:
                return general(cell.value)
            return shown(cell.value, form.format_str, from_1904=bool(book.datemode))
        case xlrd.XL_CELL_BOOLEAN:
            return "TRUE" if cell.value else "FALSE"
        case xlrd.XL_CELL_ERROR:
            return str(xlrd.error_text_from_code.get(cell.value, "#ERROR"))
    return ""


def _drawings(stream: bytes) -> Iterator[bytes]:
    """What the records of drawings hold; a long one goes on in records of continuation."""
    at = 0
    within = False
    while at + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, at)
        within = kind == _DRAWINGS or (within and kind == _CONTINUED)
        if within:
            yield stream[at + 4 : at + 4 + size]
        at += 4 + size


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:150]}"
