"""Pages a second through the reader of PDFs against the bare engines: text layers, and OCR of scans.

The bare engines are given the same pages, already drawn for OCR at the same resolution; the reader opens
the file, looks at it, draws it and puts lines and places together. Accuracy is how many of the words that
can be checked were found.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

os.environ["OMP_THREAD_LIMIT"] = "1"
sys.modules["pymupdf.layout"] = None  # type: ignore[assignment]

import numpy as np  # noqa: E402
import pymupdf  # noqa: E402
import tesserocr  # noqa: E402

from handlers.parsing import ocr, pdf, pdf_scans  # noqa: E402
from handlers.parsing.parsed import Parsed  # noqa: E402
from handlers.parsing.pdf_lines import FLAGS  # noqa: E402
from tests.bench.racing import HEAD, Row, race  # noqa: E402
from tests.handlers.outlet import read_with  # noqa: E402
from tests.handlers.pictures import WORDS, scan  # noqa: E402

DOCUMENTS = Path(
    os.environ.get("CASEWIRE_DOCUMENTS") or Path(__file__).parents[2].parent / "shared" / "documents"
)
EXHIBITS = DOCUMENTS / "case2_sffa_v_harvard" / "exhibits"
TABLE = """
1987 12537 2292 1615 572 4.6% 102 4.5% 17.8% 75 4.6% 73.5% 1986 13341 2316 1616 507 3.8% 109 4.7% 21.5% 81
5.0% 74.3% 1985 13513 2164 1597 529 3.9% 120 5.5% 22.7% 86 5.4% 71.7% 1984 13854 2150 1630 417 3.0% 107 5.0%
25.7% 79 4.8% 73.8% 1983 13085 2263 1677 409 3.1% 111 4.9% 27.1% 90 5.4% 81.1% 1982 12733 2234 1635 360 2.8%
102 4.6% 28.3% 68 4.2% 66.7% 1981 11922 2193 1622 325 2.7% 83 3.8% 25.5% 57 3.5% 68.7% 1980 11293 2222 1633
260 2.3% 60 2.7% 23.1% 44 2.7% 73.3%
"""
"""The figures of the second page of exhibit D031, read off by eye."""

LETTER = """
Here are the numbers for this year’s PSAT search. There’s a big jump in our higher level searches We took out
the GPA restrictions 3 years ago, when there was a dip in the numbers. If you like, I could put them back in.
"""
"""Of the sixth page of exhibit P050."""


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"[\w%.]*\w%?", text))


def found(text: str, truth: str) -> str:
    wanted = words(truth)
    return f"{100 * sum((words(text) & wanted).values()) / sum(wanted.values()):.0f} %"


def read(path: Path) -> Parsed:
    return read_with(pdf.read, path, "application/pdf")[0]


def one_page(folder: Path, source: Path, page: int) -> Path:
    document = pymupdf.open(source)
    document.select([page - 1])
    path = folder / f"{source.stem}-{page}.pdf"
    document.save(path)
    return path


def recognition(name: str, path: Path, truth: str, folder: Path) -> list[Row]:
    """One scanned page through the reader and through each engine."""
    page = pymupdf.open(path)[0]
    picture = np.ascontiguousarray(pdf_scans.grey(page, ocr.DPI))
    height, width = picture.shape
    drawn = folder / "page.png"
    page.get_pixmap(dpi=ocr.DPI, colorspace=pymupdf.csGRAY).save(drawn)
    tessdata = str(ocr.tessdata_folder("", ["eng"]))
    api = tesserocr.PyTessBaseAPI(path=tessdata, lang="eng", oem=1, psm=3)

    def bare() -> str:
        api.SetImageBytes(picture.tobytes(), width, height, 1, width)
        api.SetSourceResolution(ocr.DPI)
        text: str = api.GetUTF8Text()
        return text

    def program() -> str:
        command = ["tesseract", str(drawn), "-", "-l", "eng", "--dpi", str(ocr.DPI)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def mupdf() -> str:
        seen = page.get_textpage_ocr(language="eng", dpi=ocr.DPI, full=True, tessdata=tessdata)
        text: str = seen.extractText()
        return text

    calls: dict[str, Any] = {
        "casewire": lambda: read(path).text,
        "tesserocr": bare,
        "MuPDF's Tesseract": mupdf,
    }
    if shutil.which("tesseract"):
        calls["the program tesseract"] = program
    accuracy = {peer: found(call(), truth) for peer, call in calls.items()}
    return race(name, "casewire", calls, accuracy, seconds=20, per_second=1, unit="pages/s")


def text_layer(path: Path) -> list[Row]:
    """A long transcript through the reader and through PyMuPDF."""
    document = pymupdf.open(path)
    pages = document.page_count
    calls = {
        "casewire": lambda: read(path).text,
        "PyMuPDF text": lambda: "".join(page.get_text() for page in document),
        "PyMuPDF dict": lambda: [page.get_text("dict", flags=FLAGS) for page in document],
    }
    accuracy = {
        "casewire": f"{pages} pages, places",
        "PyMuPDF text": "no places",
        "PyMuPDF dict": "places, not read",
    }
    return race("text layer", "casewire", calls, accuracy, seconds=20, per_second=pages, unit="pages/s")


def main() -> None:
    if not EXHIBITS.is_dir():
        sys.exit(f"no documents at {DOCUMENTS}; set CASEWIRE_DOCUMENTS to the folder that holds them")
    print(HEAD)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = recognition("OCR, a clean page", scan(folder / "clean.pdf"), " ".join(WORDS), folder)
        rows += recognition("OCR, a letter", one_page(folder, EXHIBITS / "P050.pdf", 6), LETTER, folder)
        rows += recognition("OCR, a table", one_page(folder, EXHIBITS / "D031.pdf", 2), TABLE, folder)
        rows += text_layer(EXHIBITS.parent / "transcripts" / "20181015-Day-1.pdf")
    for row in rows:
        print(row, flush=True)


if __name__ == "__main__":
    main()
