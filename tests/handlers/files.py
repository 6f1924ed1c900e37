"""Small files of every kind, made as tests need them."""

from __future__ import annotations

import io
import struct
import zipfile
from email.message import EmailMessage
from pathlib import Path

from handlers.parsing.mupdf import pymupdf


def pdf(path: Path, *pages: list[str], title: str = "", password: str = "", rotation: int = 0) -> Path:
    """A PDF whose pages hold the given lines, 20 points apart from (72, 100) on."""
    document = pymupdf.open()
    for lines in pages:
        page = document.new_page(width=600, height=800)
        for i, line in enumerate(lines):
            page.insert_text((72, 100 + 20 * i), line, fontsize=11)
        page.set_rotation(rotation)
    if title:
        document.set_metadata({"title": title})
    options = {"encryption": pymupdf.PDF_ENCRYPT_AES_256, "user_pw": password, "owner_pw": "owner"}
    document.save(path, **(options if password else {}))
    document.close()
    return path


def picture_pdf(path: Path) -> Path:
    """A PDF of one page that is a picture."""
    document = pymupdf.open()
    page = document.new_page()
    pixmap = pymupdf.Pixmap(pymupdf.csRGB, pymupdf.IRect(0, 0, 50, 50))
    pixmap.set_rect(pixmap.irect, (200, 10, 10))
    page.insert_image(page.rect, pixmap=pixmap)
    document.save(path)
    document.close()
    return path


def mail(*, subject: str = "A question", body: str = "Where is it?", html: str = "") -> EmailMessage:
    message = EmailMessage()
    message["From"] = '"Orr, Ann" <ann.orr@example.org>'
    message["To"] = "Ben Poe <ben@example.org>, cy@example.org"
    message["Date"] = "Tue, 04 Jun 2019 10:00:00 +0200"
    message["Subject"] = subject
    message["Message-ID"] = "<1@example.org>"
    if body:
        message.set_content(body)
    if html:
        (message.add_alternative if body else message.set_content)(html, subtype="html")
    return message


def archive(members: dict[str, bytes], *, comment: bytes = b"") -> bytes:
    """A ZIP file; its first member is stored, the others are compressed."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        for i, (name, inner) in enumerate(members.items()):
            packed.writestr(name, inner, zipfile.ZIP_DEFLATED if i else zipfile.ZIP_STORED)
        packed.comment = comment
    return content.getvalue()


Tree = dict[str, "bytes | Tree"]


def ole(*names: str, before: int = 0) -> bytes:
    """An OLE file of empty streams, whose directory lies `before` sectors after its beginning."""
    return ole_of(dict.fromkeys(names, b""), before=before)


def ole_of(tree: Tree, *, before: int = 0) -> bytes:
    """An OLE file of streams and, where the tree goes deeper, storages."""
    free, end = 0xFFFFFFFF, 0xFFFFFFFE
    entries: list[list[object]] = []
    contents: list[bytes] = []
    _ole_add(entries, contents, "Root Entry", 5, tree)
    # Streams of less than 4096 bytes lie together in one, in sectors of 64 bytes.
    small, small_table, small_starts = b"", [], {}
    for i, content in enumerate(contents):
        if 0 < len(content) < 4096:
            small_starts[i] = len(small_table)
            length = -(-len(content) // 64)
            small_table += [*range(len(small_table) + 1, len(small_table) + length), end]
            small += content + bytes(-len(content) % 64)
    packed_table = struct.pack(f"<{len(small_table)}L", *small_table)
    packed_table += b"\xff" * (-len(packed_table) % 512)
    large = {i: content for i, content in enumerate(contents) if len(content) >= 4096}
    streams = [bytes(128 * (len(entries) + -len(entries) % 4)), packed_table, small, *large.values()]
    sectors = [-(-len(content) // 512) for content in streams]
    tables = 1 + (before + sum(sectors)) // 120
    table, at, starts = [free] * (128 * tables), tables + before, []
    for length in sectors:
        starts.append(at if length else end)
        table[at : at + length] = [*range(at + 1, at + length), end][:length]
        at += length
    places = small_starts | dict(zip(large, starts[3:], strict=True))
    entries[0][4] = (starts[2], len(small))
    for entry in entries[1:]:
        entry[4] = (places.get(entry[4], end), len(contents[entry[4]])) if entry[4] != -1 else (0, 0)
    streams[0] = b"".join(map(_ole_entry, entries))
    header = struct.pack(
        "<8s16x5H6x9L", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6,
        0, tables, starts[0], 0, 4096, starts[1], sectors[1], end, 0,
    )  # fmt: skip
    return b"".join(
        (
            header,
            struct.pack("<109L", *range(tables), *[free] * (109 - tables)),
            struct.pack(f"<{len(table)}L", *table),
            bytes(512 * before),
            *(content + bytes(-len(content) % 512) for content in streams),
        )
    )


def _ole_add(
    entries: list[list[object]], contents: list[bytes], name: str, sort: int, inner: bytes | Tree
) -> int:
    """Add an entry with what is in it; an entry is name, sort, right neighbour, first child, content."""
    number = len(entries)
    entry: list[object] = [name, sort, 0xFFFFFFFF, 0xFFFFFFFF, -1]
    entries.append(entry)
    if isinstance(inner, bytes):
        entry[4] = len(contents)
        contents.append(inner)
        return number
    before: list[object] | None = None
    for key, value in inner.items():
        child = _ole_add(entries, contents, key, 2 if isinstance(value, bytes) else 1, value)
        if before is None:
            entry[3] = child
        else:
            before[2] = child
        before = entries[child]
    return number


def _ole_entry(entry: list[object]) -> bytes:
    name, sort, right, child, (start, size) = entry
    encoded = (str(name) + "\0").encode("utf-16-le")
    return struct.pack(
        "<64sHBB3L36xLQ", encoded, len(encoded), sort, 1, 0xFFFFFFFF, right, child, start, size
    )


def msg(
    *,
    subject: str,
    body: str = "",
    attachments: dict[str, bytes | Tree] | None = None,
    top: bool = True,
    **more: str,
) -> Tree:
    """The storages of an Outlook message; an attachment that is a tree is a message itself."""
    strings = {"0037": subject, "1000": body, "0C1A": "Ann Orr", "5D01": "ann.orr@example.org", **more}
    tree: Tree = {
        "__properties_version1.0": bytes(32 if top else 24)
        + struct.pack("<2HLQ", 0x40, 0x0039, 6, 131_803_128_000_000_000),
        **{
            f"__substg1.0_{number}001F": value.encode("utf-16-le")
            for number, value in strings.items()
            if value
        },
        "__recip_version1.0_#00000000": {
            "__properties_version1.0": bytes(8) + struct.pack("<2HLlL", 3, 0x0C15, 6, 2, 0),
            "__substg1.0_3001001F": "Ben Poe".encode("utf-16-le"),
            "__substg1.0_39FE001F": "ben@example.org".encode("utf-16-le"),
        },
    }
    for i, (name, content) in enumerate((attachments or {}).items()):
        kind = "0102" if isinstance(content, bytes) else "000D"
        tree[f"__attach_version1.0_#{i:08}"] = {
            "__properties_version1.0": bytes(8),
            "__substg1.0_3707001F": name.encode("utf-16-le"),
            f"__substg1.0_3701{kind}": content,
        }
    return tree


def tnef(*, body: str, attachments: dict[str, bytes]) -> bytes:
    """A winmail.dat."""

    def attribute(level: int, number: int, content: bytes) -> bytes:
        return (
            struct.pack("<BHHL", level, number, 6, len(content))
            + content
            + struct.pack("<H", sum(content) % 65536)
        )

    def text(number: int, value: str) -> bytes:
        encoded = (value + "\0").encode("utf-16-le")
        return struct.pack("<2H2L", 0x1F, number, 1, len(encoded)) + encoded + bytes(-len(encoded) % 4)

    properties = struct.pack("<L", 2) + text(0x1000, body) + text(0x0037, "Wrapped")
    parts = [struct.pack("<LH", 0x223E9F78, 1), attribute(1, 0x9003, properties)]
    for name, content in attachments.items():
        parts += [
            attribute(2, 0x9002, bytes(14)),
            attribute(2, 0x8010, name[:8].encode() + b"\0"),
            attribute(2, 0x800F, content),
            attribute(2, 0x9005, struct.pack("<L", 1) + text(0x3707, name)),
        ]
    return b"".join(parts)
