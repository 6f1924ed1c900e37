"""Small files of every kind, made as tests need them."""

from __future__ import annotations

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
