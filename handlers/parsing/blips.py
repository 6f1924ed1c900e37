"""Pictures in the drawings of Office 97-2003, found by the heads of their records.

Source: Microsoft, [MS-ODRAW] Office Drawing Binary File Format, section 2.2.22 to 2.2.32.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

_RECORD = re.compile(rb"..[\x1a\x1b\x1d\x1e\x1f\x29\x2a]\xf0", re.DOTALL)
_TWO_IDS = {0x3D5, 0x217, 0x46B, 0x6E3, 0x6E1, 0x7A9, 0x6E5, 0x543}
_ONE_ID = {0x3D4, 0x216, 0x46A, 0x6E2, 0x6E0, 0x7A8, 0x6E4, 0x542}
_SUFFIX = {0xF01A: ".emf", 0xF01B: ".wmf", 0xF01D: ".jpg", 0xF01E: ".png", 0xF01F: ".bmp", 0xF029: ".tif",
           0xF02A: ".jpg"}  # fmt: skip
MOST_DRAWING_BYTES = 64 << 20


def found_in(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The pictures of a stream, in its order, each with the ending of its file name."""
    at = 0
    while found := _RECORD.search(content, at):
        begin = found.start()
        at = begin + 1
        head, kind, size = struct.unpack_from("<HHI", content.ljust(begin + 8, b"\0"), begin)
        instance = head >> 4
        if instance not in _ONE_ID | _TWO_IDS or size < 17 or begin + 8 + size > len(content):
            continue
        start = begin + 8 + (32 if instance in _TWO_IDS else 16)
        end = begin + 8 + size
        if kind in (0xF01A, 0xF01B):
            picture = _unpacked(content[start:end])
        else:
            picture = content[start + 1 : end]
            if kind == 0xF01F:
                picture = with_head(picture)
        if picture:
            yield _SUFFIX[kind], picture
            at = end


def with_head(bitmap: bytes) -> bytes:
    """A bitmap as it lies in memory (DIB) as a file (BMP); b"" for what is none."""
    if len(bitmap) < 40:
        return b""
    head, _, _, _, bits, packed, _, _, _, colours = struct.unpack_from("<IiiHHIIiiI", bitmap)
    if head < 40 or head > 200 or bits > 64:
        return b""
    palette = 4 * (colours or (1 << bits if bits <= 8 else 0))
    offset = 14 + head + min(palette, 1024) + (12 if packed == 3 and head == 40 else 0)
    return b"BM" + struct.pack("<IHHI", 14 + len(bitmap), 0, 0, offset) + bitmap


def _unpacked(drawing: bytes) -> bytes:
    """A metafile, after its head of 34 bytes, packed or not."""
    if len(drawing) < 34:
        return b""
    body = drawing[34:]
    if drawing[32] == 0xFE:
        return body
    try:
        return zlib.decompressobj().decompress(body, MOST_DRAWING_BYTES)
    except zlib.error:
        return b""
