"""The facts about a PDF, and the sentences that tell its reader what could not be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from handlers.parsing.mupdf import pymupdf
from handlers.parsing.parsed import clean
from handlers.parsing.pdf_files import is_portfolio
from handlers.parsing.pdf_marks import iso_date
from handlers.parsing.pdf_redactions import Hidden

MOST = 2000
"""Remarks, fields and redactions of one document that are kept as facts; the text has them all."""

DOUBTFUL = 0.7
"""Confidence below which readers are told to compare recognised text with its page."""

_SAID = {
    "author": "author",
    "subject": "subject",
    "creator": "creator",
    "producer": "producer",
    "format": "format",
}
_DATES = {"created": "creationDate", "modified": "modDate"}


@dataclass
class Findings:
    """What was found in `total` pages, by page numbers from 1; each list is in their order."""

    total: int
    broken: list[int] = field(default_factory=list)
    layers: list[int] = field(default_factory=list)
    replaced: list[int] = field(default_factory=list)
    ocr: dict[int, float] = field(default_factory=dict)
    ocr_needed: list[int] = field(default_factory=list)
    ocr_missing: str = ""
    language: str = ""
    absent: list[str] = field(default_factory=list)
    timed_out: list[int] = field(default_factory=list)
    not_drawn: list[int] = field(default_factory=list)
    unchecked: list[int] = field(default_factory=list)
    redactions: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[dict[str, Any]] = field(default_factory=list)
    form: dict[str, str] = field(default_factory=dict)
    left_out: int = 0
    said: list[str] = field(default_factory=list)

    def redaction(self, page: int, hidden: Hidden) -> None:
        one = {"page": page, "box": list(hidden.box), "text": hidden.text, "why": hidden.why}
        self._keep(self.redactions, one)

    def remark(self, fact: dict[str, Any]) -> None:
        self._keep(self.remarks, fact)

    def field(self, name: str, value: str) -> None:
        """Fields of one name are one field shown in several places, or choices of one question."""
        if name not in self.form and len(self.form) >= MOST:
            self.left_out += 1
        elif value not in self.form.setdefault(name, value).split("; "):
            self.form[name] += f"; {value}"

    def _keep(self, kept: list[dict[str, Any]], one: dict[str, Any]) -> None:
        if len(kept) < MOST:
            kept.append(one)
        else:
            self.left_out += 1


def facts(document: pymupdf.Document, found: Findings) -> dict[str, Any]:
    """What `Parsed.meta` tells about a document."""
    told = document.metadata or {}
    meta: dict[str, Any] = {
        name: value
        for name, key in _SAID.items()
        if (value := clean(told.get(key) or "").replace("\n", " ").strip()[:500])
    }
    meta |= {name: date for name, key in _DATES.items() if (date := iso_date(told.get(key) or ""))}
    meta["pages"] = found.total
    lists = {
        "unreadable_pages": found.broken,
        "ocr_layer": found.layers,
        "ocr_needed": found.ocr_needed,
        "ocr_failed": sorted(found.timed_out + found.not_drawn),
        "redactions": found.redactions,
        "annotations": found.remarks,
        "form": found.form,
    }
    meta |= {name: value for name, value in lists.items() if value}
    if found.ocr:
        meta["ocr"] = {
            "pages": list(found.ocr),
            "confidence": {str(page): confidence for page, confidence in found.ocr.items()},
            "language": found.language,
        }
        if found.replaced:
            meta["ocr"]["replaced_layer"] = found.replaced
    if is_portfolio(document):
        meta["portfolio"] = True
    if notice := "; ".join([*found.said, *_notices(found)]):
        meta["notice"] = notice
    return meta


def _notices(found: Findings) -> list[str]:
    said = []
    if found.redactions:
        pages = sorted({one["page"] for one in found.redactions})
        said.append(
            f"text is hidden on {pages_said(pages)} but can still be read in the file "
            f"({len(found.redactions)} places): redactions that do not redact"
        )
    if found.ocr_needed:
        said.append(
            f"{pages_said(found.ocr_needed)}: pictures, whose text was not recognised; {found.ocr_missing}"
        )
    if found.absent and found.ocr:
        said.append(f"there is no OCR data for {', '.join(found.absent)}; only {found.language} was used")
    doubtful = [page for page, confidence in found.ocr.items() if 0 < confidence < DOUBTFUL]
    if doubtful:
        said.append(
            f"the text of {pages_said(doubtful)} was recognised with low confidence: compare it with the page"
        )
    if empty := [page for page, confidence in found.ocr.items() if not confidence]:
        said.append(f"{pages_said(empty)}: pictures in which no text was recognised")
    if found.replaced:
        said.append(f"the text layer of {pages_said(found.replaced)} was hardly text and was recognised anew")
    if found.timed_out:
        said.append(f"recognising the text of {pages_said(found.timed_out)} took too long and was given up")
    if found.not_drawn:
        said.append(
            f"{pages_said(found.not_drawn)}: too large or too damaged to be drawn, so text was not recognised"
        )
    if found.broken:
        said.append(f"{len(found.broken)} of {found.total} pages are damaged and were left out")
    if found.unchecked:
        said.append(f"{pages_said(found.unchecked)} could not be searched for bad redactions")
    if found.left_out:
        said.append(f"{found.left_out} more remarks, fields or redactions are not listed")
    return said


def pages_said(numbers: Sequence[int]) -> str:
    """Page numbers as people write them.

    >>> pages_said([1, 2, 3, 7])
    'pages 1–3, 7'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    shown = [str(a) if a == b else f"{a}–{b}" for a, b in runs[:20]]
    more = " and others" if len(runs) > 20 else ""
    return f"{'page' if len(numbers) == 1 else 'pages'} {', '.join(shown)}{more}"
