"""The lines of a PDF's page: as MuPDF finds them, without line numbers, joined in reading order."""

from __future__ import annotations

import re
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from handlers.parsing.mupdf import pymupdf
from handlers.parsing.parsed import clean

FLAGS = pymupdf.TEXTFLAGS_DICT & ~pymupdf.TEXT_PRESERVE_IMAGES & ~pymupdf.TEXT_PRESERVE_LIGATURES

MARGIN_NUMBERS = 10
"""So many numbers of one column in a row are the line numbers of a transcript or pleading."""

Box = tuple[float, float, float, float]

_PAINTED = 16 | 32
"""Bits of MuPDF's `char_flags`: the letters are filled or stroked."""

_CHECKS = str.maketrans({"3": "✓", "4": "✓", "5": "✗", "6": "✗", "7": "✗", "8": "✗", "l": "●", "n": "■"})
"""What ticks a box of a form: letters of the font ZapfDingbats, which MuPDF does not always map."""


class Row(NamedTuple):
    """A line: its text, its box on the page as shown, its font size.

    `shown` is false for the invisible letters that OCR programs lay over a scan; `color` is that of the
    most letters, as 0xRRGGBB.
    """

    text: str
    box: Box
    size: float
    shown: bool = True
    color: int = 0


def rows_of(page: pymupdf.Page) -> list[Row]:
    """Every line of text of a page."""
    # MuPDF reports places on the page before it is turned; people see it turned.
    turned = page.rotation_matrix if page.rotation else None
    rows: list[Row] = []
    for block in page.get_text("dict", flags=FLAGS)["blocks"]:
        for line in block.get("lines", ()):
            spans = line["spans"]
            text = clean("".join(_letters(span) for span in spans)).replace("\n", " ").strip()
            if text:
                box = pymupdf.Rect(line["bbox"]) * turned if turned else line["bbox"]
                x0, y0, x1, y1 = (round(float(value), 2) for value in box)
                main = max(spans, key=lambda span: len(span["text"]))
                size = max(span["size"] for span in spans)
                shown = bool(main["char_flags"] & _PAINTED)
                rows.append(Row(text, (x0, y0, x1, y1), size, shown, main["color"]))
    return rows


def _letters(span: dict[str, str]) -> str:
    return span["text"].translate(_CHECKS) if span["font"] == "ZapfDingbats" else span["text"]


def without_margin_numbers(rows: list[Row]) -> list[Row]:
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


def lay_out(rows: list[Row]) -> tuple[str, list[tuple[int, int, Box]]]:
    """Join a page's lines: those side by side by spaces, a wide gap makes a paragraph.

    Returns:
        The text, and `(start, end, box)` of each line in it.
    """
    steps = [b.box[1] - a.box[1] for a, b in pairwise(rows)]
    down = [step for step in steps if step > 1]
    pitch = median(down) if down else 0.0
    parts: list[str] = []
    places: list[tuple[int, int, Box]] = []
    at = 0
    for i, row in enumerate(rows):
        if i:
            before = rows[i - 1]
            overlap = min(before.box[3], row.box[3]) - max(before.box[1], row.box[1])
            height = min(before.box[3] - before.box[1], row.box[3] - row.box[1])
            # Lines of a table that lies on its side stand side by side, too.
            level = row.box[2] - row.box[0] > height or len(row.text) < 3
            if level and overlap > 0.5 * height and row.box[0] >= before.box[2] - 1:
                joint = "  " if row.box[0] - before.box[2] > 2 * row.size else " "
            else:
                joint = "\n" if -1 <= steps[i - 1] <= 1.4 * pitch else "\n\n"
            parts.append(joint)
            at += len(joint)
        parts.append(row.text)
        places.append((at, at + len(row.text), row.box))
        at += len(row.text)
    return "".join(parts), places
