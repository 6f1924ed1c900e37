"""Which pages of a PDF are pictures whose text has to be recognised, and what that makes of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from handlers.parsing.mupdf import pymupdf
from handlers.parsing.ocr import Seen, resolution
from handlers.parsing.pdf_lines import Box, Row

PICTURE_SHARE = 0.25
"""Share of a page from which pictures without text on them may hold text of the page."""
COVERED = 0.03
"""Share of the pictures' area that lines of text cover where those are the page's text: print covers a
sixth to a third of it, and the sparsest page of a letter a twentieth."""
UNUSABLE = 0.4
"""Share of marks among the letters of an OCR layer from which it is no text: 0.05 to 0.25 are usual, a
table of figures has up to 0.35, dotted rules taken for text 0.5."""

_STAMP = re.compile(
    r"(?:case|appeal|usca\d*|caused?|no\.)\b.{0,40}\b(?:document|doc|docket|dkt|filed|page|pg)\b"
    r"|\b(?:page|pg\.?) ?:?\d+ of \d+|\bpage ?id ?#?:? ?\d+|\bdate filed\b"
    r"|^[A-Z]{2,}[A-Z0-9 ._-]{0,20}\d{3,}$|^(?:page )?\d+(?: of \d+)?$|^https?://\S+$"
    r"|^(?:highly )?confidential\b.{0,40}$|\b(?:attorney'?s?'?|outside counsel'?s?) eyes only\b"
    r"|^exhibit\b.{0,12}$",
    re.IGNORECASE,
)
"""What courts and copy shops print on pages: docket lines, Bates numbers, legends, stickers."""
_MARGIN = 0.07
_INK_DPI = 40
_INK_SHARE = 0.001


class Look(Enum):
    """What a page is."""

    TEXT = auto()
    LAYER = auto()
    """A scan with the text that an OCR program laid over it."""
    SCAN = auto()
    """A picture whose text has to be recognised."""
    DOUBTFUL = auto()
    """A scan whose layer is hardly text."""


def look(page: pymupdf.Page, rows: Sequence[Row]) -> Look:
    """Tell what a page is, from its lines and its pictures."""
    height = page.rect.height
    letters = "".join(row.text for row in rows)
    if letters.count("\ufffd") > 0.3 * len(letters):
        # Fonts that do not say what their shapes mean.
        return Look.SCAN if _shows_ink(page, rows) else Look.TEXT
    if not page.get_images() and any(row.shown and not _is_stamp(row, height) for row in rows):
        return Look.TEXT
    body = [row for row in rows if not _is_stamp(row, height)]
    layer = [row for row in body if not row.shown]
    pictures, area = _pictures(page)
    if layer and area >= PICTURE_SHARE * abs(page.rect):
        plain = "".join("".join(row.text for row in layer).split())
        marks = sum(not c.isalnum() for c in plain)
        return Look.DOUBTFUL if len(plain) >= 40 and marks > UNUSABLE * len(plain) else Look.LAYER
    if area >= PICTURE_SHARE * abs(page.rect):
        on_them = sum(_area(row.box) for row in body if any(_inside(row.box, p) for p in pictures))
        return Look.SCAN if on_them < COVERED * area else Look.TEXT
    return Look.SCAN if not body and _shows_ink(page, rows) else Look.TEXT


def own_resolution(page: pymupdf.Page) -> float:
    """Pixels an inch of the largest picture of a page; 0.0 if it has none."""
    found = page.get_image_info()
    if not found:
        return 0.0
    largest = max(found, key=lambda info: abs(pymupdf.Rect(info["bbox"])))
    # A turned picture's width is the height of its box.
    sides = pymupdf.Rect(largest["bbox"])
    return float(72 * max(largest["width"], largest["height"]) / max(sides.width, sides.height, 1.0))


def grey(page: pymupdf.Page, dpi: int) -> NDArray[np.uint8]:
    """The page as it is shown, in grey, of shape (height, width)."""
    drawn = page.get_pixmap(dpi=dpi, colorspace=pymupdf.csGRAY, alpha=False)
    # A copy: what `samples_mv` shows ends with the pixmap.
    return np.frombuffer(drawn.samples, np.uint8).reshape(drawn.height, drawn.stride)[:, : drawn.width]


def dpi_of(page: pymupdf.Page) -> int:
    """At what resolution a page is to be read."""
    return resolution(page.rect.width, page.rect.height, own_resolution(page))


def recognised(seen: Seen, dpi: int) -> list[Row]:
    """Recognised lines as lines of the page."""
    scale = 72 / dpi
    rows = []
    for text, box, _ in seen.lines:
        x0, y0, x1, y1 = (round(scale * value, 2) for value in box)
        rows.append(Row(text, (x0, y0, x1, y1), 0.8 * (y1 - y0)))
    return rows


def merged(rows: Sequence[Row], found: Sequence[Row]) -> list[Row]:
    """The page's own lines and the recognised ones; of what is there twice, its own."""
    kept = [row for row in found if not any(_inside(row.box, own.box, 0.5) for own in rows)]
    if not kept:
        return list(rows)
    top = min(row.box[1] for row in kept)
    above = [row for row in rows if (row.box[1] + row.box[3]) / 2 < top]
    return [*above, *kept, *(row for row in rows if row not in above)]


def _is_stamp(row: Row, height: float) -> bool:
    if _STAMP.search(row.text):
        return True
    in_margin = row.box[3] < _MARGIN * height or row.box[1] > (1 - _MARGIN) * height
    return in_margin and len(row.text) < 120


def _pictures(page: pymupdf.Page) -> tuple[list[Box], float]:
    """The pictures' boxes on the page as shown and the area they cover, overlaps counted once."""
    seen = page.rect
    boxes = []
    for info in page.get_image_info():
        box = pymupdf.Rect(info["bbox"]) * page.rotation_matrix & seen
        # One pixel stretched over a page is a colour, not a picture.
        if not box.is_empty and info["width"] * info["height"] > 64:
            boxes.append((box.x0, box.y0, box.x1, box.y1))
    grid = np.zeros((100, 100), bool)
    for x0, y0, x1, y1 in boxes[:1000]:
        rows, columns = (
            slice(round(100 * low / size), round(100 * high / size))
            for low, high, size in ((y0, y1, seen.height), (x0, x1, seen.width))
        )
        grid[rows, columns] = True
    return boxes, float(grid.mean()) * abs(seen)


def _shows_ink(page: pymupdf.Page, rows: Sequence[Row]) -> bool:
    """Whether there is anything to be seen on a page beside its lines of text."""
    shown = grey(page, _INK_DPI).copy()
    scale = _INK_DPI / 72
    paper = int(np.median(shown))
    for row in rows:
        x0, y0, x1, y1 = (round(scale * value) for value in row.box)
        shown[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1] = paper
    ink = np.abs(shown.astype(np.int16) - paper) > 64
    return float(ink.mean()) > _INK_SHARE


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def _inside(box: Box, other: Box, share: float = 0.7) -> bool:
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return width > 0 and height > 0 and width * height >= share * _area(box)
