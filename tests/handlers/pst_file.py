"""A small Outlook mail archive, made by code: folders and messages without recipients and attachments.

Source: Microsoft, [MS-PST], of which it holds as little as a reader needs.
"""

from __future__ import annotations

import struct
import zlib

_STORE, _ROOT = 0x21, 0x122
_STRING, _TIME, _INTEGER = 0x1F, 0x40, 0x03

Values = dict[int, "str | int"]


def pst(folders: dict[str, list[Values]]) -> bytes:
    """The archive; a message is its properties by number, a number among them is a time."""
    nodes: list[tuple[int, int, bytes]] = [
        (_STORE, 0, _properties({0x3001: "Archive"})),
        (_ROOT, _ROOT, _properties({0x3001: ""})),
    ]
    number, below = 0, []
    for i, (name, messages) in enumerate(folders.items()):
        folder = ((0x400 + i) << 5) | 0x02
        nodes.append((folder, _ROOT, _properties({0x3001: name})))
        below.append(folder)
        inside = []
        for message in messages:
            number += 1
            inside.append((0x10000 + number) << 5 | 0x04)
            nodes.append((inside[-1], folder, _properties(message)))
        nodes += _tables(folder, [], inside)
    nodes = sorted([*nodes, *_tables(_ROOT, below, [])])
    content = bytearray(bytes(0x4400))
    blocks, entries = [], []
    for i, (node, parent, data) in enumerate(nodes):
        block = 4 * (i + 1)
        blocks.append(struct.pack("<2Q2H4x", block, len(content), len(data), 2))
        entries.append(struct.pack("<3Q2L", node, block, 0, parent, 0))
        content += (
            data + bytes(-(len(data) + 16) % 64) + struct.pack("<2HLQ", len(data), 0, _sum(data), block)
        )
    content += bytes(-len(content) % 512)
    node_tree = _tree(content, entries, 0x81, 32)
    block_tree = _tree(content, blocks, 0x80, 24)
    root = struct.pack("<L4Q4QB3x", 0, len(content), 0x4400, 0, 0, *node_tree, *block_tree, 2)
    header = bytearray(564)
    struct.pack_into("<2sHH2B", header, 8, b"SM", 23, 19, 1, 1)
    header[180 : 180 + len(root)] = root
    header[512] = 0x80
    struct.pack_into("<4sL", header, 0, b"!BDN", _sum(header[8 : 8 + 471]))
    struct.pack_into("<L", header, 524, _sum(header[8 : 8 + 516]))
    content[:564] = header
    return bytes(content)


def _sum(content: bytes) -> int:
    return zlib.crc32(content, 0xFFFFFFFF) ^ 0xFFFFFFFF


def _tree(content: bytearray, entries: list[bytes], sort: int, size: int) -> tuple[int, int]:
    """Leaves, and a page above them where one is not enough; number and place of the uppermost."""
    level = 0
    while True:
        most = 488 // size
        pages = []
        for at in range(0, len(entries), most):
            some = entries[at : at + most]
            page = b"".join(some).ljust(488, b"\0") + struct.pack("<4B4x", len(some), most, size, level)
            identifier = len(content) // 512 * 2 + 2
            pages.append((some[0][:8], identifier, len(content)))
            content += page + struct.pack("<2BHLQ", sort, sort, 0, _sum(page), identifier)
        if len(pages) == 1:
            return pages[0][1], pages[0][2]
        entries, size = [struct.pack("<8s2Q", *page) for page in pages], 24
        level += 1


def _tables(folder: int, folders: list[int], messages: list[int]) -> list[tuple[int, int, bytes]]:
    """The tables of what is in a folder: folders, messages, and other things, of which there are none."""
    kinds = ((0x0D, folders), (0x0E, messages), (0x0F, []))
    return [(folder & ~0x1F | kind, 0, _table(rows)) for kind, rows in kinds]


def _table(rows: list[int]) -> bytes:
    """A table context that holds nothing but the numbers of its rows."""
    columns = struct.pack("<2H H2B", 0x03, 0x67F2, 0, 4, 0) + struct.pack("<2H H2B", 0x03, 0x67F3, 4, 4, 1)
    index = b"".join(struct.pack("<2L", row, i) for i, row in enumerate(rows))
    matrix = b"".join(struct.pack("<2LB", row, 1, 0xC0) for row in rows)
    info = struct.pack("<2B4H3L", 0x7C, 2, 8, 8, 8, 9, 2 << 5, 4 << 5 if rows else 0, 0) + columns
    header = struct.pack("<4BL", 0xB5, 4, 4, 0, 3 << 5 if rows else 0)
    return _heap([info, header, *([index, matrix] if rows else [])], 0x7C)


def _properties(values: Values) -> bytes:
    """A property context: a tree of numbers on a heap."""
    heap, records = [b"", b""], []
    for number, value in sorted(values.items()):
        kind = _STRING if isinstance(value, str) else _TIME
        data = value.encode("utf-16-le") if isinstance(value, str) else struct.pack("<Q", value)
        if data:
            heap.append(data)
        records.append(struct.pack("<2HL", number, kind, len(heap) << 5 if data else 0))
    heap[0] = struct.pack("<4BL", 0xB5, 2, 6, 0, 2 << 5)
    heap[1] = b"".join(records)
    return _heap(heap, 0xBC)


def _heap(parts: list[bytes], sort: int) -> bytes:
    """Parts that refer to one another by number, from 1; the first is the root."""
    at, places = 12, []
    for one in parts:
        places.append(at)
        at += len(one)
    table = struct.pack(f"<{3 + len(places)}H", len(parts), 0, *places, at)
    return b"".join((struct.pack("<H2BLL", at + at % 2, 0xEC, sort, 1 << 5, 0), *parts, bytes(at % 2), table))
