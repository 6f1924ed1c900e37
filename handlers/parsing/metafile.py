"""The text that a drawing draws: Windows metafiles (EMF and WMF), in the order of their records."""

from __future__ import annotations

import struct

_EMF_TEXT = {83: False, 84: True}
"""Records EMR_EXTTEXTOUTA and EMR_EXTTEXTOUTW, and whether they count in UTF-16."""
_WMF_TEXT_OUT, _WMF_EXT_TEXT_OUT = 0x0521, 0x0A32


def text_of(content: bytes) -> str:
    """What is written in a drawing, a line for each piece; "" for one without text or damaged."""
    found: list[str] = []
    try:
        if content[40:44] == b" EMF":
            _read_emf(content, found)
        else:
            _read_wmf(content, found)
    except struct.error:
        pass  # a drawing that is cut off has shown what it could
    return "\n".join(text for text in found if text.strip())


def _read_emf(content: bytes, found: list[str]) -> None:
    at = 0
    while at + 8 <= len(content):
        kind, size = struct.unpack_from("<II", content, at)
        if size < 8:
            return
        if kind in _EMF_TEXT:
            count, offset = struct.unpack_from("<II", content, at + 44)
            wide = _EMF_TEXT[kind]
            raw = content[at + offset : min(at + offset + count * (1 + wide), at + size)]
            found.append(raw.decode("utf-16-le" if wide else "cp1252", "replace"))
        at += size


def _read_wmf(content: bytes, found: list[str]) -> None:
    at = 22 if content[:4] == b"\xd7\xcd\xc6\x9a" else 0
    at += 18
    while at + 6 <= len(content):
        words, kind = struct.unpack_from("<IH", content, at)
        if words < 3:
            return
        if kind == _WMF_TEXT_OUT:
            (count,) = struct.unpack_from("<H", content, at + 6)
            found.append(content[at + 8 : at + 8 + count].decode("cp1252", "replace"))
        elif kind == _WMF_EXT_TEXT_OUT:
            _, _, count, options = struct.unpack_from("<hhHH", content, at + 6)
            start = at + 14 + (8 if options & 6 else 0)
            found.append(content[start : min(start + count, at + 2 * words)].decode("cp1252", "replace"))
        at += 2 * words
