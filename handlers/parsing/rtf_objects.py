"""Objects inside RTF documents, as OLE 1 packs them."""

from __future__ import annotations

import struct


def unwrapped(content: bytes) -> tuple[str, bytes]:
    """An embedded object of OLE 1 with the name of its class, or what there is."""
    try:
        at = 8
        names = []
        for _ in range(3):
            (length,) = struct.unpack_from("<I", content, at)
            names.append(content[at + 4 : at + 4 + length].rstrip(b"\0"))
            at += 4 + length
        (size,) = struct.unpack_from("<I", content, at)
        held = content[at + 4 : at + 4 + size]
    except struct.error:
        return "object.bin", content
    name = names[0].decode("ascii", "replace") or "object"
    if name == "Package":
        return _packaged(held)
    return f"{name}.ole", held or content


def _packaged(held: bytes) -> tuple[str, bytes]:
    try:
        label_end = held.index(b"\0", 2)
        path_end = held.index(b"\0", label_end + 1)
        (length,) = struct.unpack_from("<I", held, path_end + 5)
        at = path_end + 9 + length
        (size,) = struct.unpack_from("<I", held, at)
    except (ValueError, struct.error):
        return "object.bin", held
    return held[2:label_end].decode("cp1252", "replace"), held[at + 4 : at + 4 + size]
