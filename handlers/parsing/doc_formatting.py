"""Where the text of a Word 97-2003 document lies, and what its formatting says about it.

Source: Microsoft, [MS-DOC] Word (.doc) Binary File Format, sections 2.5, 2.8 and 2.9.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

PAGE_BYTES = 512

_ARGUMENT = {0: 1, 1: 1, 2: 2, 3: 4, 4: 2, 5: 2, 7: 3}
"""Bytes of a property's argument by the upper three bits of its code; 6 means that a length stands before."""

DELETED, HIDDEN, DELETED_BY, DELETED_AT = 0x0800, 0x083C, 0x4863, 0x6864
IN_TABLE, ROW_END = 0x2416, 0x2417


class Piece(NamedTuple):
    """Characters `start`..`end` of the document lie at `at` in the stream, one or two bytes each."""

    start: int
    end: int
    at: int
    wide: bool


class Run(NamedTuple):
    """Bytes `start`..`end` of the stream and the properties that they have, and their style."""

    start: int
    end: int
    properties: dict[int, int]
    style: int


def pieces(clx: bytes) -> list[Piece]:
    """The piece table: in which order the stored stretches of text make the document."""
    at = 0
    while at < len(clx) and clx[at] == 1:
        at += 3 + struct.unpack_from("<H", clx, at + 1)[0]
    if at >= len(clx) or clx[at] != 2:
        return []
    (size,) = struct.unpack_from("<I", clx, at + 1)
    table = clx[at + 5 : at + 5 + size]
    count = (len(table) - 4) // 12
    places = struct.unpack_from(f"<{count + 1}I", table)
    found = []
    for i in range(count):
        (where,) = struct.unpack_from("<I", table, 4 * (count + 1) + 8 * i + 2)
        narrow = bool(where & 0x40000000)
        place = where & 0x3FFFFFFF
        if places[i] < places[i + 1]:
            found.append(Piece(places[i], places[i + 1], place // 2 if narrow else place, not narrow))
    return found


def text_of(document: bytes, table: list[Piece], limit: int) -> str:
    """The whole text, a character for each place, surrogates apart."""
    parts: list[str] = []
    at = 0
    for piece in table:
        if piece.start != at or piece.end > limit:
            break
        size = (piece.end - piece.start) * (1 + piece.wide)
        raw = document[piece.at : piece.at + size]
        if piece.wide:
            raw = raw[: len(raw) & ~1]
            parts.append("".join(map(chr, struct.unpack(f"<{len(raw) // 2}H", raw))))
        else:
            parts.append(raw.decode("cp1252", "replace"))
        if len(raw) < size:
            break
        at = piece.end
    return "".join(parts)


def paired(text: str) -> str:
    """Surrogates that were read apart, joined again."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Formatting:
    """Tells of a place in the text what the runs say that cover it."""

    def __init__(self, table: list[Piece], runs: list[Run]) -> None:
        self._table = table
        self._runs = sorted(runs)
        self._starts = [run.start for run in self._runs]

    def spans(self, start: int, end: int) -> Iterator[tuple[int, int, Run | None]]:
        """`start`..`end` of the text in stretches of one run."""
        for piece in self._table:
            low, high = max(start, piece.start), min(end, piece.end)
            width = 1 + piece.wide
            while low < high:
                at = piece.at + (low - piece.start) * width
                i = bisect_right(self._starts, at) - 1
                run = self._runs[i] if i >= 0 and self._runs[i].end > at else None
                if run is not None:
                    until = run.end
                else:
                    until = self._starts[i + 1] if i + 1 < len(self._starts) else 1 << 40
                stop = min(high, low + max(1, -(-(until - at) // width)))
                yield low, stop, run
                low = stop


def runs(document: bytes, plc: bytes, *, paragraphs: bool) -> list[Run]:
    """The runs of characters, or of paragraphs, that the pages of formatting list."""
    count = (len(plc) - 4) // 8
    found: list[Run] = []
    for number in struct.unpack_from(f"<{count}I", plc, 4 * (count + 1)) if count > 0 else ():
        page = document[(number & 0x3FFFFF) * PAGE_BYTES :][:PAGE_BYTES]
        if len(page) == PAGE_BYTES:
            found.extend(_page(page, paragraphs))
    return found


def _page(page: bytes, paragraphs: bool) -> Iterator[Run]:
    count = page[-1]
    if 4 * (count + 1) > PAGE_BYTES:
        return
    places = struct.unpack_from(f"<{count + 1}I", page)
    for i in range(count):
        offset = page[min(4 * (count + 1) + i * (13 if paragraphs else 1), PAGE_BYTES - 1)] * 2
        properties: dict[int, int] = {}
        style = 0
        if offset:
            if not paragraphs:
                content = page[offset + 1 : offset + 1 + page[offset]]
            else:
                size, begin = 2 * page[offset] - 1, offset + 1
                if page[offset] == 0 and offset + 1 < PAGE_BYTES:
                    size, begin = 2 * page[offset + 1], offset + 2
                content = page[begin : begin + size]
                style = int.from_bytes(content[:2], "little")
                content = content[2:]
            properties = dict(_properties(content))
        yield Run(places[i], places[i + 1], properties, style)


def _properties(content: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while at + 2 <= len(content):
        (code,) = struct.unpack_from("<H", content, at)
        at += 2
        size = _ARGUMENT.get(code >> 13)
        if size is None:
            if at >= len(content):
                return
            size = content[at]
            if code == 0xD608:
                size = int.from_bytes(content[at : at + 2], "little") - 1
                at += 1
            at += 1
            if size < 0:
                return
        yield code, int.from_bytes(content[at : at + min(size, 8)], "little")
        at += size


def moment(packed: int) -> str:
    """A time as Word packs it, in the time of the place; "" for none."""
    minute, hour, day, month = packed & 63, packed >> 6 & 31, packed >> 11 & 31, packed >> 16 & 15
    year = 1900 + (packed >> 20 & 511)
    return f"{year}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}" if month and day else ""
