"""Small files of every kind, made as tests need them."""

from __future__ import annotations

import io
import struct
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pymupdf


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


def ole(*names: str, before: int = 0) -> bytes:
    """The frame of an OLE file: a directory of empty streams, `before` sectors after its beginning."""
    free, end = 0xFFFFFFFF, 0xFFFFFFFE
    entries = [_ole_entry("Root Entry", 5), *(_ole_entry(name, 2) for name in names)]
    entries += [bytes(128)] * (-len(entries) % 4)
    sectors = len(entries) // 4
    table = [free] * 128 * (2 + (before + sectors) // 128)
    tables = len(table) // 128
    for i in range(sectors):
        table[tables + before + i] = tables + before + i + 1 if i + 1 < sectors else end
    header = struct.pack(
        "<8s16x5H6x9L", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6,
        0, tables, tables + before, 0, 4096, end, 0, end, 0,
    )  # fmt: skip
    listed = [*range(tables), *[free] * (109 - tables)]
    return b"".join(
        (
            header,
            struct.pack("<109L", *listed),
            struct.pack(f"<{len(table)}L", *table),
            bytes(512 * before),
            *entries,
        )
    )


def _ole_entry(name: str, sort: int) -> bytes:
    encoded = (name + "\0").encode("utf-16-le")
    free = 0xFFFFFFFF
    return struct.pack("<64sHBB3L36xLQ", encoded, len(encoded), sort, 1, free, free, free, 0xFFFFFFFE, 0)
