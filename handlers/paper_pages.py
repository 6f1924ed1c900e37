"""Pages that fill from the top: rows of cells, set in fonts that every script has.

What Helvetica and Droid Sans can show is wrapped and set here, with each font once a document. Only what
needs other fonts or shaping, such as Arabic or Thai, goes through MuPDF's layout of HTML, whose every piece
carries fonts of its own: pages are therefore closed and thinned out a few at a time.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Any, NamedTuple

from handlers.parsing.mupdf import pymupdf

PAGE = pymupdf.Rect(0, 0, 595, 842)
"""A4, in points."""
LEFT, RIGHT, TOP, BOTTOM = 48.0, 547.0, 72.0, 786.0

BLACK, GREY, GREEN, RED = (0.0, 0.0, 0.0), (0.35, 0.35, 0.35), (0.1, 0.42, 0.18), (0.67, 0.07, 0.07)
_RULE = (0.75, 0.75, 0.75)

PART_PAGES = 20
PART_PIECES = 100
"""After so many pages, or pieces laid out as HTML, what is done is thinned out."""

Colour = tuple[float, float, float]


class Line(NamedTuple):
    """Text in one style, wrapped where it is too long."""

    text: str
    bold: bool = False
    size: float = 8.5
    mono: bool = False
    colour: Colour = BLACK


class Cell(NamedTuple):
    """Lines between two edges."""

    left: float
    right: float
    lines: Sequence[Line]


class _Set(NamedTuple):
    """A piece of text at its place."""

    page: int
    x: float
    y: float
    text: str
    font: str
    size: float
    colour: Colour


class Pages:
    """A document that grows row by row."""

    def __init__(self) -> None:
        self._whole = pymupdf.open()
        self._out = io.BytesIO()
        self._writer = pymupdf.DocumentWriter(self._out)
        self._device: Any = None
        self._page = 0
        self._pieces = 0
        self._y = BOTTOM
        self._heading: Sequence[Cell] = ()
        self._rules: list[tuple[int, float]] = []
        self._texts: list[_Set] = []

    def row(self, *cells: Cell, rule: bool = False, keep: float = 0.0) -> None:
        """Set cells side by side; `keep` points must be left below them."""
        pieces = [[piece for line in cell.lines for piece in _pieces(line, cell)] for cell in cells]
        height = max((sum(piece.height for piece in column) for column in pieces), default=0.0)
        if self._y + min(height, BOTTOM - TOP) + keep > BOTTOM:
            self._next_page()
        first, top, lowest = self._page, self._y, (self._page, self._y)
        for cell, column in zip(cells, pieces, strict=True):
            if self._page != first:  # a cell before went on to the next page; its row ends there
                top = TOP
            self._y = top
            for piece in column:
                if self._y + piece.height > BOTTOM:
                    self._next_page()
                self._put(piece, cell)
            lowest = max(lowest, (self._page, self._y))
        self._y = lowest[1] + 3.0
        if rule:
            self._rules.append((self._page, self._y - 1.5))

    def table(self, heading: Sequence[Cell]) -> None:
        """From here on every page begins with this heading."""
        self._heading = ()
        self.row(*heading, rule=True, keep=60.0)
        self._heading = heading

    def end_table(self) -> None:
        """No heading any more."""
        self._heading = ()

    def skip(self, height: float) -> None:
        """Leave some room."""
        self._y += height

    def finish(self, footer: str) -> bytes:
        """The PDF; `footer` is plain text, to which the page numbers are added."""
        self._close_part()
        with self._whole as document:
            count = document.page_count
            for number, page in enumerate(document, 1):
                writer = pymupdf.TextWriter(page.rect)
                of = f"Page {number} of {count}"
                writer.append((LEFT, BOTTOM + 24), footer, font=_font("helv"), fontsize=7)
                right = RIGHT - _font("helv").text_length(of, fontsize=7)
                writer.append((right, BOTTOM + 24), of, font=_font("helv"), fontsize=7)
                writer.write_text(page, color=GREY)
            document.set_metadata({"title": footer, "producer": "Casewire"})
            return bytes(document.tobytes(garbage=4, deflate=True))

    def _put(self, piece: _Piece, cell: Cell) -> None:
        if piece.story is None:
            at = self._y + piece.line.size
            line = piece.line
            self._texts.append(
                _Set(self._page, cell.left, at, piece.text, piece.font, line.size, line.colour)
            )
        else:
            piece.story.place(pymupdf.Rect(cell.left, self._y, cell.right, self._y + piece.height + 1))
            piece.story.draw(self._device)
            self._pieces += 1
        self._y += piece.height

    def _next_page(self) -> None:
        if self._device is not None and (self._page >= PART_PAGES or self._pieces >= PART_PIECES):
            self._close_part()
        if self._device is not None:
            self._writer.end_page()
        self._device = self._writer.begin_page(PAGE)
        self._page += 1
        self._y = TOP
        if self._heading:
            heading, self._heading = self._heading, ()
            self.row(*heading, rule=True)
            self._heading = heading

    def _close_part(self) -> None:
        """The pages so far become part of the whole, without what their pieces carried in vain."""
        self._writer.end_page()
        self._writer.close()
        with pymupdf.open("pdf", self._out.getvalue()) as part:
            for number, page in enumerate(part, 1):
                for of_page, y in self._rules:
                    if of_page == number:
                        page.draw_line((LEFT, y), (RIGHT, y), color=_RULE, width=0.4)
                _write(page, [text for text in self._texts if text.page == number])
            part.subset_fonts()
            thin = part.tobytes(garbage=4, deflate=True)
        with pymupdf.open("pdf", thin) as part:
            self._whole.insert_pdf(part)
        self._out = io.BytesIO()
        self._writer = pymupdf.DocumentWriter(self._out)
        self._device, self._page, self._pieces = None, 0, 0
        self._rules, self._texts = [], []


class _Piece(NamedTuple):
    """One line as it is set, or a whole one as HTML."""

    line: Line
    text: str
    font: str
    height: float
    story: Any = None


def _pieces(line: Line, cell: Cell) -> list[_Piece]:
    width, shown = cell.right - cell.left, _printable(line.text)
    font = _font_for(shown, line)
    if font:
        return [
            _Piece(line, text, font, 1.28 * line.size) for text in _wrapped(shown, width, font, line.size)
        ]
    style = f"font-size:{line.size}pt;font-family:sans-serif;margin:0;font-weight:{700 if line.bold else 400}"
    broken = " ".join(_breakable(word) for word in shown.split(" "))
    story = pymupdf.Story(f"<p style='{style}'>{escape(broken)}</p>", user_css="body { margin: 0 }")
    _, filled = story.place(pymupdf.Rect(0, 0, width, 10_000))
    return [_Piece(line, shown, "", float(filled[3]), story)]


def _font_for(text: str, line: Line) -> str:
    """The name of a font of our own that has every letter; "" where none has."""
    for name in ("cour",) if line.mono else ("hebo",) if line.bold else ("helv",):
        if all(ord(one) < 256 or one in "–—‘’“”•…→" for one in text):
            return "cour" if line.mono else name if "→" not in text else "cjk"
    return "cjk" if all(_font("cjk").has_glyph(ord(one)) for one in text) else ""


def _wrapped(text: str, width: float, font: str, size: float) -> list[str]:
    """The lines of a text; a word that is longer than a line is broken."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if _length(longer, font, size) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        while _length(word, font, size) > width:
            fits = next(n for n in range(len(word) - 1, 0, -1) if _length(word[:n], font, size) <= width)
            lines.append(word[:fits])
            word = word[fits:]
        line = word
    return [*lines, line]


def _length(text: str, font: str, size: float) -> float:
    return size * sum(_advance(font, one) for one in text)


def _write(page: Any, texts: Sequence[_Set]) -> None:
    writers: dict[Colour, Any] = {}
    for text in texts:
        writer = writers.setdefault(text.colour, pymupdf.TextWriter(page.rect))
        writer.append((text.x, text.y), text.text, font=_font(text.font), fontsize=text.size)
    for colour, writer in writers.items():
        writer.write_text(page, color=colour)


def _printable(text: str) -> str:
    """What cannot be printed is told by its number."""
    return "".join(one if one.isprintable() else f"⟨{ord(one):X}⟩" for one in text)


def _breakable(word: str) -> str:
    if len(word) <= 40:
        return word
    return "\u200b".join(word[i : i + 24] for i in range(0, len(word), 24))


@cache
def _advance(font: str, letter: str) -> float:
    """Of a size of 1; asking MuPDF for every letter of every hash takes longer than all the rest."""
    return float(_font(font).text_length(letter, fontsize=1))


@cache
def _font(name: str) -> Any:
    return pymupdf.Font(name)
