"""Pages as pictures, made as tests need them."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from handlers.parsing.mupdf import pymupdf

WORDS = (
    "The ferry left the northern harbour at nine in the evening.",
    "Nobody on board could say who had loaded the seven crates.",
    "The harbour master signed the manifest and kept a copy.",
    "Two of the crates were never seen again after that night.",
)


def font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype("DejaVuSans.ttf", size)


def sheet(lines: tuple[str, ...] = WORDS, *, width: int = 1700, height: int = 1100, turn: int = 0) -> bytes:
    """A PNG of printed lines, at 200 dpi a page of 8.5 × 5.5 inches, turned counter-clockwise."""
    picture = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(picture)
    for i, line in enumerate(lines):
        draw.text((120, 150 + 90 * i), line, font=font(40), fill=0)
    content = io.BytesIO()
    picture.rotate(turn, expand=True).save(content, "PNG")
    return content.getvalue()


def scan(
    path: Path,
    *,
    stamp: str = "",
    layer: tuple[str, ...] = (),
    turn: int = 0,
    rotation: int = 0,
    printed: str = "",
) -> Path:
    """A PDF whose first page is a picture of `WORDS`.

    Args:
        path: Where it is written.
        stamp: What a court prints above it.
        layer: Invisible lines over the picture, as OCR programs leave them.
        turn: How the picture lies on the page, in degrees counter-clockwise.
        rotation: How the page is shown.
        printed: A line of text on a second page.
    """
    document = pymupdf.open()
    wide = turn % 180 == 0
    page = document.new_page(width=612 if wide else 396, height=396 if wide else 612)
    page.insert_image(page.rect, stream=sheet(turn=turn))
    if stamp:
        page.insert_text((150, 20), stamp, fontsize=9)
    for i, line in enumerate(layer):
        page.insert_text((43, 64 + 32.4 * i), line, fontsize=14, render_mode=3)
    page.set_rotation(rotation)
    if printed:
        document.new_page().insert_text((72, 100), printed)
    document.save(path)
    document.close()
    return path
