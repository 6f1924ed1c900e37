"""A custody report on paper: JSON in, PDF out, in a process of its own.

`python -m handlers.custody_paper` reads a report from standard input and writes the PDF to standard
output. MuPDF lays out each cell, since it carries fonts for every script and shapes it; the grid is our
own, so that each page repeats its heading and no hash is cut.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from html import escape
from typing import Any

import pymupdf

from handlers.parsing.limits import limit_memory, limit_process, limit_time

MEMORY_BYTES = 1 << 30
TIME_S = 120.0
OUTPUT_BYTES = 256 << 20

PAGE = pymupdf.Rect(0, 0, 595, 842)
"""A4, in points."""
LEFT, RIGHT, TOP, BOTTOM = 48.0, 547.0, 72.0, 786.0

_CSS = """
body { font-family: sans-serif; font-size: 8.5pt; margin: 0 }
p { margin: 0 }
h1 { font-size: 17pt; margin: 0 0 3pt 0 }
h2 { font-size: 11pt; margin: 12pt 0 3pt 0 }
.small { font-size: 7pt; color: #555 }
.label { color: #555 }
.hash { font-family: monospace; font-size: 6.7pt }
.well { color: #1a6b2f } .ill { color: #a11 }
"""

Cell = tuple[float, float, str]
"""Left edge, right edge, HTML."""


class Paper:
    """Pages that fill from the top; a row that does not fit begins the next one."""

    def __init__(self) -> None:
        self._out = io.BytesIO()
        self._writer = pymupdf.DocumentWriter(self._out)
        self._device: Any = None
        self._page = 0
        self._y = BOTTOM
        self._bottom = 0.0
        """How far down the row under way reaches."""
        self._heading: Sequence[Cell] = ()
        self._lines: list[tuple[int, float]] = []
        """Page and height of each rule."""

    def row(self, *cells: Cell, rule: bool = False, keep: float = 0.0) -> None:
        """Place cells side by side; `keep` points must be left below them."""
        stories = [(left, right, pymupdf.Story(html or " ", user_css=_CSS)) for left, right, html in cells]
        height = 0.0
        for left, right, story in stories:
            _, filled = story.place(pymupdf.Rect(left, 0, right, 10_000))
            height = max(height, filled[3])
        if self._y + height + keep > BOTTOM:
            self._next_page()
        for left, right, story in stories:
            # What is taller than a page goes on on the next ones.
            more = True
            while more:
                more, filled = story.place(pymupdf.Rect(left, self._y, right, BOTTOM))
                story.draw(self._device)
                if more:
                    self._next_page()
            self._bottom = max(self._bottom, filled[3])
        self._y = self._bottom + 3.0
        self._bottom = 0.0
        if rule:
            self._lines.append((self._page, self._y - 1.5))

    def table(self, heading: Sequence[Cell]) -> None:
        """From here on every page begins with this heading."""
        self._heading = ()
        self.row(*heading, rule=True, keep=60.0)
        self._heading = heading

    def end(self) -> None:
        """No heading any more."""
        self._heading = ()

    def skip(self, height: float) -> None:
        """Leave some room."""
        self._y += height

    def finish(self, footer: str) -> bytes:
        """The PDF; `footer` is plain text, to which the page numbers are added."""
        self._writer.end_page()
        self._writer.close()
        with pymupdf.open("pdf", self._out.getvalue()) as document:
            count = document.page_count
            for number, page in enumerate(document, 1):
                for of_page, y in self._lines:
                    if of_page == number:
                        page.draw_line((LEFT, y), (RIGHT, y), color=(0.75, 0.75, 0.75), width=0.4)
                box = pymupdf.Rect(LEFT, BOTTOM + 12, RIGHT, BOTTOM + 40)
                left = f"<p class='small'>{escape(footer)}</p>"
                page.insert_htmlbox(box, left, css=_CSS)
                right = f"<p class='small' style='text-align:right'>Page {number} of {count}</p>"
                page.insert_htmlbox(box, right, css=_CSS)
            document.subset_fonts()
            document.set_metadata({"title": footer, "producer": "Casewire"})
            return bytes(document.tobytes(garbage=4, deflate=True))

    def _next_page(self) -> None:
        if self._device is not None:
            self._writer.end_page()
        self._device = self._writer.begin_page(PAGE)
        self._page += 1
        self._y = TOP
        self._bottom = 0.0
        if self._heading:
            heading, self._heading = self._heading, ()
            self.row(*heading, rule=True)
            self._heading = heading


WHOLE = (LEFT, RIGHT)
_FACT = (LEFT, 148.0), (152.0, RIGHT)
_EVENT = (LEFT, 86.0), (90.0, 178.0), (182.0, 290.0), (294.0, RIGHT)


def write(report: dict[str, Any]) -> bytes:
    """The report as PDF."""
    paper = Paper()
    file = report["file"]
    paper.row((*WHOLE, f"<h1>Custody of evidence {report['evidence']}</h1><p>{_text(file['filename'])}</p>"))
    paper.row((*WHOLE, _summary(report)))
    paper.row((*WHOLE, "<h2>The file</h2>"), keep=60)
    for label, value in _facts(report):
        paper.row((*_FACT[0], f"<p class='label'>{label}</p>"), (*_FACT[1], value))
    paper.row((*WHOLE, f"<h2>What happened ({len(report['events'])} records)</h2>"), keep=80)
    paper.table(
        [
            (*place, f"<p><b>{name}</b></p>")
            for place, name in zip(_EVENT, ("Row", "When (UTC)", "Who", "What"), strict=True)
        ]
    )
    for event in report["events"]:
        _event(paper, event, many=len(report["chains"]) > 1)
    paper.end()
    _proof(paper, report)
    return paper.finish(f"Custody of evidence {report['evidence']}, made {report['made_at']} UTC")


def _event(paper: Paper, event: dict[str, Any], *, many: bool) -> None:
    day, _, hour = event["at"].partition(" ")
    where = f"<p class='small'>{_text(event['topic'])}</p>" if many else ""
    detail = f"<p>{_text(event['detail'])}</p>" if event["detail"] else ""
    paper.row(
        (*_EVENT[0], f"<p>{event['row']}</p>{where}"),
        (*_EVENT[1], f"<p>{day}</p><p>{hour}</p>"),
        (*_EVENT[2], _person(event["who"])),
        (*_EVENT[3], f"<p><b>{_text(event['what'])}</b></p>{detail}"),
        keep=26.0,
    )
    paper.row(
        (_EVENT[1][0], RIGHT, _hashes(event["before"], event["after"])),
        rule=True,
    )


def _hashes(before: str, after: str) -> str:
    return (
        f"<p class='hash'>hash before&#160; {before}</p>"
        f"<p class='hash'>hash after&#160;&#160; {after}</p>"
    )  # fmt: skip


def _summary(report: dict[str, Any]) -> str:
    state = {
        "present": "The evidence is in the case.",
        "removed": "The evidence was removed and waits to be deleted; it can still be restored.",
        "deleted": "The evidence was deleted. This record of it stays.",
    }[report["state"]]
    whole = all(chain["whole"] for chain in report["chains"])
    verdict = (
        "<p class='well'><b>Verified: every record is as it was written; none was changed or dropped.</b></p>"
        if whole
        else "<p class='ill'><b>Not whole: the chain was tampered with. See “Proof”.</b></p>"
    )
    gone = report["deletion"]
    told = ""
    if gone:
        why = f" Reason: {_text(gone['why'])}." if gone["why"] else ""
        told = f"<p>Deleted {gone['at']} UTC by {_name(gone['who'])}.{why}</p>"
    made = f"<p class='small'>Made {report['made_at']} UTC by {_name(report['made_by'])}.</p>"
    return f"{verdict}<p>{state}</p>{told}{made}"


def _facts(report: dict[str, Any]) -> list[tuple[str, str]]:
    file = report["file"]
    facts = [
        ("Name", f"<p>{_text(file['filename']) or '–'}</p>"),
        ("SHA-256", f"<p class='hash'>{_text(file['sha256']) or '–'}</p>"),
        ("Size", f"<p>{file['bytes']:,} bytes</p>"),
        ("Kind", f"<p>{_text(file['media_type']) or '–'}</p>"),
        ("Uploaded by", _person(file["uploaded_by"])),
        ("Uploaded", f"<p>{_text(file['uploaded_at']) or '–'} UTC</p>"),
        ("Case", f"<p>{_text(report['case'])}</p>"),
        ("Upload", f"<p>{_text(report['upload'])}</p>"),
    ]
    if file["title"]:
        facts.insert(1, ("Title", f"<p>{_text(file['title'])}</p>"))
    if file["parent"]:
        facts.append(("Found in", _related([file["parent"]])))
    if file["children"]:
        facts.append(("Held inside", _related(file["children"])))
    return facts


def _proof(paper: Paper, report: dict[str, Any]) -> None:
    paper.row((*WHOLE, "<h2>Proof</h2>"), keep=120)
    for chain in report["chains"]:
        colour = "well" if chain["whole"] else "ill"
        state = "whole" if chain["whole"] else "not whole"
        deleted = chain["quotations_deleted"]
        told = f" {deleted} quotations of deleted evidence are gone; their hashes stay." if deleted else ""
        paper.row(
            (
                *WHOLE,
                f"<p><b>Chain {_text(chain['topic'])}</b>: {chain['rows']} rows, signed to row "
                f"{chain['signed_to']}, <span class='{colour}'><b>{state}</b></span>.{told}</p>",
            )
        )
        for problem in chain["problems"]:
            paper.row((LEFT + 12, RIGHT, f"<p class='ill'>{_text(problem)}</p>"))
        if chain["head"]:
            head = chain["head"]
            signed = "".join(_split(head["signature"]))
            paper.row(
                (
                    LEFT + 12,
                    RIGHT,
                    f"<p>Signed head of {head['at']} UTC: row {head['row']} has the hash</p>"
                    f"<p class='hash'>{head['hash']}</p><p>Ed25519 signature</p>{signed}"
                    f"<p>over the message</p>{''.join(_split(head['message']))}",
                )
            )
        paper.skip(4)
    paper.row((*WHOLE, _how(report)))


def _how(report: dict[str, Any]) -> str:
    key = "".join(f"<p class='hash'>{_text(line)}</p>" for line in report["public_key"].splitlines())
    return (
        "<h2>How to check it by hand</h2>"
        "<p>1. The same report as JSON holds the content of each record. The hash after a record is the "
        "SHA-256 of 32 bytes, which are the hash before it, followed by that content in UTF-8.</p>"
        "<p>2. The hash before a record is the hash after the record with the number before, which may be "
        "about other evidence: “casewire custody verify” walks through all of them.</p>"
        "<p>3. The signature can be checked with the public key below, for example by “openssl pkeyutl "
        "-verify -pubin -inkey key.pem -rawin -in message -sigfile signature”. Copies of the signed heads "
        "that are kept elsewhere show whether a chain was written anew.</p>"
        f"<p class='label'>Public key of this instance</p>{key}"
    )


def _split(value: str, width: int = 96) -> list[str]:
    pieces = [value[i : i + width] for i in range(0, len(value), width)]
    return [f"<p class='hash'>{_text(piece)}</p>" for piece in pieces]


def _related(others: Sequence[dict[str, Any]]) -> str:
    return "".join(
        f"<p>evidence {other['evidence']}{', ' + _text(other['filename']) if other['filename'] else ''}</p>"
        for other in others
    )


def _person(who: dict[str, str]) -> str:
    return f"<p>{_text(who['name']) or '–'}</p><p class='small'>{_text(who['id'])}</p>"


def _name(who: dict[str, str]) -> str:
    return _text(who["name"] or who["id"]) or "somebody unknown"


def _text(value: object) -> str:
    """Plain text in HTML; a long word may be broken anywhere, and what cannot be printed is told."""
    shown = "".join(one if one.isprintable() else f"⟨{ord(one):X}⟩" for one in str(value))
    words = (
        "\u200b".join(word[i : i + 24] for i in range(0, len(word), 24)) if len(word) > 40 else word
        for word in shown.split(" ")
    )
    return escape(" ".join(words))


def main() -> None:
    """Read, lay out, write."""
    limit_process(OUTPUT_BYTES)
    limit_memory(MEMORY_BYTES)
    limit_time(TIME_S)
    sys.stdout.buffer.write(write(json.load(sys.stdin.buffer)))


if __name__ == "__main__":
    main()
