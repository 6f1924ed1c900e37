"""What kind of file this is, told by its content; a name only refines what the content leaves open."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO

from handlers.kind_parts import ole_names, zip_names
from handlers.kind_signs import (
    ENCRYPTED,
    FORM,
    LOCKED,
    MAGIC,
    NAMES,
    ODF,
    OLE,
    PARTS,
    PST,
    RIFF,
    STREAMS,
    WEAK,
    ZIP,
)
from handlers.parsing.plain import guess_encoding
from handlers.parsing.readers import READERS

HEAD_BYTES = 1 << 16
"""How much of the beginning is looked at."""

ARCHIVES = frozenset(
    {
        ZIP, "application/x-7z-compressed", "application/vnd.rar", "application/gzip", "application/x-bzip2",
        "application/x-xz", "application/x-tar", "application/vnd.ms-cab-compressed",
        "application/x-iso9660-image",
    }
)  # fmt: skip
CONTAINERS = ARCHIVES | {"application/mbox", PST}
"""Kinds that hold nothing but other files."""

_FAMILIES = (
    ("PDF", "application/pdf"),
    ("plain text and Markdown", "text/plain"),
    ("tables (CSV)", "text/csv"),
    ("web pages", "text/html"),
    ("office documents", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("mails (.eml)", "message/rfc822"),
    ("Outlook messages", "application/vnd.ms-outlook"),
    ("mailboxes", "application/mbox"),
    ("archives", ZIP),
    ("pictures", "image/png"),
    ("audio and video", "audio/mpeg"),
)
SUPPORTED = ", ".join(name for name, media_type in _FAMILIES if media_type in READERS)


@dataclass(frozen=True)
class Kind:
    """A media type, and for what cannot be read the `reason`, a sentence for the user."""

    media_type: str
    reason: str = ""


_LOCAL_NAME = re.compile(rb"PK\x03\x04.{26}([\x20-\x7e]{1,100})", re.DOTALL)
_MARKUP = (
    (re.compile(rb"<!doctype html|<html[\s>]", re.IGNORECASE), "text/html"),
    (re.compile(rb"<svg[\s>]", re.IGNORECASE), "image/svg+xml"),
)
_PROLOGUE = re.compile(rb"(?:<\?xml[^>]*>|<!--.*?-->|<!doctype svg[^>]*>|\s)+", re.IGNORECASE | re.DOTALL)
_HTML_BODY = re.compile(rb"</(?:p|div|body|table|span|a)>", re.IGNORECASE)

_HEADER = re.compile(r"([A-Za-z][A-Za-z0-9-]*):[ \t]?(.*)")
_TRANSPORT = frozenset(
    {"received", "message-id", "mime-version", "return-path", "delivered-to", "content-type", "x-mailer"}
)
_ENVELOPE = frozenset(("from", "to", "date", "subject", "cc", "sender"))
_MBOX_NEXT = re.compile(r"\n\r?\nFrom \S.*\d{4}.*\r?\n[A-Za-z-]+:")
_MARKDOWN = re.compile(
    r"^(?:#{1,6} \S|```|[-*] \[[ x]\] |\|.+\|$)|\[[^\[\]\n]{1,200}\]\([^)\s]+\)", re.MULTILINE
)
_DELIMITERS = {",": "text/csv", ";": "text/csv", "\t": "text/tab-separated-values"}
_TABLE_LINES = 20


def look(path: Path, filename: str) -> Kind:
    """Tell the kind of a file by its beginning and, where it is a container, by its directory."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        whole = not file.read(1)
        return kind_of(head, filename, whole=whole, file=file)


def kind_of(head: bytes, filename: str, *, whole: bool, file: BinaryIO | None = None) -> Kind:
    """Tell the kind of a file.

    Args:
        head: Its first `HEAD_BYTES` bytes, or all of them if there are no more (`whole`).
        filename: Tells Markdown from plain text, and a terse mail from a memorandum.
        file: All of it, for the directories of containers; without it the head stands for the whole.
    """
    suffix = PurePath(filename.lower()).suffix
    media_type = _by_magic(head, suffix, file or io.BytesIO(head))
    if media_type is None:
        encoding = guess_encoding(head, whole=whole)
        text = head.decode(encoding, "replace").lstrip("\ufeff") if encoding else ""
        media_type = _of_text(head, text, suffix, whole) if encoding else "application/octet-stream"
    return _kind(media_type)


def _kind(media_type: str) -> Kind:
    if media_type in READERS:
        return Kind(media_type)
    name = NAMES.get(media_type)
    if name is None:
        family, _, form = media_type.partition("/")
        if media_type.startswith(ODF):
            name = "an OpenDocument file"
        elif family == "text":
            return Kind("text/plain")  # no kind of text is unreadable
        else:
            sort = {"image": "a picture", "audio": "an audio recording", "video": "a video"}[family]
            name = f"{sort} ({form.removeprefix('x-').upper()})"
    return Kind(media_type, f"this is {name}, which cannot be read yet; supported are {SUPPORTED}")


def _by_magic(head: bytes, suffix: str, file: BinaryIO) -> str | None:
    # Readers accept a PDF that begins within the first kilobyte.
    if b"%PDF-" in head[:1024]:
        return "application/pdf"
    for chunks, forms in ((b"RIFF", RIFF), (b"FORM", FORM)):
        if head.startswith(chunks) and head[8:12] in forms:
            return forms[head[8:12]]
    for offset, magic, media_type in MAGIC:
        if head.startswith(magic, offset) and not _is_text_after_all(magic, head):
            if media_type == ZIP:
                return _inside_zip(head, file)
            return _inside_ole(suffix, file) if media_type == OLE else media_type
    if head[:1] == b"\xff" and len(head) > 1 and guess_encoding(head) != "utf-16":
        if head[1] & 0xF6 == 0xF0:
            return "audio/aac"
        if head[1] & 0xE6 == 0xE2:
            return "audio/mpeg"
    return None


def _is_text_after_all(magic: bytes, head: bytes) -> bool:
    return magic in WEAK and guess_encoding(head) in ("utf-8", "cp1252")


def _inside_zip(head: bytes, file: BinaryIO) -> str:
    # OpenDocument and EPUB say what they are in a first file that is not compressed.
    if head[30:38] == b"mimetype":
        length = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
        said = re.match(rb"[a-z]+/[a-zA-Z0-9.+-]+", head[30 + length : 30 + length + 100])
        if said and said[0].startswith((ODF.encode(), b"application/epub")):
            return said[0].decode().removesuffix("PK")
    # A file that was cut off has lost its directory; each part's name stands before the part, too.
    names = zip_names(file) or [name.decode() for name in _LOCAL_NAME.findall(head)]
    for beginning, media_type in PARTS:
        if any(name.replace("\\", "/").startswith(beginning) for name in names):
            return media_type
    return ZIP


def _inside_ole(suffix: str, file: BinaryIO) -> str:
    names = set(ole_names(file))
    for stream, media_type in STREAMS:
        if stream in names:
            return ENCRYPTED.get(suffix, LOCKED) if "encrypted" in media_type else media_type
    return OLE


def _of_text(head: bytes, text: str, suffix: str, whole: bool) -> str:
    start = head[:4096].removeprefix(b"\xef\xbb\xbf")
    start = start[prologue.end() :] if (prologue := _PROLOGUE.match(start)) else start
    for pattern, media_type in _MARKUP:
        if pattern.match(start):
            return media_type
    if suffix in (".htm", ".html", ".xhtml") and _HTML_BODY.search(head):
        return "text/html"
    if text.startswith("From ") and _is_mail(text.partition("\n")[2], named=True):
        # Some programs save a single mail with the line that separates mails in a mailbox.
        several = _MBOX_NEXT.search(text) or not (whole or suffix == ".eml")
        return "application/mbox" if several else "message/rfc822"
    if _is_mail(text, named=suffix == ".eml"):
        return "message/rfc822"
    if (table := _table(text, suffix)) is not None:
        return table
    if suffix in (".md", ".markdown") or len(_MARKDOWN.findall(text[:20_000])) >= 3:
        return "text/markdown"
    return "text/plain"


def _table(text: str, suffix: str) -> str | None:
    """A table has the same number of cells in each of its first lines; without the name of one, in many."""
    named = suffix in (".csv", ".tsv", ".tab")
    # The last line may be cut.
    lines = text[:20_000].splitlines()[: _TABLE_LINES + 1]
    lines = [line for line in (lines[:-1] if len(lines) > 2 else lines) if line.strip()]
    if len(lines) < (2 if named else 5):
        return None
    for delimiter, media_type in _DELIMITERS.items():
        try:
            counts = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        except csv.Error:
            continue
        if len(set(counts)) == 1 and counts[0] >= (2 if named else 3):
            return media_type
    return None


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
