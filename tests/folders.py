"""Folders made for tests: small files of many kinds, some twice, some broken, always the same for a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from handlers.parsing.mupdf import pymupdf

_TEXT = (
    "the board approved payment of four thousand two hundred to contractor Hallam on its meeting in March "
    "harbour wall invoice number signed by treasurer after second vote who asked whether works were done "
    "minutes inspector Reyes Friday letter bank account opened Lisbon account transfer delayed crane lease"
)
_WORDS = _TEXT.split()

SAME = b"This notice was sent to every tenant, word by word the same.\n"


def make_folder(root: Path, files: int, *, seed: int = 1) -> None:
    """Write so many files below `root`: texts, notes, tables, mails, some PDFs, copies and damaged ones.

    Of a hundred about 4 are copies of one text, 2 are damaged PDFs, 1 is empty and 4 are PDFs of one
    to three pages.
    """
    chance = random.Random(seed)
    pages = [_pdf(random.Random(seed + n), 1 + n % 3) for n in range(12)]
    for number in range(files):
        folder = root / f"box {number % 17}" / f"file {number % 5}"
        folder.mkdir(parents=True, exist_ok=True)
        name, content = _file(chance, number, pages)
        (folder / name).write_bytes(content)


def _file(chance: random.Random, number: int, pages: list[bytes]) -> tuple[str, bytes]:
    text = " ".join(_prose(chance, chance.randint(20, 150)))
    kind = chance.randrange(100)
    if kind < 4:
        return f"notice {number}.txt", SAME
    if kind < 6:
        return f"scan {number}.pdf", b"%PDF-1.7\n" + chance.randbytes(300)
    if kind < 7:
        return f"empty {number}.txt", b""
    if kind < 11:
        # A comment behind the end makes each of them another file.
        return f"report {number}.pdf", pages[number % len(pages)] + b"\n%% %d\n" % number
    if kind < 26:
        return f"mail {number}.eml", _mail(number, text)
    if kind < 36:
        rows = "".join(f"{n},{chance.choice(_WORDS)},{chance.randint(1, 9999)}\n" for n in range(12))
        return f"table {number}.csv", f"number,what,sum\n{rows}".encode()
    if kind < 46:
        return f"note {number}.md", f"# Note {number}\n\n{text}\n".encode()
    return f"text {number}.txt", f"{number}. {text}\n".encode()


def _mail(number: int, text: str) -> bytes:
    return (
        f"From: clerk{number % 9}@example.org\r\nTo: board@example.org\r\nSubject: {text[:30]}\r\n"
        f"Message-ID: <{number}@example.org>\r\nDate: Mon, 4 Mar 2024 10:00:00 +0000\r\n\r\n{text}\r\n"
    ).encode()


def _pdf(chance: random.Random, pages: int) -> bytes:
    with pymupdf.open() as document:
        for _ in range(pages):
            page = document.new_page()
            for line in range(20):
                page.insert_text((60, 60 + 16 * line), " ".join(_prose(chance, 9)), fontsize=9)
        return bytes(document.tobytes())


def _prose(chance: random.Random, words: int) -> Iterator[str]:
    return (chance.choice(_WORDS) for _ in range(words))
