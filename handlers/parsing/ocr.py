"""Text recognised in a picture by Tesseract: its lines, their places, and how sure the engine is.

A page is read as running text first. Where that is doubtful, it is read once more as scattered
words, which is how tables come out, and turned; the reading that is surest is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handlers.parsing.parsed import clean

Box = tuple[float, float, float, float]

FOLDERS = (
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tesseract-ocr/4.00/tessdata",
    "/usr/share/tessdata",
    "/usr/share/tesseract/tessdata",
    "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
)
"""Where distributions put Tesseract's data."""

DPI = 300
"""Resolution of a page for OCR. On three tables and a page of text with checked words, 200 dpi finds 1 to
11 % fewer of the words and saves 15 % of the time; 400 dpi finds no more and takes 40 % longer."""

LARGEST_PIXELS = 25_000_000
"""A page of A2 at 300 dpi; larger ones are read at a lower resolution."""

PAGE_S = 30.0
"""Seconds that one reading of a page may take; a full page of print takes one to three."""

SURE = 0.85
"""Confidence from which running text is believed at once. Clean print has 0.9 and more, tables 0.75."""
LAYOUT_DPI = 100
"""Resolution at which it is told which way lines run: that takes a tenth of reading the page, and reading
dense columns that lie on their side in vain takes twice as long as reading them."""
CROOKED = 0.7
"""Degrees from which a page is straightened: two columns are read across at 2."""
STEEPEST = 5.0
"""Degrees up to which it is looked for."""
SHARPER = 1.3
"""By how much rows must be sharper for a page to count as crooked; level ones gain up to a tenth."""
SKEW_DPI = 75
WRONG_WAY_UP = 0.6
"""Confidence below which a page may stand on its head: print read so has 0.3 to 0.4."""

_RUNNING, _SCATTERED = 3, 11
"""Tesseract's modes of segmentation."""
_LINE = 2
"""Tesseract's level of a line."""
_NEURAL = 1
"""Tesseract's engine; the older one needs data that distributions no longer ship."""
_RULES = "|~_‘"
"""What the rules of a table are taken for where they touch a word."""
_MARGIN = 8
"""The part of a page at its top and bottom in which stamps are looked for: an eighth."""
_WORST_MARK = 0.7
"""Least confidence of a word that is mostly marks: such words are rules and dirt. Words of letters and
digits are kept however doubtful: a table's figures have confidences down to 0 and are mostly right."""
_WORST_CHARACTER = 0.9
"""Least confidence of a line that is one letter or digit."""
_SAME_ROW = 0.5


class Missing(Exception):
    """There is no data for OCR; the text is a sentence that says what to install or to set."""


class Found(NamedTuple):
    """A word or a line, its box in pixels from the top left corner, and its confidence from 0 to 1."""

    text: str
    box: Box
    confidence: float


@dataclass(frozen=True)
class Seen:
    """What was recognised in one picture.

    Attributes:
        lines: In reading order.
        confidence: Mean over the words, each counted by its length; 0.0 where there are none.
        timed_out: Recognition was given up; there are no lines.
    """

    lines: list[Found]
    confidence: float
    timed_out: bool = False


class Recogniser:
    """Tesseract with its data loaded; one thread, about 15 MB a language.

    Args:
        tessdata: The folder with `eng.traineddata` and others; "" looks where distributions put it.
        languages: Codes joined by "+", such as "eng+deu".

    Raises:
        Missing: There is no such folder, or it lacks every one of the languages.

    Attributes:
        languages: Those that are there.
        absent: Those that are not.
    """

    def __init__(self, tessdata: str, languages: str) -> None:
        wanted = languages.split("+")
        folder = tessdata_folder(tessdata, wanted)
        found = [code for code in wanted if (folder / f"{code}.traineddata").is_file()]
        self.languages = "+".join(found)
        self.absent = [code for code in wanted if code not in found]
        # Only now: most files need no engine.
        import tesserocr

        self._api = tesserocr.PyTessBaseAPI(path=str(folder), lang=self.languages, oem=_NEURAL, psm=_RUNNING)

    def recognise(self, picture: NDArray[np.uint8], dpi: int) -> Seen:
        """Read a picture.

        Args:
            picture: Grey values of shape (height, width), 0 is black. Not modified.
            dpi: Its resolution.
        """
        sideways = self._lies_sideways(picture, dpi)
        skew = 0.0 if sideways else _skew(picture, dpi)
        if abs(skew) >= CROOKED:
            straight = Image.fromarray(picture).rotate(skew, Image.Resampling.BICUBIC, fillcolor=255)
            return _tilted(self._recognise(np.asarray(straight), dpi, False), skew, picture.shape)
        return self._recognise(picture, dpi, sideways)

    def _recognise(self, picture: NDArray[np.uint8], dpi: int, sideways: bool) -> Seen:
        if sideways:
            for turn in (3, 1):
                turned = self._read_doubtful(np.rot90(picture, turn), dpi)
                if turned.confidence >= WRONG_WAY_UP:
                    return self._with_stamps(_turned_back(turned, turn, picture.shape), picture, dpi)
        first = self._read(picture, dpi, _RUNNING)
        if first.timed_out or first.confidence >= SURE:
            return first
        # An empty page needs no second look.
        if not first.lines and float(np.ptp(picture)) < 32:
            return first
        if first.confidence < WRONG_WAY_UP:
            turned = self._read_doubtful(np.rot90(picture, 2), dpi)
            if turned.confidence >= WRONG_WAY_UP:
                return _turned_back(turned, 2, picture.shape)
        return max(first, self._read(picture, dpi, _SCATTERED), key=_confidence)

    def _lies_sideways(self, picture: NDArray[np.uint8], dpi: int) -> bool:
        """Whether most lines run up or down, as in a wide table on a tall page."""
        small = Image.fromarray(picture).reduce(max(1, round(dpi / LAYOUT_DPI)))
        self._show(np.asarray(small), LAYOUT_DPI, _RUNNING)
        found = self._api.AnalyseLayout()
        tall = level = 0
        while found is not None:
            box = found.BoundingBox(_LINE)
            if box is not None:
                across, down = box[2] - box[0], box[3] - box[1]
                tall, level = tall + max(down - across, 0), level + max(across - down, 0)
            if not found.Next(_LINE):
                break
        self._api.Clear()
        return tall > level

    def _with_stamps(self, seen: Seen, picture: NDArray[np.uint8], dpi: int) -> Seen:
        """What was read of a page that lies on its side, and the numbers that were stamped on it upright."""
        height = picture.shape[0]
        lines = list(seen.lines)
        for top, bottom in ((0, height // _MARGIN), (height - height // _MARGIN, height)):
            for text, (x0, y0, x1, y1), confidence in self._read(picture[top:bottom], dpi, _SCATTERED).lines:
                stamp = Found(text, (x0, y0 + top, x1, y1 + top), confidence)
                under = [line for line in lines if _overlap(line.box, stamp.box)]
                worse = all(line.confidence < min(SURE, confidence) for line in under)
                if confidence >= SURE and len(text) >= 5 and _is_level(stamp.box) and worse:
                    lines = [line for line in lines if line not in under] + [stamp]
        return replace(seen, lines=lines)

    def close(self) -> None:
        self._api.End()

    def _read_doubtful(self, picture: NDArray[np.uint8], dpi: int) -> Seen:
        seen = self._read(picture, dpi, _RUNNING)
        if seen.confidence >= SURE or seen.confidence < WRONG_WAY_UP:
            return seen
        return max(seen, self._read(picture, dpi, _SCATTERED), key=_confidence)

    def _read(self, picture: NDArray[np.uint8], dpi: int, mode: int) -> Seen:
        api = self._api
        self._show(picture, dpi, mode)
        try:
            if not api.Recognize(int(1000 * PAGE_S)):
                return Seen([], 0.0, timed_out=True)
            rows = _words(api.GetTSVText(0))
        finally:
            api.Clear()
        words = [word for row in rows for word in row]
        letters = sum(len(word.text) for word in words)
        confidence = sum(len(word.text) * word.confidence for word in words) / letters if letters else 0.0
        if mode == _SCATTERED:
            rows = _in_rows([word for word in words if _says_something(word)])
        else:
            rows = [[word for word in row if _says_something(word)] for row in rows]
        return Seen([_line(row) for row in rows if _is_line(row)], confidence)

    def _show(self, picture: NDArray[np.uint8], dpi: int, mode: int) -> None:
        height, width = picture.shape
        self._api.SetPageSegMode(mode)
        self._api.SetImageBytes(np.ascontiguousarray(picture).tobytes(), width, height, 1, width)
        self._api.SetSourceResolution(dpi)


def _confidence(seen: Seen) -> float:
    return seen.confidence


def _turned_back(seen: Seen, turn: int, shape: tuple[int, int]) -> Seen:
    """What was seen in `np.rot90(picture, turn)`, on the picture of `shape`."""
    height, width = shape
    lines = []
    for text, (x0, y0, x1, y1), confidence in seen.lines:
        match turn:
            case 1:
                box = width - y1, x0, width - y0, x1
            case 2:
                box = width - x1, height - y1, width - x0, height - y0
            case _:
                box = y0, height - x1, y1, height - x0
        lines.append(Found(text, box, confidence))
    return replace(seen, lines=lines)


def _skew(picture: NDArray[np.uint8], dpi: int) -> float:
    """Degrees by which a page is to be turned counter-clockwise so that its lines are level.

    At the right angle rows of ink and rows of paper differ most. Tesseract's own estimate is 0 on pages of
    few lines.
    """
    small = Image.fromarray(picture).reduce(max(1, round(dpi / SKEW_DPI)))
    ink = small.point([255 if value < 128 else 0 for value in range(256)])

    def sharpness(angle: float) -> float:
        rows = np.asarray(ink.rotate(angle, fillcolor=0), np.float32).sum(axis=1)
        return float(np.square(np.diff(rows)).sum())

    level = sharpness(0.0)
    best = max(np.arange(-STEEPEST, STEEPEST + 0.1, 0.5).tolist(), key=sharpness)
    best = max((best - 0.25, best, best + 0.25), key=sharpness)
    return best if sharpness(best) > SHARPER * level else 0.0


def _tilted(seen: Seen, angle: float, shape: tuple[int, int]) -> Seen:
    """What was seen in a picture that had been turned by `angle` counter-clockwise, on the picture itself."""
    height, width = shape
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    lines = []
    for text, (x0, y0, x1, y1), confidence in seen.lines:
        corners = [(x - width / 2, y - height / 2) for x in (x0, x1) for y in (y0, y1)]
        across = [width / 2 + x * cosine - y * sine for x, y in corners]
        down = [height / 2 + x * sine + y * cosine for x, y in corners]
        lines.append(Found(text, (min(across), min(down), max(across), max(down)), confidence))
    return replace(seen, lines=lines)


def _is_level(box: Box) -> bool:
    return box[2] - box[0] > box[3] - box[1]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and one[2] > other[0] and one[1] < other[3] and one[3] > other[1]


def resolution(width: float, height: float, own_dpi: float) -> int:
    """Pixels an inch at which a page is to be read.

    Args:
        width: Of the page, in points, as `height`.
        own_dpi: Resolution of its largest picture, 0 if unknown.

    A small page is mostly a scan whose size was stated wrongly: its picture counts, not its size.
    """
    dpi = float(DPI)
    inches = max(width * height / 72**2, 1e-6)
    if own_dpi > DPI and inches < 20:
        dpi = min(own_dpi, 600.0)
    return max(36, int(min(max(dpi, DPI), math.sqrt(LARGEST_PIXELS / inches))))


def tessdata_folder(tessdata: str, wanted: Sequence[str]) -> Path:
    """The folder that has data for at least one of the wanted languages.

    Raises:
        Missing: There is none.
    """
    if not all(code.replace("_", "").isalnum() for code in wanted):
        raise Missing(
            f"“{'+'.join(wanted)}” in CASEWIRE_OCR_LANGUAGES is no list of languages such as eng+deu"
        )
    folders = [Path(tessdata)] if tessdata else [Path(name) for name in FOLDERS]
    for folder in folders:
        if any((folder / f"{code}.traineddata").is_file() for code in wanted):
            return folder
    packages = " ".join(f"tesseract-ocr-{code.replace('_', '-')}" for code in wanted)
    where = f"CASEWIRE_TESSDATA names {tessdata}, which has" if tessdata else "this machine has"
    raise Missing(
        f"{where} no data for recognising text ({', '.join(wanted)}): install the Debian package {packages}, "
        "or set CASEWIRE_TESSDATA to the folder that holds the .traineddata files"
    )


@cache
def recogniser(tessdata: str, languages: str) -> Recogniser:
    """The engine, loaded once a process.

    Raises:
        Missing: As for `Recogniser`.
    """
    return Recogniser(tessdata, languages)


def _words(table: str) -> list[list[Found]]:
    """The words of Tesseract's table, a list for each of its lines."""
    rows: dict[tuple[str, ...], list[Found]] = {}
    for entry in table.splitlines():
        # level, page, block, paragraph, line, word, left, top, width, height, confidence, text
        fields = entry.split("\t")
        if len(fields) < 12 or fields[0] != "5":
            continue
        text = clean(" ".join(fields[11].split())).strip(_RULES)
        confidence = max(float(fields[10]), 0.0) / 100
        if text:
            left, top, width, height = (float(value) for value in fields[6:10])
            rows.setdefault(tuple(fields[1:5]), []).append(
                Found(text, (left, top, left + width, top + height), confidence)
            )
    return list(rows.values())


def _says_something(word: Found) -> bool:
    plain = sum(c.isalnum() for c in word.text)
    return 2 * plain >= len(word.text) or word.confidence >= _WORST_MARK


def _is_line(row: list[Found]) -> bool:
    plain = sum(c.isalnum() for word in row for c in word.text)
    return plain > 1 or (plain == 1 and row[0].confidence >= _WORST_CHARACTER)


def _in_rows(words: list[Found]) -> list[list[Found]]:
    """Scattered words as people read a table: row by row, from left to right."""
    rows: list[list[Found]] = []
    for word in sorted(words, key=lambda w: (w.box[1] + w.box[3]) / 2):
        row = rows[-1] if rows else []
        if row:
            top, bottom = median(w.box[1] for w in row), median(w.box[3] for w in row)
            overlap = min(bottom, word.box[3]) - max(top, word.box[1])
            if overlap > _SAME_ROW * min(bottom - top, word.box[3] - word.box[1]):
                row.append(word)
                continue
        rows.append([word])
    return [sorted(row, key=lambda w: w.box[0]) for row in rows]


def _line(words: list[Found]) -> Found:
    """A line; a wide gap shows as two spaces, as between the columns of a table."""
    height = median(word.box[3] - word.box[1] for word in words)
    parts = [words[0].text]
    for before, word in pairwise(words):
        parts.append("  " if word.box[0] - before.box[2] > 1.5 * height else " ")
        parts.append(word.text)
    boxes = [word.box for word in words]
    box = (
        min(b[0] for b in boxes), min(b[1] for b in boxes),
        max(b[2] for b in boxes), max(b[3] for b in boxes),
    )  # fmt: skip
    letters = sum(len(word.text) for word in words)
    confidence = sum(len(word.text) * word.confidence for word in words) / letters
    return Found("".join(parts), box, confidence)
