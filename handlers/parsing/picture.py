"""A picture: its facts, its fingerprint, and the text that can be seen in it.

Places of recognised lines count pixels of the picture as it is shown, upright: `width` and `height` in the
facts are its size in the same unit. Each page of a TIFF is a page.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, ImageSequence

from handlers.parsing.exif import camera_facts
from handlers.parsing.fingerprint import fingerprint
from handlers.parsing.ocr import Missing, Recogniser, recogniser
from handlers.parsing.parsed import Line, Outlet, Parsed, Source, Unreadable
from handlers.parsing.pdf_facts import pages_said
from handlers.parsing.pdf_lines import Row, lay_out

LARGEST_PIXELS = 100_000_000
"""Pixels of a picture that is opened; 300 MB unpacked. What unfolds to more is told and left alone."""
MOST_PAGES = 1000
READ_PIXELS = 8_700_000
"""Pixels to which a picture is reduced for OCR: a page of A4 at 300 dpi."""
SMALL_PIXELS = 600_000
"""Pixels up to which a picture is doubled for OCR: a screenshot's letters have half the height of print's."""
SMALLEST_SIDE = 24
"""Pixels below which no text can be."""
GUESSED = 0.5
"""Confidence below which there was no text; photographs without any have 0.2 to 0.35."""
DOUBTFUL = 0.7

_FORMATS = {
    "image/jpeg": ("JPEG", "MPO"),
    "image/png": ("PNG",),
    "image/tiff": ("TIFF",),
    "image/gif": ("GIF",),
    "image/bmp": ("BMP", "DIB"),
    "image/webp": ("WEBP",),
    "image/heic": ("HEIF",),
    "image/heif": ("HEIF",),
    "image/avif": ("AVIF",),
    "image/jp2": ("JPEG2000",),
    "image/vnd.adobe.photoshop": ("PSD",),
}
"""What Pillow may try for a media type: the fewer of its readers meet hostile bytes, the better."""

_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, struct.error)
"""What Pillow raises on damaged pictures."""


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read a picture.

    Tools: `tessdata` and `ocr_languages`, see `ocr.Recogniser`.

    Raises:
        Unreadable: It is damaged from its beginning, or unfolds to more than `LARGEST_PIXELS`.
    """
    if source.media_type in ("image/heic", "image/heif"):
        import pillow_heif

        # Threads are refused to the process that reads files.
        pillow_heif.options.DECODE_THREADS = 0
        pillow_heif.register_heif_opener()
    with _opened(source) as picture:
        return _Reading(picture, source, outlet).all()


@contextmanager
def _opened(source: Source) -> Iterator[Image.Image]:
    # The size is judged below, before anything is unpacked.
    Image.MAX_IMAGE_PIXELS = None
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        picture = Image.open(source.path, formats=_FORMATS[source.media_type])
    except _DAMAGE as error:
        raise Unreadable("the picture is damaged and cannot be opened") from error
    with picture:
        yield picture


class _Reading:
    """One picture being read, page by page."""

    def __init__(self, picture: Image.Image, source: Source, outlet: Outlet) -> None:
        self._picture = picture
        self._source = source
        self._outlet = outlet
        self._engine: Recogniser | None = None
        self._missing = ""
        self._confidence: dict[int, float] = {}
        self._needed: list[int] = []
        self._failed: list[int] = []
        self._said: list[str] = []

    def all(self) -> Parsed:
        width, height = self._picture.size
        _refuse_bombs(width, height)
        meta: dict[str, Any] = {"format": self._picture.format, "width": width, "height": height}
        parts: list[str] = []
        pages: list[tuple[int, int]] = []
        lines: list[Line] = []
        at = 0
        total = self._pages()
        for number, shown in enumerate(self._upright(total), 1):
            if number == 1:
                meta |= _facts(self._picture)
                meta["width"], meta["height"] = shown.size
                if looks := fingerprint(shown):
                    meta["phash"] = looks
            text, places = lay_out(self._recognised(shown, number))
            lines.extend(Line(number, at + start, at + end, box) for start, end, box in places)
            pages.append((at, at + len(text)))
            parts.append(text)
            at += len(text) + 2
            self._outlet.progress(number, total)
        return Parsed(text="\n\n".join(parts), pages=pages, lines=lines, meta=meta | self._findings(total))

    def _pages(self) -> int:
        """How many of its frames are pages: those of a TIFF; of an animation only the first."""
        try:
            frames = int(getattr(self._picture, "n_frames", 1))
        except _DAMAGE:
            frames = 1
        if self._picture.format != "TIFF":
            return 1
        if frames > MOST_PAGES:
            self._said.append(f"of its {frames} pages the first {MOST_PAGES} were read")
        return min(frames, MOST_PAGES)

    def _upright(self, total: int) -> Iterator[Image.Image]:
        """The pages as they are shown, in colour on white."""
        for number, frame in enumerate(ImageSequence.Iterator(self._picture), 1):
            if number > total:
                return
            try:
                _refuse_bombs(*frame.size)
                yield _flat(self._loaded(frame, number))
            except _DAMAGE as error:
                if number == 1:
                    raise Unreadable("the picture is damaged and cannot be opened") from error
                self._said.append(f"the picture is damaged from page {number} on")
                return

    def _loaded(self, frame: Image.Image, number: int) -> Image.Image:
        """The frame unpacked; what is there of one that breaks off, the rest grey."""
        try:
            frame.load()
        except OSError:
            ImageFile.LOAD_TRUNCATED_IMAGES = True
            frame.load()
            self._said.append(f"page {number} breaks off" if number > 1 else "the picture breaks off")
        return ImageOps.exif_transpose(frame)

    def _recognised(self, shown: Image.Image, number: int) -> list[Row]:
        if min(shown.size) < SMALLEST_SIDE:
            return []
        engine = self._recogniser()
        if engine is None:
            self._needed.append(number)
            return []
        grey, scale = _for_reading(shown)
        # Cameras do not know how large a page they see is.
        seen = engine.recognise(grey, 300)
        if seen.timed_out:
            self._failed.append(number)
        if seen.confidence < GUESSED:
            return []
        self._confidence[number] = round(seen.confidence, 2)
        rows = []
        for text, box, _ in seen.lines:
            x0, y0, x1, y1 = (round(value / scale, 2) for value in box)
            rows.append(Row(text, (x0, y0, x1, y1), 0.8 * (y1 - y0)))
        return rows

    def _recogniser(self) -> Recogniser | None:
        if self._engine is None and not self._missing:
            tools = self._source.tools
            try:
                self._engine = recogniser(tools.get("tessdata", ""), tools.get("ocr_languages", "eng"))
            except Missing as error:
                self._missing = str(error)
        return self._engine

    def _findings(self, total: int) -> dict[str, Any]:
        meta: dict[str, Any] = {"pages": total} if total > 1 else {}
        if self._engine is not None and self._confidence:
            meta["ocr"] = {
                "pages": list(self._confidence),
                "confidence": {str(page): confidence for page, confidence in self._confidence.items()},
                "language": self._engine.languages,
            }
            if doubtful := [page for page, sure in self._confidence.items() if sure < DOUBTFUL]:
                where = f" of {pages_said(doubtful)}" if total > 1 else ""
                self._said.append(
                    f"the text{where} was recognised with low confidence: compare it with the picture"
                )
            if self._engine.absent:
                absent = ", ".join(self._engine.absent)
                self._said.append(
                    f"there is no OCR data for {absent}; only {self._engine.languages} was used"
                )
        if self._needed:
            meta["ocr_needed"] = self._needed
            self._said.append(f"text in it was not recognised; {self._missing}")
        if self._failed:
            meta["ocr_failed"] = self._failed
            self._said.append("recognising its text took too long and was given up")
        if self._said:
            meta["notice"] = "; ".join(self._said)
        return meta


def _facts(picture: Image.Image) -> dict[str, Any]:
    try:
        facts = camera_facts(picture)
    except _DAMAGE:
        facts = {"notice": "what the camera wrote is damaged"}
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "TIFF":
        facts["frames"] = frames
    return facts


def _refuse_bombs(width: int, height: int) -> None:
    if width * height > LARGEST_PIXELS:
        raise Unreadable(
            f"the picture unfolds to {width:,} × {height:,} pixels; "
            f"at most {LARGEST_PIXELS // 10**6} million are read"
        )


def _flat(picture: Image.Image) -> Image.Image:
    """In eight bits a channel, what is transparent laid on white."""
    if picture.mode.startswith(("I", "F")):
        values = np.asarray(picture, np.float64)
        low, high = float(values.min()), float(values.max())
        scaled = (values - low) * (255 / (high - low)) if high > low else np.full_like(values, 255)
        return Image.fromarray(scaled.astype(np.uint8))
    if picture.has_transparency_data:
        layers = picture.convert("RGBA")
        paper = Image.new("RGBA", layers.size, "white")
        return Image.alpha_composite(paper, layers).convert("RGB")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def _for_reading(shown: Image.Image) -> tuple[NDArray[np.uint8], float]:
    """Grey values of a size at which text is read best, and by how much they are larger than the picture."""
    grey = shown.convert("L")
    pixels = grey.width * grey.height
    scale = 2.0 if pixels < SMALL_PIXELS else min(1.0, (READ_PIXELS / pixels) ** 0.5)
    if scale != 1.0:
        size = max(1, round(scale * grey.width)), max(1, round(scale * grey.height))
        grey = grey.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(grey, np.uint8), scale
