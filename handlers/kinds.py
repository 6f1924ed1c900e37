"""What kind of file this is, told by its content; a name only refines what the content leaves open."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

from handlers.parsing.plain import guess_encoding

HEAD_BYTES = 1 << 16
"""How much of the beginning is looked at."""

SUPPORTED = "PDF, plain text and Markdown, and mails (.eml)"


@dataclass(frozen=True)
class Kind:
    """A media type, and for what cannot be read the `reason`, a sentence for the user."""

    media_type: str
    reason: str = ""


_OLE = "an old or encrypted Office document or Outlook message"

_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"PK\x03\x04", "application/zip", "a ZIP archive"),
    (0, b"PK\x05\x06", "application/zip", "an empty ZIP archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar", "a RAR archive"),
    (0, b"\x1f\x8b", "application/gzip", "a gzip archive"),
    (0, b"BZh", "application/x-bzip2", "a bzip2 archive"),
    (0, b"\xfd7zXZ\x00", "application/x-xz", "an xz archive"),
    (257, b"ustar", "application/x-tar", "a tar archive"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png", "a PNG picture"),
    (0, b"\xff\xd8\xff", "image/jpeg", "a JPEG picture"),
    (0, b"GIF8", "image/gif", "a GIF picture"),
    (0, b"II*\x00", "image/tiff", "a TIFF picture"),
    (0, b"MM\x00*", "image/tiff", "a TIFF picture"),
    (0, b"BM", "image/bmp", "a BMP picture"),
    (4, b"ftyphei", "image/heic", "a HEIC picture"),
    (4, b"ftypmif1", "image/heif", "a HEIF picture"),
    (4, b"ftypavif", "image/avif", "an AVIF picture"),
    (4, b"ftypM4A", "audio/mp4", "an audio recording (M4A)"),
    (4, b"ftyp", "video/mp4", "a video (MP4 or QuickTime)"),
    (8, b"WAVE", "audio/wav", "an audio recording (WAV)"),
    (8, b"AVI ", "video/x-msvideo", "a video (AVI)"),
    (8, b"WEBP", "image/webp", "a WebP picture"),
    (0, b"ID3", "audio/mpeg", "an audio recording (MP3)"),
    (0, b"fLaC", "audio/flac", "an audio recording (FLAC)"),
    (0, b"OggS", "audio/ogg", "an audio recording (Ogg)"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "audio/x-ms-wma", "an audio or video recording (Windows Media)"),
    (0, b"\x1aE\xdf\xa3", "video/webm", "a video (WebM or Matroska)"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage", _OLE),
    (0, b"!BDN", "application/vnd.ms-outlook-pst", "an Outlook mail archive (PST)"),
    (0, b"\xffWPC", "application/vnd.wordperfect", "a WordPerfect document"),
    (0, b"{\\rtf", "application/rtf", "a rich text document (RTF)"),
    (0, b"%!PS", "application/postscript", "a PostScript document"),
    (0, b"SQLite format 3\x00", "application/vnd.sqlite3", "an SQLite database"),
    (0, b"\x7fELF", "application/x-elf", "a program"),
    (0, b"MZ", "application/vnd.microsoft.portable-executable", "a Windows program"),
    (0, b"x\x9f\x3e\x22", "application/ms-tnef", "an Outlook attachment bundle (winmail.dat)"),
)  # fmt: skip

_OOXML = "application/vnd.openxmlformats-officedocument."

_ODF = b"application/vnd.oasis.opendocument"

_OFFICE = (
    (b"word/", _OOXML + "wordprocessingml.document", "a Word document"),
    (b"xl/", _OOXML + "spreadsheetml.sheet", "an Excel workbook"),
    (b"ppt/", _OOXML + "presentationml.presentation", "a PowerPoint presentation"),
    (b"mimetype" + _ODF, _ODF.decode(), "an OpenDocument file"),
    (b"mimetypeapplication/epub+zip", "application/epub+zip", "an EPUB book"),
)  # fmt: skip

_MARKUP = (
    (re.compile(rb"<!doctype html|<html[\s>]", re.IGNORECASE), "text/html", "a web page (HTML)"),
    (re.compile(rb"<svg[\s>]", re.IGNORECASE), "image/svg+xml", "an SVG picture"),
)

_HEADER = re.compile(r"([A-Za-z][A-Za-z0-9-]*):[ \t]?(.*)")
_TRANSPORT = frozenset(
    {"received", "message-id", "mime-version", "return-path", "delivered-to", "content-type", "x-mailer"}
)
_ENVELOPE = frozenset(("from", "to", "date", "subject", "cc", "sender"))
_MBOX_NEXT = re.compile(r"\n\r?\nFrom \S.*\d{4}.*\r?\n[A-Za-z-]+:")
_MARKDOWN = re.compile(
    r"^(?:#{1,6} \S|```|[-*] \[[ x]\] |\|.+\|$)|\[[^\[\]\n]{1,200}\]\([^)\s]+\)", re.MULTILINE
)


def kind_of(head: bytes, filename: str, *, whole: bool) -> Kind:
    """Tell the kind of a file.

    Args:
        head: Its first `HEAD_BYTES` bytes, or all of them if there are no more (`whole`).
        filename: Tells Markdown from plain text, and a terse mail from a memorandum.
    """
    # Readers accept a PDF that begins within the first kilobyte.
    if b"%PDF-" in head[:1024]:
        return Kind("application/pdf")
    for offset, magic, media_type, name in _MAGIC:
        if head.startswith(magic, offset) and not _is_text_after_all(magic, head):
            if media_type == "application/zip":
                media_type, name = _inside_zip(head, media_type, name)
            return _unsupported(media_type, name)
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE6 == 0xE2 and guess_encoding(head) != "utf-16":
        return _unsupported("audio/mpeg", "an audio recording (MP3)")
    encoding = guess_encoding(head, whole=whole)
    if encoding is None:
        return _unsupported("application/octet-stream", "binary data of an unknown kind")
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    for pattern, media_type, name in _MARKUP:
        if pattern.match(start) or (start.startswith(b"<?xml") and pattern.search(start)):
            return _unsupported(media_type, name)
    text = head.decode(encoding, "replace").lstrip("\ufeff")
    suffix = PurePath(filename.lower()).suffix
    if text.startswith("From ") and _is_mail(text.partition("\n")[2], named=True):
        # Some programs save a single mail with the line that separates mails in a mailbox.
        if _MBOX_NEXT.search(text) or not (whole or suffix == ".eml"):
            return _unsupported("application/mbox", "a mailbox of several mails (mbox)")
        return Kind("message/rfc822")
    if _is_mail(text, named=suffix == ".eml"):
        return Kind("message/rfc822")
    if suffix in (".md", ".markdown") or len(_MARKDOWN.findall(text[:20_000])) >= 3:
        return Kind("text/markdown")
    return Kind("text/plain")


def _unsupported(media_type: str, name: str) -> Kind:
    return Kind(media_type, f"this is {name}, which cannot be read yet; supported are {SUPPORTED}")


def _is_text_after_all(magic: bytes, head: bytes) -> bool:
    """Two letters are a weak sign: a text may begin with them."""
    return len(magic) <= 3 and magic.isalnum() and guess_encoding(head) in ("utf-8", "cp1252")


def _inside_zip(head: bytes, media_type: str, name: str) -> tuple[str, str]:
    for sign, office_type, office_name in _OFFICE:
        if sign in head[:4096] if sign.startswith(b"mimetype") else sign in head:
            return office_type, office_name
    return media_type, name


def _is_mail(text: str, *, named: bool) -> bool:
    """Whether a text begins with a block of mail headers.

    A memorandum has From, To, Date and Subject, too; a mail has traces of its transport, or is
    `named` like one.
    """
    names: set[str] = set()
    for line in text.lstrip("\r\n").splitlines()[:400]:
        if not line.strip():
            break
        if line[0] in " \t" and names:
            continue
        header = _HEADER.match(line)
        if header is None:
            return False
        names.add(header[1].lower())
    envelope = len(names & _ENVELOPE)
    return (envelope >= 1 and bool(names & _TRANSPORT)) or (named and envelope >= 2)
