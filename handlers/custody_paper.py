"""A custody report on paper: JSON in, PDF out, in a process of its own.

`python -m handlers.custody_paper` reads a report from standard input and writes the PDF to standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from handlers.paper_pages import GREEN, GREY, LEFT, RED, RIGHT, Cell, Colour, Line, Pages
from handlers.parsing.limits import limit_memory, limit_process, limit_time

MEMORY_BYTES = 1 << 30
TIME_S = 120.0
OUTPUT_BYTES = 256 << 20

_HASH = 6.7
_SMALL = 7.0
_FACT = (LEFT, 148.0), (152.0, RIGHT)
_EVENT = (LEFT, 86.0), (90.0, 178.0), (182.0, 290.0), (294.0, RIGHT)
_HASH_WIDTH = 90
"""Characters of a hash's font on a line."""


def write(report: dict[str, Any]) -> bytes:
    """The report as PDF."""
    pages = Pages()
    file = report["file"]
    _across(pages, Line(f"Custody of evidence {report['evidence']}", bold=True, size=17))
    _across(pages, Line(file["filename"], size=10))
    pages.skip(4)
    _across(pages, *_summary(report))
    _heading(pages, "The file", keep=60)
    for label, lines in _facts(report):
        pages.row(Cell(*_FACT[0], [Line(label, colour=GREY)]), Cell(*_FACT[1], lines))
    _heading(pages, f"What happened ({len(report['events'])} records)", keep=80)
    titles = ("Row", "When (UTC)", "Who", "What")
    pages.table([Cell(*place, [Line(name, bold=True)]) for place, name in zip(_EVENT, titles, strict=True)])
    for event in report["events"]:
        _event(pages, event, many=len(report["chains"]) > 1)
    pages.end_table()
    _proof(pages, report)
    return pages.finish(f"Custody of evidence {report['evidence']}, made {report['made_at']} UTC")


def _event(pages: Pages, event: dict[str, Any], *, many: bool) -> None:
    day, _, hour = event["at"].partition(" ")
    where = [_small(event["topic"])] if many else []
    detail = [Line(event["detail"])] if event["detail"] else []
    pages.row(
        Cell(*_EVENT[0], [Line(str(event["row"])), *where]),
        Cell(*_EVENT[1], [Line(day), Line(hour)]),
        Cell(*_EVENT[2], _person(event["who"])),
        Cell(*_EVENT[3], [Line(event["what"], bold=True), *detail]),
        keep=26.0,
    )
    hashes = [f"hash before  {event['before']}", f"hash after   {event['after']}"]
    pages.row(Cell(_EVENT[1][0], RIGHT, [_hash(line) for line in hashes]), rule=True)


def _summary(report: dict[str, Any]) -> list[Line]:
    whole = all(chain["whole"] for chain in report["chains"])
    lines = [
        Line(
            "Verified: every record is as it was written; none was changed or dropped.",
            bold=True,
            colour=GREEN,
        )
        if whole
        else Line("Not whole: the chain was tampered with. See “Proof”.", bold=True, colour=RED),
        Line(
            {
                "present": "The evidence is in the case.",
                "removed": "The evidence was removed and waits to be deleted; it can still be restored.",
                "deleted": "The evidence was deleted. This record of it stays.",
            }[report["state"]]
        ),
    ]
    gone = report["deletion"]
    if gone:
        why = f" Reason: {gone['why']}." if gone["why"] else ""
        lines.append(Line(f"Deleted {gone['at']} UTC by {_name(gone['who'])}.{why}"))
    return [*lines, _small(f"Made {report['made_at']} UTC by {_name(report['made_by'])}.")]


def _facts(report: dict[str, Any]) -> list[tuple[str, list[Line]]]:
    file = report["file"]
    facts = [
        ("Name", [Line(file["filename"] or "–")]),
        ("SHA-256", [_hash(file["sha256"] or "–")]),
        ("Size", [Line(f"{file['bytes']:,} bytes")]),
        ("Kind", [Line(file["media_type"] or "–")]),
        ("Uploaded by", _person(file["uploaded_by"])),
        ("Uploaded", [Line(f"{file['uploaded_at'] or '–'} UTC")]),
        ("Case", [Line(report["case"])]),
        ("Upload", [Line(report["upload"])]),
    ]
    if file["title"]:
        facts.insert(1, ("Title", [Line(file["title"])]))
    if file["parent"]:
        facts.append(("Found in", _related([file["parent"]])))
    if file["children"]:
        facts.append(("Held inside", _related(file["children"])))
    return facts


def _proof(pages: Pages, report: dict[str, Any]) -> None:
    _heading(pages, "Proof", keep=120)
    for chain in report["chains"]:
        deleted = chain["quotations_deleted"]
        told = f" {deleted} quotations of deleted evidence are gone; their hashes stay." if deleted else ""
        state: tuple[str, Colour] = ("whole", GREEN) if chain["whole"] else ("not whole", RED)
        rows = f"{chain['rows']} rows, signed to row {chain['signed_to']}"
        _across(pages, Line(f"Chain {chain['topic']}: {rows}, {state[0]}.", bold=True, colour=state[1]))
        if told:
            _across(pages, Line(told.strip()))
        for problem in chain["problems"]:
            pages.row(Cell(LEFT + 12, RIGHT, [Line(problem, colour=RED)]))
        if chain["head"]:
            head = chain["head"]
            signed = [
                Line(f"Signed head of {head['at']} UTC: row {head['row']} has the hash"),
                _hash(head["hash"]),
                Line("Ed25519 signature"),
                *_split(head["signature"]),
                Line("over the message"),
                *_split(head["message"]),
            ]
            for line in signed:
                pages.row(Cell(LEFT + 12, RIGHT, [line]))
        pages.skip(4)
    _heading(pages, "How to check it by hand", keep=60)
    for sentence in _HOW:
        _across(pages, Line(sentence))
    _across(pages, Line("Public key of this instance", colour=GREY))
    _across(pages, *(_hash(line) for line in report["public_key"].splitlines()))


_HOW = (
    "1. The same report as JSON holds the content of each record. The hash after a record is the SHA-256 of "
    "32 bytes, which are the hash before it, followed by that content in UTF-8.",
    "2. The hash before a record is the hash after the record with the number before, which may be about "
    "other evidence: “casewire custody verify” walks through all of them.",
    "3. The signature can be checked with the public key below, for example by “openssl pkeyutl -verify "
    "-pubin -inkey key.pem -rawin -in message -sigfile signature”. Copies of the signed heads that are kept "
    "elsewhere show whether a chain was written anew.",
)


def _heading(pages: Pages, text: str, *, keep: float) -> None:
    pages.skip(10)
    pages.row(Cell(LEFT, RIGHT, [Line(text, bold=True, size=11)]), keep=keep)


def _across(pages: Pages, *lines: Line) -> None:
    pages.row(Cell(LEFT, RIGHT, lines))


def _split(value: str) -> list[Line]:
    return [_hash(value[i : i + _HASH_WIDTH]) for i in range(0, len(value), _HASH_WIDTH)]


def _hash(text: str) -> Line:
    return Line(text, mono=True, size=_HASH)


def _small(text: str) -> Line:
    return Line(text, size=_SMALL, colour=GREY)


def _related(others: Sequence[dict[str, Any]]) -> list[Line]:
    return [
        Line(f"evidence {other['evidence']}" + (f", {other['filename']}" if other["filename"] else ""))
        for other in others
    ]


def _person(who: dict[str, str]) -> list[Line]:
    return [Line(who["name"] or "–"), _small(who["id"])]


def _name(who: dict[str, str]) -> str:
    return who["name"] or who["id"] or "somebody unknown"


def main() -> None:
    """Read, lay out, write."""
    limit_process(OUTPUT_BYTES)
    limit_memory(MEMORY_BYTES)
    limit_time(TIME_S)
    sys.stdout.buffer.write(write(json.load(sys.stdin.buffer)))


if __name__ == "__main__":
    main()
