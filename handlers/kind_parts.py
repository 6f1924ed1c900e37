"""The names of what a container holds, read from its directory alone: nothing is unpacked.

A file may lie about all of it, so every count and every chain is limited.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

_END = b"PK\x05\x06"
_ENTRY = struct.Struct("<4s6H3L5H2L")
_TAIL_BYTES = 22 + 65_535
"""Where the end record of a ZIP file begins at the latest, before the longest comment."""
_DIRECTORY_BYTES = 4 << 20

_OLE_SECTORS = 4096
_FREE = 0xFFFFFFFA
"""Sector numbers from here on are marks."""


def zip_names(file: BinaryIO) -> list[str]:
    """Names in the directory of a ZIP file, in its order; none where it has no readable one.

    Only the first few megabytes of a large directory are looked at.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read(_TAIL_BYTES)
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < 22:
        return []
    length, start = struct.unpack_from("<2L", tail, at + 12)
    # The directory ends where the end record begins; with something set before the file, offsets are off.
    end = size - len(tail) + at
    if start == 0xFFFFFFFF or length == 0xFFFFFFFF:
        return _after_zip64(file, end)
    return list(_entries(file, max(0, end - length), length))


def _after_zip64(file: BinaryIO, end: int) -> list[str]:
    """The same where the file is so large that the end record refers to another one."""
    file.seek(max(0, end - 20 - 56))
    record = file.read(56)
    if not record.startswith(b"PK\x06\x06"):
        return []
    length, _ = struct.unpack_from("<2Q", record, 40)
    return list(_entries(file, max(0, end - 20 - 56 - length), length))


def _entries(file: BinaryIO, start: int, length: int) -> Iterator[str]:
    file.seek(start)
    content = file.read(min(length, _DIRECTORY_BYTES))
    at = 0
    while at + _ENTRY.size <= len(content) and content.startswith(b"PK\x01\x02", at):
        name, extra, comment = struct.unpack_from("<3H", content, at + 28)
        at += _ENTRY.size
        yield content[at : at + name].decode("utf-8", "replace")
        at += name + extra + comment


def ole_names(file: BinaryIO) -> list[str]:
    """Names of the streams and storages of an OLE file; none where its directory cannot be read."""
    file.seek(0)
    header = file.read(512)
    if len(header) < 512:
        return []
    (shift,) = struct.unpack_from("<H", header, 30)
    if shift not in (9, 12):
        return []
    (sector,) = struct.unpack_from("<L", header, 48)
    tables = struct.unpack_from("<109L", header, 76)
    names = []
    for _ in range(_OLE_SECTORS):
        if sector >= _FREE:
            break
        file.seek((sector + 1) << shift)
        content = file.read(1 << shift)
        for at in range(0, len(content) - 127, 128):
            (length,) = struct.unpack_from("<H", content, at + 64)
            if content[at + 66] and 2 < length <= 64:
                names.append(content[at : at + length - 2].decode("utf-16-le", "replace"))
        sector = _next_sector(file, sector, shift, tables)
    return names


def _next_sector(file: BinaryIO, sector: int, shift: int, tables: tuple[int, ...]) -> int:
    numbers = 1 << (shift - 2)
    if sector // numbers >= len(tables) or tables[sector // numbers] >= _FREE:
        # Larger files list their tables elsewhere; the names that count come early.
        return _FREE
    file.seek(((tables[sector // numbers] + 1) << shift) + 4 * (sector % numbers))
    content = file.read(4)
    return int(struct.unpack("<L", content)[0]) if len(content) == 4 else _FREE
