"""A PDF: the text of every page with its place, recognised where the page is a picture, and its facts.

What is there beside the pages' own text stands at the end of its page: remarks, and the values of fields
that the page does not show. Text under a bad redaction is part of the text and listed in the facts.
"""

from __future__ import annotations

from handlers.parsing import pdf_files, pdf_marks, pdf_redactions, pdf_scans
from handlers.parsing.mupdf import pymupdf
from handlers.parsing.ocr import Missing, Recogniser, recogniser
from handlers.parsing.parsed import Line, Outlet, Parsed, PasswordNeeded, Source, Unreadable
from handlers.parsing.pdf_facts import Findings, facts
from handlers.parsing.pdf_lines import Row, lay_out, rows_of, without_margin_numbers
from handlers.parsing.pdf_scans import Look
from handlers.parsing.pdf_title import title_of

BETTER = 0.75
"""Confidence from which what is recognised takes the place of a layer that is hardly text."""

GUESSED = 0.4
"""Confidence below which there was no text: photographs, and scripts that the data does not know."""

_DAMAGE = (RuntimeError, ValueError, KeyError, TypeError, IndexError)
"""What PyMuPDF raises on damaged files."""


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read a PDF.

    Tools: `tessdata` and `ocr_languages`, see `ocr.Recogniser`.

    Raises:
        PasswordNeeded: It is encrypted and the password does not open it.
        Unreadable: It is so damaged that no page can be read.
    """
    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    try:
        document = pymupdf.open(source.path, filetype="pdf")
    except (pymupdf.FileDataError, pymupdf.EmptyFileError, RuntimeError, ValueError) as error:
        raise Unreadable("the PDF is damaged and cannot be opened") from error
    with document:
        if document.needs_pass and not (source.password and document.authenticate(source.password)):
            raise PasswordNeeded(
                "the password does not open this PDF"
                if source.password
                else "the PDF is encrypted; give a password"
            )
        if not document.page_count:
            raise Unreadable("the PDF is damaged: it has no pages")
        return _Reading(document, source, outlet).all()


class _Reading:
    """One document being read, page by page."""

    def __init__(self, document: pymupdf.Document, source: Source, outlet: Outlet) -> None:
        self._document = document
        self._source = source
        self._outlet = outlet
        self._found = Findings(document.page_count)
        self._engine: Recogniser | None = None

    def all(self) -> Parsed:
        parts: list[str] = []
        pages: list[tuple[int, int]] = []
        lines: list[Line] = []
        first_rows: list[Row] = []
        at = 0
        total = self._document.page_count
        for index in range(total):
            rows = self._rows(index)
            # Recognised lines have no font; their heights would make titles of dirt.
            first_rows = first_rows or ([] if index + 1 in self._found.ocr else rows)
            text, places = lay_out(rows)
            lines.extend(Line(index + 1, at + start, at + end, box) for start, end, box in places)
            pages.append((at, at + len(text)))
            parts.append(text)
            at += len(text) + 2
            self._outlet.progress(index + 1, total)
        if len(self._found.broken) == total:
            raise Unreadable("the PDF is damaged: none of its pages can be read")
        self._found.said.extend(pdf_files.send_files(self._document, self._outlet))
        return Parsed(
            text="\n\n".join(parts),
            pages=pages,
            lines=lines,
            title=title_of((self._document.metadata or {}).get("title") or "", first_rows),
            meta=facts(self._document, self._found),
        )

    def _rows(self, index: int) -> list[Row]:
        """The lines of a page; none, and a note of it, where the page is damaged."""
        try:
            page = self._document[index]
            rows = rows_of(page)
            look = pdf_scans.look(page, rows)
            self._look_for_redactions(page, rows)
            beside = self._beside(page, rows)
            if look is Look.LAYER:
                self._found.layers.append(index + 1)
            elif look is not Look.TEXT:
                rows = self._recognised(page, rows, look)
        except _DAMAGE as error:
            _reraise_memory(error)
            self._found.broken.append(index + 1)
            return []
        return without_margin_numbers(rows) + beside

    def _beside(self, page: pymupdf.Page, rows: list[Row]) -> list[Row]:
        """What belongs to a page and is not printed on it."""
        beside: list[Row] = []
        for name, value, line in pdf_marks.fields(page, rows):
            self._found.field(name, value)
            beside.extend([line] if line else [])
        for remark, line in pdf_marks.remarks(page):
            self._found.remark(remark)
            beside.extend([line] if line else [])
        return beside

    def _look_for_redactions(self, page: pymupdf.Page, rows: list[Row]) -> None:
        try:
            hidden = pdf_redactions.hidden_text(self._source.path, self._source.password, page, rows)
        except _DAMAGE as error:
            _reraise_memory(error)
            self._found.unchecked.append(page.number + 1)
            return
        for one in hidden:
            self._found.redaction(page.number + 1, one)

    def _recognised(self, page: pymupdf.Page, rows: list[Row], look: Look) -> list[Row]:
        """The lines of a page that is a picture, its own ones among them."""
        number = page.number + 1
        engine = self._recogniser()
        if engine is None:
            (self._found.ocr_needed if look is Look.SCAN else self._found.layers).append(number)
            return rows
        dpi = pdf_scans.dpi_of(page)
        try:
            picture = pdf_scans.grey(page, dpi)
        except _DAMAGE:
            # Also where there is no memory for it: the other pages can still be read.
            self._found.not_drawn.append(number)
            return rows
        seen = engine.recognise(picture, dpi)
        if look is Look.DOUBTFUL:
            if seen.confidence < BETTER:
                self._found.layers.append(number)
                return rows
            self._found.replaced.append(number)
            rows = [row for row in rows if row.shown]
        if seen.timed_out:
            self._found.timed_out.append(number)
            return rows
        if seen.confidence < GUESSED:
            self._found.ocr[number] = 0.0
            return rows
        self._found.ocr[number] = round(seen.confidence, 2)
        return pdf_scans.merged(rows, pdf_scans.recognised(seen, dpi))

    def _recogniser(self) -> Recogniser | None:
        """The engine, or None, and a sentence about it, where it has no data."""
        if self._engine is None and not self._found.ocr_missing:
            tools = self._source.tools
            try:
                self._engine = recogniser(tools.get("tessdata", ""), tools.get("ocr_languages", "eng"))
            except Missing as error:
                self._found.ocr_missing = str(error)
            else:
                self._found.language = self._engine.languages
                self._found.absent = self._engine.absent
        return self._engine


def _reraise_memory(error: Exception) -> None:
    """MuPDF tells of a lack of memory in words."""
    if "memory" in str(error) or "malloc" in str(error):
        raise MemoryError from error
