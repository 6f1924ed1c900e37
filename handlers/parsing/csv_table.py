"""Tables as text (CSV, TSV and their relatives): which encoding, which separator, which quotes."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator

from handlers.parsing.facts import Facts
from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable
from handlers.parsing.plain import guess_encoding
from handlers.parsing.tables import Table
from handlers.parsing.writing import Writing

SEPARATORS = ",;\t|"
LOOK_CHARACTERS = 1 << 16
_MOST_ROWS_LOOKED_AT = 200
_EVERY = 5000
_HEAD_BYTES = 1 << 20
_MOST_FIELD = 1 << 22


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read a table; groups of rows are its pages.

    Raises:
        Unreadable: It is no text.
    """
    size = source.path.stat().st_size
    with open(source.path, "rb") as file:
        head = file.read(_HEAD_BYTES)
        encoding = guess_encoding(head, whole=len(head) == size)
        if encoding is None:
            raise Unreadable("the file is not text: it holds binary data")
        if encoding == "utf-8" and not _is_utf8(file):
            # What is legacy text shows only where its first special letter stands.
            encoding = "cp1252"
        file.seek(0)
        # The csv module takes a quote that is never closed for a field of all that follows.
        csv.field_size_limit(_MOST_FIELD)
        text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
        separator = separator_of(text.read(LOOK_CHARACTERS))
        text.seek(0)
        facts, writing, places = Facts(), Writing(), list[str]()
        table = Table(writing, facts, "", places)
        try:
            for number, cells in enumerate(_rows(text, separator), 1):
                table.row(number, cells)
                if number % _EVERY == 0:
                    outlet.progress(file.tell(), size, "bytes")
                    if writing.full:
                        facts.notice("the rows after that were not counted")
                        break
        except csv.Error:
            facts.notice(f"row {table.rows + 1:,} is damaged (a quote is not closed); the rest was left out")
    table.close()
    facts.known |= {"encoding": encoding, "separator": separator, "rows": table.rows, "places": places}
    facts.note_left_out(writing)
    said, pages = writing.finish()
    return Parsed(text=said, pages=pages, meta=facts.meta())


def separator_of(text: str) -> str:
    """The character that stands equally often in most lines; a comma where none does.

    >>> separator_of('a;b;c\\n1,5;2;3\\n4;"x;y";6\\n')
    ';'
    """
    best, score = ",", 0.0
    for separator in SEPARATORS:
        rows = []
        try:
            for row in csv.reader(io.StringIO(text.replace("\0", ""), newline=""), delimiter=separator):
                if row:
                    rows.append(len(row))
                if len(rows) >= _MOST_ROWS_LOOKED_AT:
                    break
        except csv.Error:
            continue
        # The last row may have been cut.
        rows = rows[:-1] or rows
        if not rows:
            continue
        width, count = Counter(rows).most_common(1)[0]
        if width > 1 and (found := (count / len(rows)) + min(width, 50) / 1000) > score:
            best, score = separator, found
    return best


def _rows(text: Iterator[str], separator: str) -> Iterator[list[str]]:
    yield from csv.reader((line.replace("\0", "") for line in text), delimiter=separator)


def _is_utf8(file: io.BufferedReader) -> bool:
    file.seek(0)
    decode = codecs.getincrementaldecoder("utf-8")()
    try:
        while block := file.read(1 << 20):
            decode.decode(block)
        decode.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
