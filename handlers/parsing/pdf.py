"""The text layer of a PDF: text in reading order, every line with its place on its page."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import pymupdf

from handlers.parsing.parsed import Line, Outlet, Parsed, PasswordNeeded, Source, Unreadable, clean

FLAGS = pymupdf.TEXTFLAGS_DICT & ~pymupdf.TEXT_PRESERVE_IMAGES & ~pymupdf.TEXT_PRESERVE_LIGATURES

MARGIN_NUMBERS = 10
"""So many numbers of one column in a row are the line numbers of a transcript or pleading."""

_BARE_FILE = re.compile(r"^\S+\.\w{2,4}\b|^[^\s_]*_\S*$")
_OFFICE = re.compile(r"^Microsoft (?:Word|Excel|PowerPoint|Print To PDF)\s*-\s*", re.IGNORECASE)
_SOURCE_FILE = re.compile(r"\.(?:docx?|xlsx?|pptx?|rtf|wpd|indd|pages|odt|pdf|tiff?|qxd|p65)$", re.IGNORECASE)
_NO_TITLE = re.compile(r"^(?:untitled.*|document\d*|title|unknown|none|no ?name|scan.*|\W*)$", re.IGNORECASE)


class Row(NamedTuple):
    """A line as MuPDF finds it: its text, its box on the page as shown, its font size."""

    text: str
    box: tuple[float, float, float, float]
    size: float


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read a PDF.

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
        return _read_pages(document, outlet)


def _read_pages(document: pymupdf.Document, outlet: Outlet) -> Parsed:
    parts: list[str] = []
    pages: list[tuple[int, int]] = []
    lines: list[Line] = []
    broken: list[int] = []
    blank: list[int] = []
    first_rows: list[Row] = []
    at = 0
    total = document.page_count
    for index in range(total):
        try:
            page = document[index]
            rows = _rows(page)
            pictures = not rows and bool(page.get_images())
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            if "memory" in str(error) or "malloc" in str(error):
                raise MemoryError from error
            broken.append(index + 1)
            rows, pictures = [], False
        if pictures:
            blank.append(index + 1)
        if not first_rows:
            first_rows = rows
        text, found = _lay_out(rows)
        lines.extend(Line(index + 1, at + start, at + end, box) for start, end, box in found)
        pages.append((at, at + len(text)))
        parts.append(text)
        at += len(text) + 2
        if index % 50 == 49:
            outlet.progress(index + 1, total)
    if len(broken) == total:
        raise Unreadable("the PDF is damaged: none of its pages can be read")
    text = "\n\n".join(parts)
    return Parsed(
        text=text,
        pages=pages,
        lines=lines,
        title=_title(document, first_rows),
        meta=_meta(document, total, broken, blank, bool(text.strip())),
    )


def _rows(page: pymupdf.Page) -> list[Row]:
    # MuPDF reports places on the page before it is turned; people see it turned.
    turned = page.rotation_matrix if page.rotation else None
    rows: list[Row] = []
    for block in page.get_text("dict", flags=FLAGS)["blocks"]:
        for line in block.get("lines", ()):
            text = clean("".join(span["text"] for span in line["spans"])).replace("\n", " ").strip()
            if text:
                box = pymupdf.Rect(line["bbox"]) * turned if turned else line["bbox"]
                size = max(span["size"] for span in line["spans"])
                x0, y0, x1, y1 = (round(float(value), 2) for value in box)
                rows.append(Row(text, (x0, y0, x1, y1), size))
    return _without_margin_numbers(rows)


def _without_margin_numbers(rows: list[Row]) -> list[Row]:
    """Leave out line numbers: integers that rise by one down a column in the left margin."""
    numbers = [(i, int(row.text)) for i, row in enumerate(rows) if re.fullmatch(r"\d{1,2}", row.text)]
    numbers.sort(key=lambda found: rows[found[0]].box[1])
    if len(numbers) < MARGIN_NUMBERS or len(numbers) == len(rows):
        return rows
    column = median(rows[i].box[2] for i, _ in numbers)
    width = 3 * max(rows[i].size for i, _ in numbers)
    aligned = [(i, n) for i, n in numbers if abs(rows[i].box[2] - column) <= width]
    rising = sum(b[1] == a[1] + 1 for a, b in pairwise(aligned))
    others = [row.box[0] for row in rows if not row.text.isdecimal()]
    if rising < MARGIN_NUMBERS - 1 or not others or median(others) <= column:
        return rows
    # A page number in the same column does not continue the sequence.
    runs = {
        i
        for k, (i, n) in enumerate(aligned)
        if (k and aligned[k - 1][1] == n - 1) or (k + 1 < len(aligned) and aligned[k + 1][1] == n + 1)
    }
    return [row for i, row in enumerate(rows) if i not in runs]


def _lay_out(rows: list[Row]) -> tuple[str, list[tuple[int, int, tuple[float, float, float, float]]]]:
    """Join a page's lines: those side by side by spaces, a wide gap makes a paragraph."""
    steps = [b.box[1] - a.box[1] for a, b in pairwise(rows)]
    down = [step for step in steps if step > 1]
    pitch = median(down) if down else 0.0
    parts: list[str] = []
    places: list[tuple[int, int, tuple[float, float, float, float]]] = []
    at = 0
    for i, row in enumerate(rows):
        if i:
            before = rows[i - 1]
            overlap = min(before.box[3], row.box[3]) - max(before.box[1], row.box[1])
            height = min(before.box[3] - before.box[1], row.box[3] - row.box[1])
            if overlap > 0.5 * height and row.box[0] >= before.box[2] - 1:
                joint = "  " if row.box[0] - before.box[2] > 2 * row.size else " "
            else:
                joint = "\n" if -1 <= steps[i - 1] <= 1.4 * pitch else "\n\n"
            parts.append(joint)
            at += len(joint)
        parts.append(row.text)
        places.append((at, at + len(row.text), row.box))
        at += len(row.text)
    return "".join(parts), places


def _title(document: pymupdf.Document, rows: list[Row]) -> str:
    """The document's own title, else the largest print of its first page with text."""
    said = clean((document.metadata or {}).get("title") or "").replace("\n", " ").strip()
    said = _SOURCE_FILE.sub("", _OFFICE.sub("", said)).strip()
    dubious = _NO_TITLE.match(said) or _BARE_FILE.match(said) or "\\" in said or "/" in said
    if not dubious and _names_something(said):
        return said
    if not rows:
        return ""
    body = Counter(round(row.size) for row in rows for _ in range(len(row.text))).most_common(1)[0][0]
    largest = max((round(row.size) for row in rows if sum(c.isalpha() for c in row.text) >= 3), default=0)
    if largest < 1.2 * body:
        return ""
    first = next(i for i, row in enumerate(rows) if round(row.size) == largest)
    words = []
    for row in rows[first : first + 3]:
        if round(row.size) != largest:
            break
        words.append(row.text)
    title = " ".join(words)
    return title if " " in title and _names_something(title) else ""


def _names_something(title: str) -> bool:
    """Rather a title than a number, a stamp or badly recognised print."""
    plain = sum(c.isalnum() or c in " ,.-'’:&()/" for c in title)
    letters = sum(c.isalpha() for c in title)
    return 4 <= letters <= len(title) <= 200 and plain >= 0.95 * len(title) and letters >= 0.4 * len(title)


def _meta(
    document: pymupdf.Document, total: int, broken: list[int], blank: list[int], has_text: bool
) -> dict[str, Any]:
    facts = document.metadata or {}
    meta: dict[str, Any] = {
        key: value
        for key in ("format", "author", "subject", "creator", "producer", "creationDate", "modDate")
        if (value := clean(facts.get(key) or "").strip()[:500])
    }
    meta["pages"] = total
    if broken:
        meta["unreadable_pages"] = broken
    if blank:
        meta["pages_without_text"] = blank
    if files := document.embfile_count():
        meta["embedded_files"] = files
    if notice := _notice(total, broken, blank, has_text, files):
        meta["notice"] = notice
    return meta


def _notice(total: int, broken: list[int], blank: list[int], has_text: bool, files: int) -> str:
    said = []
    if not has_text:
        said.append("the PDF has no text layer; recognising text in pictures (OCR) is not available")
    elif blank:
        said.append(f"{len(blank)} of {total} pages are pictures without text; OCR is not available")
    if broken:
        said.append(f"{len(broken)} of {total} pages are damaged and were left out")
    if files:
        said.append(f"{files} embedded files were not read")
    return "; ".join(said)
