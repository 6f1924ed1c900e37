"""What people left on a PDF's pages: remarks with author and time, and the fields of forms."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from handlers.parsing.mupdf import pymupdf
from handlers.parsing.parsed import clean
from handlers.parsing.pdf_lines import Row

_DATE = re.compile(
    r"D?:?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?\s*(?:(Z)|([+-])(\d\d)'?(\d\d)?'?)?", re.IGNORECASE
)
_MARKED = frozenset({"Highlight", "Underline", "Squiggly", "StrikeOut"})
_SILENT = frozenset({"Link", "Popup", "Widget", "PrinterMark", "TrapNet", "Watermark"})
_LINE_PT = 9.0


def iso_date(said: str) -> str:
    """A date of a PDF ("D:20240131120000+01'00'") as ISO 8601; "" for what is none.

    >>> iso_date("D:20240131120000+01'00'")
    '2024-01-31T12:00:00+01:00'
    >>> iso_date("D:2024")
    '2024-01-01T00:00:00'
    """
    found = _DATE.match(said.strip())
    if found is None:
        return ""
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    zone = None
    if found[7]:
        zone = UTC
    elif found[8]:
        offset = timedelta(hours=int(found[9]), minutes=int(found[10] or 0))
        zone = timezone(-offset if found[8] == "-" else offset) if offset < timedelta(days=1) else None
    try:
        return datetime(year, month or 1, day or 1, hour, minute, second, tzinfo=zone).isoformat()
    except ValueError:
        return ""


def remarks(page: pymupdf.Page) -> Iterator[tuple[dict[str, Any], Row | None]]:
    """Notes, highlights and other annotations of a page.

    Yields:
        Facts: `page` (from 1), `kind`, `author`, `text` (what was written), `at` (ISO 8601, "" if it is not
        told) and, for marked text, `marked`; and the line that makes it part of the document's text, or
        None where the page shows its text already.
    """
    for mark in page.annots():
        kind = mark.type[1]
        if kind in _SILENT:
            continue
        info = mark.info
        text = clean(info.get("content") or "").strip()[:20_000]
        author = clean(info.get("title") or "").strip()[:200]
        fact = {
            "page": page.number + 1,
            "kind": kind.lower(),
            "author": author,
            "text": text,
            "at": iso_date(info.get("creationDate") or "") or iso_date(info.get("modDate") or ""),
        }
        if kind in _MARKED:
            fact["marked"] = _marked(page, mark)
        box = mark.rect * page.rotation_matrix
        # What is typed on the page, and what a file is called, is no remark of its own.
        line = None
        if text and kind not in ("FreeText", "FileAttachment"):
            line = Row(
                f"[{' by '.join(part for part in (_NAMES.get(kind, 'Remark'), author) if part)}] "
                + " ".join(text.split()),
                (round(box.x0, 2), round(box.y0, 2), round(box.x1, 2), round(box.y1, 2)),
                _LINE_PT,
            )  # fmt: skip
        yield fact, line


_NAMES = {"Text": "Note", "Highlight": "Remark on a highlight", "StrikeOut": "Remark on struck text"}


def fields(page: pymupdf.Page, rows: Sequence[Row]) -> Iterator[tuple[str, str, Row | None]]:
    """The filled-in fields of a page's form.

    Args:
        page: The page.
        rows: Its lines.

    Yields:
        Name, value, and the line for the text where the page does not show the value itself.
    """
    shown = " ".join(" ".join(row.text for row in rows).split())
    for field in page.widgets():
        if field.field_type in (pymupdf.PDF_WIDGET_TYPE_BUTTON, pymupdf.PDF_WIDGET_TYPE_SIGNATURE):
            continue
        value = field.field_value
        if isinstance(value, (list, tuple)):
            value = ", ".join(str(one) for one in value)
        value = clean(str(value or "")).strip()[:20_000]
        ticks = field.field_type in (pymupdf.PDF_WIDGET_TYPE_CHECKBOX, pymupdf.PDF_WIDGET_TYPE_RADIOBUTTON)
        if not value or (ticks and value in ("Off", "False")):
            continue
        name = clean(field.field_name or field.field_label or "").strip()[:500] or f"field {field.xref}"
        said = clean(field.field_label or "").strip()[:500] or name
        line = None
        if ticks or " ".join(value.split()) not in shown:
            box = field.rect * page.rotation_matrix
            line = Row(
                f"[Field {said}] {' '.join(value.split())}",
                (round(box.x0, 2), round(box.y0, 2), round(box.x1, 2), round(box.y1, 2)),
                _LINE_PT,
            )
        yield name, value, line


def _marked(page: pymupdf.Page, mark: pymupdf.Annot) -> str:
    """The text that a highlight covers."""
    corners = mark.vertices or []
    quads = [pymupdf.Quad(corners[i : i + 4]).rect for i in range(0, len(corners) - 3, 4)]
    # Words are taken by their middle: a highlight grazes the lines above and below it.
    words = page.get_text("words")
    found = [
        word[4]
        for quad in quads or [mark.rect]
        for word in words
        if pymupdf.Point((word[0] + word[2]) / 2, (word[1] + word[3]) / 2) in quad
    ]
    return clean(" ".join(found))[:2000]
