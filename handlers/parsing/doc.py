"""Word 97-2003 documents (.doc): body, notes, headers, comments and tracked deletions in one text.

Source: Microsoft, [MS-DOC] Word (.doc) Binary File Format, sections 2.4 to 2.6.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import olefile

from handlers.parsing import doc_formatting as formatting
from handlers.parsing import ole, properties
from handlers.parsing.doc_formatting import Formatting, Piece, moment
from handlers.parsing.enclosed import Enclosed
from handlers.parsing.facts import Facts
from handlers.parsing.opened import opened
from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable
from handlers.parsing.writing import Writing

# Pairs of place and length at 0x9A of the file's head, by their index.
_FOOTNOTES, _FOOTNOTE_TEXTS, _COMMENTS, _COMMENT_TEXTS = 2, 3, 4, 5
_MARGINS, _CHARACTERS, _PARAGRAPHS, _PIECES, _COMMENTERS, _ENDNOTES, _ENDNOTE_TEXTS, _REVISERS = (
    11, 12, 13, 33, 36, 46, 47, 51,
)  # fmt: skip

_WORD_97 = 0xA5EC
_WORD_6 = (0xA5DC, 0xA5DB)
_PARTS = ("body", "footnotes", "margins", "macros", "comments", "endnotes", "boxes", "margin_boxes")
_STOPS = re.compile("[\r\x07\x0c]")
_FIELD = re.compile("\x13([^\x13\x14\x15]*)(?:\x14([^\x13\x15]*))?\x15")
_OUTSIDE = re.compile(
    r"\s*(?:INCLUDEPICTURE|INCLUDETEXT|DDE|DDEAUTO|LINK|IMPORT|RD|DATABASE)\b", re.IGNORECASE
)
_LINK = re.compile(r'\s*HYPERLINK\s+(?!\\)"?([^"\s]+)', re.IGNORECASE)
_MARKS = str.maketrans({"\x0b": "\n", "\x1e": "-", "\x1f": None, "\x01": None, "\x08": None, "\x05": None,
                        "\x02": None, "\x03": None, "\x04": None, "\x0e": None})  # fmt: skip
_CODE_PAGES = {0x0419: "cp1251", 0x0408: "cp1253", 0x041F: "cp1254", 0x0405: "cp1250", 0x0415: "cp1250",
               0x040E: "cp1250", 0x040D: "cp1255", 0x0401: "cp1256", 0x0411: "cp932"}  # fmt: skip


class Note(NamedTuple):
    """A footnote, or an endnote where it does not stand `inline`: characters `start`..`end`."""

    number: int
    start: int
    end: int
    inline: bool


Notes = dict[int, Note]


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read a document of Word 6 to 2003, also an encrypted one; its pages are not known.

    Raises:
        PasswordNeeded: It is encrypted, and there is no password or it is wrong.
        Unreadable: It is damaged or of another kind.
    """
    with opened(source) as file, ole.opened(file) as container:
        facts, writing = Facts(), Writing()
        title = properties.of_ole(container, facts)
        ole.note_macros(container, facts)
        enclosed = Enclosed(outlet, facts)
        try:
            first = _Document(container, facts).write(writing)
        except (struct.error, IndexError, OverflowError) as error:
            raise Unreadable("the Word document is damaged: its text cannot be found") from error
        facts.write(writing)
        for said in ole.send_inside(container, enclosed, ("Data", "WordDocument")):
            writing.paragraph(f"[drawing: {' '.join(said.split())}]")
        enclosed.close()
    facts.note_left_out(writing)
    text, _ = writing.finish()
    return Parsed(text=text, title=title or (first if len(first) <= 200 else ""), meta=facts.meta())


class _Document:
    def __init__(self, container: olefile.OleFileIO, facts: Facts) -> None:
        self._facts = facts
        self._stream = ole.stream(container, "WordDocument")
        (ident,) = struct.unpack_from("<H", self._stream)
        (flags,) = struct.unpack_from("<H", self._stream, 0x0A)
        if flags & 0x0100:
            raise Unreadable(
                "the document is encrypted in a way that cannot be read; save it without a password"
            )
        self._table = b""
        self._lengths: dict[str, int] = {}
        if ident == _WORD_97:
            self._table = ole.stream(container, "1Table" if flags & 0x0200 else "0Table")
            counts = struct.unpack_from("<8i", self._stream, 0x4C)
            if min(counts) < 0:
                raise Unreadable("the Word document is damaged: its text cannot be found")
            self._lengths = dict(zip(_PARTS, counts, strict=True))
            pieces = formatting.pieces(self._part(_PIECES))
            if not pieces:
                raise Unreadable("the Word document is damaged: the list of its text pieces is missing")
            self._text = formatting.text_of(self._stream, pieces, sum(counts) + 1)
            self._characters = Formatting(
                pieces, formatting.runs(self._stream, self._part(_CHARACTERS), paragraphs=False)
            )
            self._styles = Formatting(
                pieces, formatting.runs(self._stream, self._part(_PARAGRAPHS), paragraphs=True)
            )
            if len(self._text) < sum(counts):
                facts.notice("the document is cut off; what could be read of it was read")
        elif ident in _WORD_6:
            self._read_old()
        else:
            raise Unreadable("this is no Word document, or it is damaged at its beginning")
        # Two bytes of mark, the count and the size of what follows each stand before the names.
        self._revisers = _people(self._part(_REVISERS)[6:])

    def write(self, writing: Writing) -> str:
        """Write everything; returns the first heading."""
        start = {}
        at = 0
        for name in _PARTS:
            start[name] = at
            at += self._lengths.get(name, 0)
        margins = list(self._stories(start["margins"]))
        seen: set[str] = set()
        for place, (low, high) in enumerate(margins):
            if place % 6 in (0, 1, 4):
                self._once(low, high, writing, seen)
        notes = self._notes(_FOOTNOTES, _FOOTNOTE_TEXTS, start["footnotes"], 0, inline=True)
        ends = self._notes(_ENDNOTES, _ENDNOTE_TEXTS, start["endnotes"], len(notes), inline=False)
        first = self._body(0, self._lengths["body"], writing, notes | ends)
        for note in ends.values():
            writing.paragraph(self._note(note))
        for name in ("boxes", "margin_boxes"):
            self._body(start[name], start[name] + self._lengths.get(name, 0), writing, {})
        for place, (low, high) in enumerate(margins):
            if place % 6 in (2, 3, 5):
                self._once(low, high, writing, seen)
        self._comments(start["comments"])
        return first

    def _read_old(self) -> None:
        """Word 6 and 95: one stretch of text in the code page of its language."""
        begin, end = struct.unpack_from("<2I", self._stream, 0x18)
        (flags,) = struct.unpack_from("<H", self._stream, 0x0A)
        (language,) = struct.unpack_from("<H", self._stream, 0x06)
        counts = struct.unpack_from("<8i", self._stream, 0x34)
        self._lengths = dict(zip(_PARTS, (max(count, 0) for count in counts), strict=True))
        if flags & 0x0004:
            self._facts.notice("it was saved by Word 6 in parts; their order may be wrong")
        raw = self._stream[begin:end]
        self._text = raw.decode(_CODE_PAGES.get(language, "cp1252"), "replace")
        self._lengths["body"] = min(self._lengths["body"] or len(self._text), len(self._text))
        whole = [Piece(0, len(self._text), begin, False)]
        self._characters = self._styles = Formatting(whole, [])

    def _part(self, index: int) -> bytes:
        if not self._table:
            return b""
        (count,) = struct.unpack_from("<H", self._stream, 0x98)
        if index >= count:
            return b""
        place, size = struct.unpack_from("<II", self._stream, 0x9A + 8 * index)
        return self._table[place : place + size]

    def _body(self, start: int, end: int, writing: Writing, notes: Notes) -> str:
        """Write paragraphs and tables with their footnotes behind them; returns the first heading."""
        first = ""
        cells: list[str] = []
        cell: list[str] = []
        due: list[int] = []
        places = sorted(notes)
        for low, stop in self._paragraphs(start, end):
            said = self._said(low, stop, notes)
            due += places[bisect_left(places, low) : bisect_left(places, stop)]
            run = self._run(self._styles, stop)
            properties = run.properties if run else {}
            if properties.get(formatting.ROW_END):
                writing.row(cells)
                cells, cell = [], []
            elif self._text[stop : stop + 1] == "\x07":
                cells.append("\n".join([*cell, said]))
                cell = []
                continue
            elif properties.get(formatting.IN_TABLE):
                cell.append(said)
                continue
            else:
                writing.row([*cells, *cell])
                cells, cell = [], []
                heading = run is not None and 1 <= run.style <= 9
                first = first or (said if heading else "")
                writing.paragraph(said)
            for place in due:
                if notes[place].inline:
                    writing.paragraph(self._note(notes[place]))
            due = []
        writing.row([*cells, *cell])
        writing.apart()
        return first

    def _paragraphs(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        low = start
        for mark in _STOPS.finditer(self._text, start, min(end, len(self._text))):
            yield low, mark.start()
            low = mark.end()
        if low < min(end, len(self._text)):
            yield low, min(end, len(self._text))

    def _said(self, low: int, high: int, notes: Notes) -> str:
        """A paragraph as it is read, with what was deleted noted and what is hidden marked."""
        parts: list[str] = []
        gone: list[tuple[str, str, str]] = []
        adjacent = False
        for start, end, run in self._characters.spans(low, high):
            text = self._text[start:end]
            properties = run.properties if run else {}
            if properties.get(formatting.DELETED) == 1:
                by, at = properties.get(formatting.DELETED_BY, -1), properties.get(formatting.DELETED_AT, 0)
                author = self._revisers[by] if 0 <= by < len(self._revisers) else ""
                before = gone.pop()[2] if adjacent and gone[-1][:2] == (author, moment(at)) else ""
                gone.append((author, moment(at), before + text))
                adjacent = True
                continue
            adjacent = False
            if "\x02" in text:
                text = "".join(
                    f"[{notes[start + i].number}]" if c == "\x02" and start + i in notes else c
                    for i, c in enumerate(text)
                )
            hidden = properties.get(formatting.HIDDEN, 0) & 1
            parts.append(f"\x0e{text}\x0f" if hidden else text)
        said = self._without_codes("".join(parts))
        for author, at_said, text in gone:
            self._facts.delete(self._without_codes(text), author, at_said, said)
        return said

    def _without_codes(self, text: str) -> str:
        while (shorter := _FIELD.sub(self._field, text)) != text:
            text = shorter
        # A field that goes on in another paragraph has its instruction here.
        text = re.sub("\x13[^\x13\x14\x15]*\x14?", "", text).replace("\x14", "").replace("\x15", "")
        text = re.sub("\x0f(\\s*)\x0e", r"\1", text)
        text = re.sub("\x0e([^\x0f]*)\x0f", lambda found: self._facts.hide(found[1]), text)
        return formatting.paired(text.translate(_MARKS)).strip()

    def _field(self, found: re.Match[str]) -> str:
        instruction, result = found[1], found[2] or ""
        if _OUTSIDE.match(instruction):
            self._facts.refer(f"field {instruction.strip()}")
        link = _LINK.match(instruction)
        return f"{result} <{link[1]}>" if link and link[1] not in result else result

    def _run(self, runs: Formatting, place: int) -> formatting.Run | None:
        return next((run for _, _, run in runs.spans(place, place + 1)), None)

    def _notes(self, places: int, texts: int, start: int, before: int, *, inline: bool) -> Notes:
        """Notes by the place of their mark."""
        marks, bounds = self._part(places), _longs(self._part(texts))
        count = max((len(marks) - 4) // 6, 0)
        found = {}
        for i, place in enumerate(_longs(marks)[:count]):
            if i + 1 < len(bounds):
                found[place] = Note(before + i + 1, start + bounds[i], start + bounds[i + 1], inline)
        return found

    def _note(self, note: Note) -> str:
        return f"[{note.number}] {self._said(note.start, note.end, {})}"

    def _stories(self, start: int) -> list[tuple[int, int]]:
        """Headers and footers, six a section; what separates the footnotes stands before them."""
        bounds = _longs(self._part(_MARGINS))
        return [(start + low, start + high) for low, high in pairwise(bounds[6:-1])]

    def _once(self, low: int, high: int, writing: Writing, seen: set[str]) -> None:
        text = "\n".join(filter(None, (self._said(*found, {}) for found in self._paragraphs(low, high))))
        if text and text not in seen:
            seen.add(text)
            writing.paragraph(text)

    def _comments(self, start: int) -> None:
        marks, bounds = self._part(_COMMENTS), _longs(self._part(_COMMENT_TEXTS))
        people = _people(self._part(_COMMENTERS))
        count = max((len(marks) - 4) // 34, 0)
        for i in range(min(count, len(bounds) - 1)):
            (by,) = struct.unpack_from("<H", marks, 4 * (count + 1) + 30 * i + 20)
            text = self._said(start + bounds[i], start + bounds[i + 1], {})
            self._facts.annotate("comment", people[by] if by < len(people) else "", text, "")


def _longs(content: bytes) -> tuple[int, ...]:
    return struct.unpack_from(f"<{len(content) // 4}I", content)


def _people(content: bytes) -> list[str]:
    """Strings of two bytes a character, each after its length."""
    found = []
    at = 0
    while at + 2 <= len(content):
        (length,) = struct.unpack_from("<H", content, at)
        found.append(content[at + 2 : at + 2 + 2 * length].decode("utf-16-le", "replace"))
        at += 2 + 2 * length
    return found
