"""Readers of office files against the bare libraries that others use, interleaved: files and pages a second.

`python -m tests.bench.bench_readers`
"""

from __future__ import annotations

import csv
import io
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from html.parser import HTMLParser
from pathlib import Path

import docx as python_docx
import openpyxl
import pptx as python_pptx
import xlrd
from striprtf.striprtf import rtf_to_text

from handlers.parsing import csv_table, doc, html, odf, ooxml, ppt, rtf, xls
from handlers.parsing.parsed import Outlet, Parsed, Source
from tests.handlers import office_files as files
from tests.handlers.outlet import Kept

ROUNDS = 7

_Peer = Callable[[Path], object] | None


def main() -> None:
    """Print one line a kind."""
    heads = ("KB", "pages", "files/s", "pages/s", "peer", "files/s", "ratio")
    print("kind  ", *(f"{head:>{width}}" for head, width in zip(heads, (6, 6, 8, 8, 14, 8, 6), strict=True)))
    with tempfile.TemporaryDirectory() as folder:
        for name, read, content, peer_name, peer in _kinds():
            path = Path(folder, f"file.{name}")
            path.write_bytes(content)
            _race(name, read, path, peer_name, peer, Path(folder))


def _race(
    name: str, read: Callable[[Source, Outlet], Parsed], path: Path, peer_name: str, peer: _Peer, folder: Path
) -> None:
    own: list[float] = []
    other: list[float] = []
    pages = 0
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        pages = len(read(Source(path, ""), Kept(folder)).pages)
        own.append(time.perf_counter() - begun)
        if peer is not None:
            begun = time.perf_counter()
            peer(path)
            other.append(time.perf_counter() - begun)
    ours = 1 / statistics.median(own)
    theirs = 1 / statistics.median(other) if other else 0.0
    said = f"{theirs:8.1f} {ours / theirs:6.2f}" if theirs else f"{'–':>8} {'–':>6}"
    size = path.stat().st_size >> 10
    print(f"{name:6} {size:6} {pages:6} {ours:8.1f} {ours * pages:8.0f} {peer_name:>14} {said}")


def _kinds() -> list[tuple[str, Callable[[Source, Outlet], Parsed], bytes, str, _Peer]]:
    words = _words()
    paragraphs = [" ".join(words(60)) for _ in range(400)]
    lines = [(*words(5), random.randrange(10**6), random.randrange(10**6)) for _ in range(5000)]
    table = [("Name", "Place", "Sort", "Code", "Note", "Sum", "Number"), *lines]
    cells = [[str(c) if isinstance(c, str) else c for c in line] for line in table]
    slides = ["\n".join(" ".join(words(12)) for _ in range(8)) for _ in range(100)]
    page = (
        "<html><body>" + "".join(f"<p>{p} <a href='x'>y</a></p>" for p in paragraphs * 5) + "</body></html>"
    )
    rich = r"{\rtf1\ansi" + r"\par ".join(rf"{{\b\f0\fs24 {p}}}" for p in paragraphs) + "}"
    comma = "\n".join(",".join(map(str, line)) for line in table)
    return [
        ("docx", ooxml.read, _new_docx(paragraphs), "python-docx", _docx),
        ("xlsx", ooxml.read, _new_xlsx(table), "openpyxl", _xlsx),
        ("pptx", ooxml.read, _new_pptx(slides), "python-pptx", _pptx),
        ("odt", odf.read, files.odf("text", "".join(f"<text:p>{p}</text:p>" for p in paragraphs)), "–", None),
        ("doc", doc.read, files.doc("\r".join(paragraphs) + "\r"), "–", None),
        ("xls", xls.read, files.xls({"T": cells}), "xlrd", _xls),  # type: ignore[dict-item]
        ("ppt", ppt.read, files.ppt([("Title", " ".join(words(80)), "Note")] * 30), "–", None),
        ("rtf", rtf.read, rich.encode("ascii"), "striprtf", _rtf),
        ("html", html.read, page.encode(), "html.parser", _html),
        ("csv", csv_table.read, comma.encode(), "csv", _csv),
    ]


def _words() -> Callable[[int], list[str]]:
    """Invented words, the same in every run."""
    source = random.Random(1)
    stock = ["".join(source.choices("abcdefghilmnoprstu", k=source.randrange(2, 10))) for _ in range(3000)]
    return lambda count: source.choices(stock, k=count)


def _new_docx(paragraphs: list[str]) -> bytes:
    document, file = python_docx.Document(), io.BytesIO()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    document.save(file)
    return file.getvalue()


def _new_xlsx(table: Iterable[tuple[str | int, ...]]) -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for line in table:
        book.active.append(line)
    book.save(file)
    return file.getvalue()


def _new_pptx(slides: list[str]) -> bytes:
    presentation, file = python_pptx.Presentation(), io.BytesIO()
    for text in slides:
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.placeholders[1].text = text
    presentation.save(file)
    return file.getvalue()


def _docx(path: Path) -> object:
    document = python_docx.Document(str(path))
    return [p.text for p in document.paragraphs]


def _xlsx(path: Path) -> object:
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    return [row for sheet in book for row in sheet.iter_rows(values_only=True)]


def _pptx(path: Path) -> object:
    slides = python_pptx.Presentation(str(path)).slides
    return [shape.text_frame.text for slide in slides for shape in slide.shapes if shape.has_text_frame]


def _xls(path: Path) -> object:
    book = xlrd.open_workbook(str(path), logfile=io.StringIO())
    return [sheet.row_values(i) for sheet in book.sheets() for i in range(sheet.nrows)]


def _rtf(path: Path) -> object:
    return rtf_to_text(path.read_text("ascii"))


def _html(path: Path) -> object:
    class Text(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.parts: list[str] = []

        def handle_data(self, data: str) -> None:
            self.parts.append(data)

    reader = Text()
    reader.feed(path.read_text("utf-8"))
    return "".join(reader.parts)


def _csv(path: Path) -> object:
    with path.open(newline="") as file:
        return list(csv.reader(file))


if __name__ == "__main__":
    main()
