"""Rich text as Outlook packs it. Source: Microsoft, [MS-OXRTFCP]."""

from __future__ import annotations

import struct

_BEFORE = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans "
    rb"SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
"""What every text is taken to have been preceded by."""
_WINDOW = 4096
_MOST_BYTES = 64 << 20


def unpack(content: bytes) -> bytes:
    """The text as RTF; what there is of it where the content is cut off, nothing where it is none."""
    if len(content) < 16:
        return b""
    raw_bytes, kind = struct.unpack_from("<L4s", content, 4)
    if kind == b"MELA":
        return content[16 : 16 + raw_bytes]
    if kind != b"LZFu":
        return b""
    out = bytearray(_BEFORE)
    at, most = 16, min(raw_bytes, _MOST_BYTES) + len(_BEFORE)
    while at < len(content) and len(out) < most:
        flags = content[at]
        at += 1
        for bit in range(8):
            if at >= len(content) or len(out) >= most:
                break
            if not flags >> bit & 1:
                out.append(content[at])
                at += 1
                continue
            pair = int.from_bytes(content[at : at + 2], "big")
            at += 2
            offset, length = pair >> 4, (pair & 15) + 2
            back = (len(out) - offset) % _WINDOW
            if not back:
                return bytes(out[len(_BEFORE) :])
            if back > len(out):
                return bytes(out[len(_BEFORE) :])
            for _ in range(length):
                out.append(out[-back])
    return bytes(out[len(_BEFORE) : most])
