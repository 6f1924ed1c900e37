"""What Outlook keeps of a mail, whatever the file it keeps it in, written out as an Internet mail.

An item is MAPI properties by number, its recipients, and its attachments; one item always gives the
same bytes. Source: Microsoft, [MS-OXPROPS] and [MS-OXCMSG].
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, formataddr

from handlers.parsing.parsed import clean
from handlers.parsing.plain import guess_encoding

SUBJECT, BODY, RTF, HTML = 0x0037, 0x1000, 0x1009, 0x1013
HEADERS, SUBMITTED, DELIVERED = 0x007D, 0x0039, 0x0E06
MESSAGE_ID, IN_REPLY_TO, REFERENCES = 0x1035, 0x1042, 0x1039
RECIPIENT_TYPE, DISPLAY_NAME, ADDRESS, SMTP_ADDRESS = 0x0C15, 0x3001, 0x3003, 0x39FE
FILE, FILENAME_SHORT, FILENAME, MIME_TYPE = 0x3701, 0x3704, 0x3707, 0x370E
CODE_PAGES = (0x3FFD, 0x3FDE)

STRING8, STRING, TIME, BINARY, OBJECT = 0x1E, 0x1F, 0x40, 0x102, 0x0D

MAX_DEPTH = 20
"""Messages within messages."""

_SENDERS = ((0x0C1A, 0x5D01, 0x0C1F), (0x0042, 0x5D02, 0x0065))
"""Who sent it, and whom that was for: name, address, address in whatever form."""
_KINDS = {1: "To", 2: "Cc", 3: "Bcc"}
_REPLACED = re.compile(r"(?im)^(?:content-[a-z-]+|mime-version)[ \t]*:.*(?:\n[ \t].*)*\n?")
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_BASE64_BYTES = 57 * 4096

Properties = dict[int, "str | bytes | int | datetime"]


@dataclass
class Attached:
    """A file, or another item, within an item."""

    properties: Properties
    content: Iterable[bytes] | Item


@dataclass
class Item:
    """A mail, appointment, contact or note."""

    properties: Properties
    recipients: list[Properties] = field(default_factory=list)
    attachments: list[Attached] = field(default_factory=list)


def text(properties: Properties, number: int) -> str:
    """A property as one line; "" where it is missing."""
    value = properties.get(number, "")
    return re.sub(r"\s+", " ", clean(value)).strip() if isinstance(value, str) else ""


def decoded(value: bytes, kind: int, code_page: int) -> str:
    """A string of MAPI, which is UTF-16 or in the code page of its message."""
    if kind == STRING:
        return value.decode("utf-16-le", "replace").rstrip("\0")
    try:
        return value.decode("utf-8" if code_page == 65001 else f"cp{code_page}", "replace").rstrip("\0")
    except LookupError:
        return value.decode("cp1252", "replace").rstrip("\0")


def moment(ticks: int) -> datetime | None:
    """A time of Windows; None where it is none that a calendar has."""
    try:
        return _EPOCH + timedelta(microseconds=ticks // 10) if ticks > 0 else None
    except OverflowError:
        return None


def written(item: Item, depth: int = 0) -> Iterator[bytes]:
    """The item as a mail, block by block."""
    headers = _headers(item)
    bodies = [part for part in (_plain(item), _html(item)) if part]
    rtf = item.properties.get(RTF)
    boundary = "=_" + hashlib.sha256(repr((depth, headers)).encode()).hexdigest()[:40]
    yield "".join(f"{name}: {value}\r\n" for name, value in headers).encode("utf-8", "replace")
    yield f'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n'.encode()
    if bodies:
        inner = f"{boundary}b"
        yield f'--{boundary}\r\nContent-Type: multipart/alternative; boundary="{inner}"\r\n'.encode()
        for media_type, content in bodies:
            yield f"\r\n--{inner}\r\nContent-Type: {media_type}; charset=utf-8\r\n".encode()
            yield from _encoded([content.encode("utf-8", "replace")])
        yield f"--{inner}--\r\n".encode()
    elif isinstance(rtf, bytes) and rtf:
        # Its text stands nowhere else; it is read as a document of its own.
        yield from _part(boundary, "application/rtf", "message.rtf", [rtf])
    for number, attached in enumerate(item.attachments, 1):
        yield from _attached(attached, boundary, number, depth)
    yield f"--{boundary}--\r\n".encode()


def _attached(attached: Attached, boundary: str, number: int, depth: int) -> Iterator[bytes]:
    inside = attached.content
    if isinstance(inside, Item):
        if depth >= MAX_DEPTH:
            yield from _part(boundary, "text/plain", f"attachment-{number}.txt", [b"nested too deeply"])
            return
        yield f"--{boundary}\r\nContent-Type: message/rfc822\r\n\r\n".encode()
        yield from written(inside, depth + 1)
        yield b"\r\n"
        return
    name = text(attached.properties, FILENAME) or text(attached.properties, FILENAME_SHORT)
    name = name or text(attached.properties, DISPLAY_NAME) or f"attachment-{number}"
    media_type = text(attached.properties, MIME_TYPE)
    if not re.fullmatch(r"[\w.+-]+/[\w.+-]+", media_type) or media_type.startswith(
        ("message/", "multipart/")
    ):
        media_type = "application/octet-stream"
    yield from _part(boundary, media_type, name, inside)


def _part(boundary: str, media_type: str, name: str, content: Iterable[bytes]) -> Iterator[bytes]:
    name = name.replace("\\", "\\\\").replace('"', "'")
    yield f"--{boundary}\r\nContent-Type: {media_type}\r\n".encode()
    yield f'Content-Disposition: attachment; filename="{name}"\r\n'.encode("utf-8", "replace")
    yield from _encoded(content)


def _encoded(content: Iterable[bytes]) -> Iterator[bytes]:
    yield b"Content-Transfer-Encoding: base64\r\n\r\n"
    held = b""
    for piece in content:
        held += piece
        whole = len(held) - len(held) % _BASE64_BYTES
        for at in range(0, whole, _BASE64_BYTES):
            yield base64.encodebytes(held[at : at + _BASE64_BYTES])
        held = held[whole:]
    yield base64.encodebytes(held) + b"\r\n"


def _plain(item: Item) -> tuple[str, str] | None:
    body = item.properties.get(BODY)
    return ("text/plain", body) if isinstance(body, str) and body.strip() else None


def _html(item: Item) -> tuple[str, str] | None:
    body = item.properties.get(HTML)
    if isinstance(body, bytes):
        named = re.search(rb"charset=[\"']?([\w-]+)", body[:2000])
        names = (named[1].decode() if named else "", guess_encoding(body) or "", "cp1252")
        body = next(filter(None, (_tried(body, name) for name in names)), "")
    return ("text/html", body) if isinstance(body, str) and body.strip() else None


def _tried(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding) if encoding else ""
    except (LookupError, UnicodeError, ValueError):
        return content.decode("latin-1") if encoding == "cp1252" else ""


def _headers(item: Item) -> list[tuple[str, str]]:
    """The headers that came with it, else those that its properties make up."""
    said = item.properties.get(HEADERS)
    found: list[tuple[str, str]] = []
    if isinstance(said, str) and ":" in said:
        for line in _REPLACED.sub("", clean(said).strip() + "\n").splitlines():
            if line[:1] in " \t" and found:
                found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
            elif re.match(r"[!-9;-~]+:", line):
                name, _, value = line.partition(":")
                found.append((name, value.strip()))
    there = {name.lower() for name, _ in found}
    return found + [(name, value) for name, value in _made(item) if value and name.lower() not in there]


def _made(item: Item) -> Iterator[tuple[str, str]]:
    properties = item.properties
    yield "Subject", text(properties, SUBJECT)
    for name, smtp, other in _SENDERS:
        if sender := _address(text(properties, name), text(properties, smtp) or text(properties, other)):
            yield "From", sender
            break
    for number, header in _KINDS.items():
        rows = [row for row in item.recipients if (row.get(RECIPIENT_TYPE, 1) or 1) == number]
        listed = [_address(text(r, DISPLAY_NAME), text(r, SMTP_ADDRESS) or text(r, ADDRESS)) for r in rows]
        yield header, ", ".join(filter(None, listed))
    at = properties.get(SUBMITTED) or properties.get(DELIVERED)
    yield "Date", format_datetime(at) if isinstance(at, datetime) else ""
    yield "Message-ID", text(properties, MESSAGE_ID)
    yield "In-Reply-To", text(properties, IN_REPLY_TO)
    yield "References", text(properties, REFERENCES)


def _address(name: str, address: str) -> str:
    """A name with an address; addresses within an organisation (/O=…) say less than the name does."""
    address = address if "@" in address else ""
    if not address:
        return f'"{name.replace(chr(34), chr(39))}" <>' if name else ""
    return formataddr((name if name != address else "", address), "utf-8")
