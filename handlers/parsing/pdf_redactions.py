"""Text of a PDF that its pages do not show although it is there: what lies under a bad redaction.

Where something opaque lies over text, or letters have the colour of what is behind them, the page is
drawn twice, as it is and with that text taken out. Letters whose place looks the same both times
cannot be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from handlers.parsing.mupdf import pymupdf
from handlers.parsing.parsed import clean
from handlers.parsing.pdf_lines import Box, Row

THINNEST_PT = 4.0
"""Height and width below which a filled shape is a rule or an underline, not a box."""
SMALLEST_PT = 3.0
"""Height of letters that nobody could read if they were in sight."""
SCAN_SHARE = 0.3
"""Share of the page from which a picture over text is a scan over its own text layer."""
OPAQUE = 0.9
NEAR = 40
"""Difference of colours, from 0 to 255 in any channel, that is still about the same colour."""
UNSEEN = 12
"""Difference of a pixel that nobody sees."""
UNSEEN_SHARE = 0.04
"""Share of a letter's place that may differ where the letter is hidden, for what sticks out under a box;
print in sight changes a fifth and more."""

SEEN_SHARE = 0.12
"""Share of a letter's place that has its colour where it is in sight."""

_DPI = 144
_SCALE = _DPI / 72
_MOST = 500
"""Findings of one page that are told."""
_INVISIBLE = 3
_PARTS = 100
"""Rectangles of one shape up to which it is looked whether one lies in another."""
_WHITE = (255, 255, 255)


T = TypeVar("T", np.uint8, np.bool_)


class Hidden(NamedTuple):
    """Letters that are not seen: their text, their box on the page as shown, and the reason.

    The reason is "covered", "same colour" or "not applied" (marked for redaction, never carried out).
    """

    text: str
    box: Box
    why: str


@dataclass(frozen=True)
class _Cover:
    """Something painted: its box on the page before it is turned, when it is painted, its colour if plain."""

    box: Box
    order: int
    color: tuple[int, int, int] | None


@dataclass(frozen=True)
class _Letter:
    """A letter in doubt; `cover` is what it lies under."""

    text: str
    box: pymupdf.Rect
    why: str
    color: tuple[int, int, int]
    cover: _Cover | None
    invisible: bool


def hidden_text(path: Path, password: str, page: pymupdf.Page, rows: Sequence[Row]) -> list[Hidden]:
    """What of a page's text cannot be seen on it.

    Args:
        path: The file, which is opened once more where a page has to be drawn without its text.
        password: What opens it; "" for none.
        page: Of that file.
        rows: Its lines.
    """
    if not rows:
        return []
    found = list(_not_applied(page))
    covers = [cover for cover in _covers(page) if _touches(cover, rows, page)]
    if covers or any(row.shown and _is_pale(_rgb(row.color)) for row in rows):
        letters = _in_doubt(page, covers)
        if any(letter.text.isalnum() for letter in letters):
            before = _drawn(page, turned=False)
            letters = [letter for letter in letters if not _is_plainly_seen(before, letter)]
        if any(letter.text.isalnum() for letter in letters):
            hidden = _without_difference(path, password, page, letters)
            found.extend(_told(page, run) for run in _runs(hidden))
    return [one for one in found if any(c.isalnum() for c in one.text)][:_MOST]


def _covers(page: pymupdf.Page) -> Iterator[_Cover]:
    """Boxes that are painted on a page: filled shapes, and pictures that are no scans."""
    whole = page.rect * page.derotation_matrix
    for shape in page.get_cdrawings():
        if "f" not in shape["type"] or shape.get("fill_opacity", 1.0) < OPAQUE or not shape["fill"]:
            continue
        color = _bytes(shape["fill"])
        for filled in _filled(shape):
            box = pymupdf.Rect(filled) & whole
            if min(box.width, box.height) >= THINNEST_PT:
                yield _Cover((box.x0, box.y0, box.x1, box.y1), shape["seqno"], color)
    # Pictures in the stream itself are no resources; they are rare, and small.
    if page.get_images():
        for order, (kind, place) in enumerate(page.get_bboxlog()):
            box = pymupdf.Rect(place) & whole
            if kind not in ("fill-image", "fill-imgmask") or min(box.width, box.height) < THINNEST_PT:
                continue
            if abs(box) < SCAN_SHARE * abs(whole):
                yield _Cover((box.x0, box.y0, box.x1, box.y1), order, None)


def _filled(shape: dict[str, Any]) -> list[Sequence[float]]:
    """The boxes that a shape fills; a rectangle around another one is a frame."""
    boxes = [item[1] for item in shape["items"] if item[0] == "re"]
    if len(boxes) != len(shape["items"]):
        return [shape["rect"]]
    if len(boxes) > _PARTS:
        return boxes
    return [b for b in boxes if not any(b is not other and _holds(b, other) for other in boxes)]


def _holds(outer: Sequence[float], inner: Sequence[float]) -> bool:
    return (
        outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]
    )  # fmt: skip


def _touches(cover: _Cover, rows: Sequence[Row], page: pymupdf.Page) -> bool:
    box = pymupdf.Rect(cover.box) * page.rotation_matrix
    return any(
        row.box[0] < box.x1 and row.box[2] > box.x0 and row.box[1] < box.y1 and row.box[3] > box.y0
        for row in rows
    )


def _in_doubt(page: pymupdf.Page, covers: Sequence[_Cover]) -> list[_Letter]:
    """Letters under something that is painted later, and those in the colour of what is behind them."""
    letters: list[_Letter] = []
    for span in page.get_texttrace():
        x0, y0, x1, y1 = span["bbox"]
        near = [c for c in covers if c.box[0] < x1 and c.box[2] > x0 and c.box[1] < y1 and c.box[3] > y0]
        color = _bytes(span["color"])
        if not near and not _is_pale(color):
            continue
        invisible = span["type"] == _INVISIBLE
        for code, _, _, box in span["chars"]:
            text = chr(code)
            if text.isspace() or box[3] - box[1] < SMALLEST_PT or box[2] <= box[0]:
                continue
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            under = [c for c in near if c.box[0] <= x <= c.box[2] and c.box[1] <= y <= c.box[3]]
            if invisible:
                # Letters that an OCR program laid over a scan: only a box that holds them whole hides them.
                over = [c for c in under if c.color and _holds(c.box, box)]
                why = "covered" if over else ""
            else:
                over = [c for c in under if c.order > span["seqno"]]
                behind = max((c for c in under if c.order < span["seqno"]), key=_order, default=None)
                ground = behind.color if behind else _WHITE
                same = ground is not None and _near(ground, color)
                why = "covered" if over else "same colour" if same else ""
            if why:
                cover = max(over, key=_order) if over else None
                letters.append(_Letter(text, pymupdf.Rect(box), why, color, cover, invisible))
    return letters


def _is_plainly_seen(drawn: NDArray[np.uint8], letter: _Letter) -> bool:
    """Whether a letter's own colour shows in its place, on another ground, as when it is highlighted."""
    if letter.invisible or letter.cover is None or letter.cover.color is None:
        return False
    if _near(letter.cover.color, letter.color):
        return False
    part = _cut(drawn, letter.box).astype(np.int16)
    own = (np.abs(part - np.array(letter.color)) <= NEAR).all(axis=2)
    return bool(own.mean() > SEEN_SHARE)


def _without_difference(
    path: Path, password: str, page: pymupdf.Page, letters: Sequence[_Letter]
) -> list[_Letter]:
    """Those of the letters whose place looks the same when they are taken out."""
    with pymupdf.open(path, filetype="pdf") as copy:
        if password:
            copy.authenticate(password)
        bare = copy[page.number]
        bare.set_rotation(0)
        for mark in list(bare.annots(types=[pymupdf.PDF_ANNOT_REDACT])):
            bare.delete_annot(mark)
        before = _drawn(bare)
        for run in _runs([letter for letter in letters if not letter.invisible]):
            bare.add_redact_annot(_core(run[0].box) | _core(run[-1].box), fill=False, cross_out=False)
        bare.apply_redactions(
            images=pymupdf.PDF_REDACT_IMAGE_NONE,
            graphics=pymupdf.PDF_REDACT_LINE_ART_NONE,
            text=pymupdf.PDF_REDACT_TEXT_REMOVE,
        )
        after = _drawn(copy[page.number])
    changed = (np.abs(before.astype(np.int16) - after) > UNSEEN).any(axis=2)
    hidden = []
    for letter in letters:
        if letter.invisible:
            unseen = _is_plain(_cut(before, letter.box), letter.cover)
        else:
            # Where a picture lies over letters that it shows itself, it is a scan and no bar.
            bar = letter.why != "covered" or (letter.cover is not None and letter.cover.color is not None)
            unseen = float(_cut(changed, letter.box).mean()) <= UNSEEN_SHARE
            unseen = unseen and (bar or _is_plain(_cut(before, letter.box), letter.cover))
        if unseen:
            hidden.append(letter)
    return hidden


def _core(box: pymupdf.Rect) -> pymupdf.Rect:
    """The middle of a letter, so that its neighbours are not taken out with it."""
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    return pymupdf.Rect(x - 0.1 * box.width, y - 0.1 * box.height, x + 0.1 * box.width, y + 0.1 * box.height)


def _drawn(page: pymupdf.Page, *, turned: bool = True) -> NDArray[np.uint8]:
    rotation = page.rotation
    if not turned:
        page.set_rotation(0)
    drawn = page.get_pixmap(dpi=_DPI, colorspace=pymupdf.csRGB, alpha=False)
    page.set_rotation(rotation)
    shown = np.frombuffer(drawn.samples, np.uint8).reshape(drawn.height, drawn.stride)
    return shown[:, : 3 * drawn.width].reshape(drawn.height, drawn.width, 3)


def _cut(drawn: NDArray[T], box: pymupdf.Rect) -> NDArray[T]:
    """A box's part of a drawn page, at least one pixel of it."""
    height, width = drawn.shape[:2]
    x = min(max(int(_SCALE * box.x0), 0), width - 1)
    y = min(max(int(_SCALE * box.y0), 0), height - 1)
    return drawn[y : max(int(_SCALE * box.y1), y + 1), x : max(int(_SCALE * box.x1), x + 1)]


def _is_plain(part: NDArray[np.uint8], cover: _Cover | None) -> bool:
    """Whether all of it has one colour, that of the cover if this is known."""
    low, high = part.min(axis=(0, 1)), part.max(axis=(0, 1))
    if int((high.astype(np.int16) - low).max()) > NEAR:
        return False
    middle = tuple(int(value) for value in np.median(part, axis=(0, 1)))
    return cover is None or cover.color is None or _near(cover.color, (middle[0], middle[1], middle[2]))


def _runs(letters: Sequence[_Letter]) -> Iterator[list[_Letter]]:
    """Letters that follow each other on a line."""
    run: list[_Letter] = []
    for letter in letters:
        if run:
            before = run[-1].box
            height = max(before.height, letter.box.height)
            level = abs((before.y0 + before.y1) - (letter.box.y0 + letter.box.y1)) < height
            if not level or abs(letter.box.x0 - before.x1) > 1.5 * height or letter.why != run[-1].why:
                yield run
                run = []
        run.append(letter)
    if run:
        yield run


def _told(page: pymupdf.Page, run: Sequence[_Letter]) -> Hidden:
    parts = [run[0].text]
    box = pymupdf.Rect(run[0].box)
    for before, letter in pairwise(run):
        gap = letter.box.x0 - before.box.x1
        parts.append((" " if gap > 0.15 * letter.box.height else "") + letter.text)
        box |= letter.box
    return Hidden(clean("".join(parts)), _shown(page, box), run[0].why)


def _not_applied(page: pymupdf.Page) -> Iterator[Hidden]:
    """Places that are marked for redaction and can still be read."""
    for mark in page.annots(types=[pymupdf.PDF_ANNOT_REDACT]):
        text = clean(" ".join(page.get_textbox(mark.rect).split()))
        if text:
            yield Hidden(text, _shown(page, mark.rect), "not applied")


def _order(cover: _Cover) -> int:
    return cover.order


def _shown(page: pymupdf.Page, box: pymupdf.Rect) -> Box:
    turned = box * page.rotation_matrix
    return round(turned.x0, 2), round(turned.y0, 2), round(turned.x1, 2), round(turned.y1, 2)


def _bytes(color: Sequence[float]) -> tuple[int, int, int]:
    """A colour of one (grey), three or four (ink) numbers from 0 to 1."""
    if len(color) == 4:
        cyan, magenta, yellow, black = color
        color = [(1 - ink) * (1 - black) for ink in (cyan, magenta, yellow)]
    red, green, blue = color if len(color) == 3 else (color[0],) * 3
    return round(255 * red), round(255 * green), round(255 * blue)


def _rgb(color: int) -> tuple[int, int, int]:
    return color >> 16 & 255, color >> 8 & 255, color & 255


def _near(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    return all(abs(a - b) <= NEAR for a, b in zip(one, other, strict=True))


def _is_pale(color: tuple[int, int, int]) -> bool:
    return min(color) >= 255 - NEAR
