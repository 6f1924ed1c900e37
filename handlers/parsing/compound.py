"""An OLE file put together from streams, so that an object inside a document becomes a file of its own.

Source: Microsoft, [MS-CFB] Compound File Binary File Format; version 3, every stream in whole sectors.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

_SECTOR = 512
_FREE, _END, _FAT, _DIFAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFC
_NONE = 0xFFFFFFFF
_MINI = 4096
"""Bytes below which a reader looks for a stream among the small ones."""


@dataclass
class _Entry:
    name: str
    kind: int
    content: bytes = b""
    inner: dict[str, _Entry] = field(default_factory=dict)
    number: int = 0
    left: int = _NONE
    right: int = _NONE
    below: int = _NONE
    start: int = _END
    size: int = 0


def pack(streams: Mapping[tuple[str, ...], bytes]) -> bytes:
    """An OLE file with these streams, each by its storages and name.

    >>> pack({("Macros", "VBA", "dir"): b"x"})[:4].hex()
    'd0cf11e0'
    """
    root = _Entry("Root Entry", 5)
    for path, content in streams.items():
        at = root
        for name in path[:-1]:
            at = at.inner.setdefault(name[:31], _Entry(name[:31], 1))
        at.inner[path[-1][:31]] = _Entry(path[-1][:31], 2, content)
    entries: list[_Entry] = []
    _number(root, entries)
    mini, sectors = bytearray(), bytearray()
    mini_fat: list[int] = []
    fat: list[int] = []

    def store(content: bytes) -> int:
        if not content:
            return _END
        first = len(fat)
        count = -(-len(content) // _SECTOR)
        sectors.extend(content.ljust(count * _SECTOR, b"\0"))
        fat.extend([*range(first + 1, first + count), _END])
        return first

    for entry in entries:
        entry.size = len(entry.content)
        if entry.kind == 2 and entry.content:
            if entry.size < _MINI:
                entry.start = len(mini_fat)
                count = -(-entry.size // 64)
                mini.extend(entry.content.ljust(count * 64, b"\0"))
                mini_fat.extend([*range(entry.start + 1, entry.start + count), _END])
            else:
                entry.start = store(entry.content)
    root.start, root.size = store(bytes(mini)), len(mini)
    small = store(b"".join(struct.pack("<I", link) for link in mini_fat))
    listing = store(b"".join(map(_packed, entries)))
    return _with_fat(sectors, fat, listing, small, -(-4 * len(mini_fat) // _SECTOR))


def _number(entry: _Entry, entries: list[_Entry]) -> None:
    """Give numbers to an entry and all below it; siblings are a balanced tree by length and letters."""
    entry.number = len(entries)
    entries.append(entry)
    for inner in entry.inner.values():
        _number(inner, entries)
    ordered = sorted(entry.inner.values(), key=lambda e: (len(e.name), e.name.upper()))
    entry.below = _tree(ordered)


def _tree(ordered: list[_Entry]) -> int:
    if not ordered:
        return _NONE
    middle = len(ordered) // 2
    ordered[middle].left = _tree(ordered[:middle])
    ordered[middle].right = _tree(ordered[middle + 1 :])
    return ordered[middle].number


def _packed(entry: _Entry) -> bytes:
    name = entry.name.encode("utf-16-le", "replace")[:62]
    return struct.pack(
        "<64sHBBIII16sIQQIQ", name, len(name) + 2, entry.kind, 1, entry.left, entry.right, entry.below,
        b"", 0, 0, 0, entry.start, entry.size,
    )  # fmt: skip


def _with_fat(sectors: bytearray, fat: list[int], listing: int, small: int, small_count: int) -> bytes:
    per = _SECTOR // 4
    count = lists = 0
    while count * per < len(fat) + count + lists:
        count += 1
        lists = max(0, -(-(count - 109) // (per - 1)))
    first = len(fat)
    places = [*range(first, first + count)]
    extra = [*range(first + count, first + count + lists)]
    fat = [*fat, *[_FAT] * count, *[_DIFAT] * lists]
    fat += [_FREE] * (count * per - len(fat))
    sectors += struct.pack(f"<{len(fat)}I", *fat)
    rest = places[109:]
    for i in range(lists):
        part = rest[i * (per - 1) : (i + 1) * (per - 1)]
        following = extra[i + 1] if i + 1 < lists else _END
        part += [_FREE] * (per - 1 - len(part))
        sectors += struct.pack(f"<{per}I", *part, following)
    head = struct.pack(
        "<8s16sHHHHH6sIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 0x3E, 3, 0xFFFE, 9, 6, b"", 0,
        count, listing, 0, _MINI, small, small_count, extra[0] if extra else _END, lists,
    )  # fmt: skip
    table = places[:109] + [_FREE] * (109 - len(places[:109]))
    return head + struct.pack("<109I", *table) + bytes(sectors)
