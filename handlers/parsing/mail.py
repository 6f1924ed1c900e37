"""A mail: its headers and body as text, what is attached as files of its own."""

from __future__ import annotations

import email
import email.policy
import mimetypes
import re
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any

from handlers.parsing.html import text_of
from handlers.parsing.parsed import Outlet, Parsed, Source, TooMuch, Unreadable, clean
from handlers.parsing.plain import guess_encoding

MAX_DEPTH = 20
"""Levels of parts within parts."""
MAX_ATTACHMENTS = 200
MAX_ADDRESSES = 500
MAX_REFERENCES = 200

_IDS = re.compile(r"<[^<>\s]{1,990}>")

_SHOWN = ("Subject", "From", "To", "Cc", "Bcc", "Date")
_BODY_TYPES = ("text/plain", "text/html")


class AsWritten(email.policy.Compat32):
    """Headers as they stand there, bytes beyond ASCII as lone surrogates.

    The old policy never fails on a malformed header, where the new one parses each on access; but asked for
    a header with such bytes, it gives a text that has lost them.
    """

    def header_fetch_parse(self, name: str, value: str) -> str:
        return value


class _Reading:
    """What has been found so far in one mail."""

    def __init__(self, outlet: Outlet) -> None:
        self.bodies: list[str] = []
        self.attachments: list[str] = []
        self.left_out = 0
        self._outlet = outlet

    def read(self, part: Message[str, str], depth: int = 0) -> None:
        kind = part.get_content_type()
        if depth > MAX_DEPTH:
            self.left_out += 1
        elif kind == "message/rfc822" and depth:
            self._attach_message(part)
        elif part.is_multipart() and kind != "message/rfc822":
            self._read_parts(part, kind, depth)
        elif kind in _BODY_TYPES and not _is_attachment(part):
            self.bodies.append(_body(part))
        else:
            self._attach(_filename(part, kind, len(self.attachments)), _payload(part))

    def _read_parts(self, part: Message[str, str], kind: str, depth: int) -> None:
        parts = _parts(part)
        if kind == "multipart/alternative" and (best := _best(parts)) is not None:
            # The others say the same in another form, but files hung beside them are kept.
            parts = [best, *(p for p in parts if p is not best and _is_attachment(p))]
        for child in parts:
            self.read(child, depth + 1)

    def _attach_message(self, part: Message[str, str]) -> None:
        inner = _parts(part)
        if not inner:
            self._attach(_filename(part, "message/rfc822", len(self.attachments)), _payload(part))
            return
        subject = re.sub(r"[/\\]", " ", header(inner[0], "subject"))[:100]
        name = _filename(part, "", len(self.attachments)) or f"{subject or 'message'}.eml"
        # Without refolding, its bytes are what stood in the mail.
        kept = email.policy.compat32.clone(max_line_length=None)
        try:
            content = inner[0].as_bytes(policy=kept)
        except (UnicodeError, LookupError, KeyError, AttributeError, TypeError, ValueError):
            self.left_out += 1
            return
        self._attach(name, content)

    def _attach(self, filename: str, content: bytes) -> None:
        if not content.strip():
            return
        if len(self.attachments) >= MAX_ATTACHMENTS:
            self.left_out += 1
            return
        try:
            self._outlet.attach(filename, [content])
        except TooMuch:
            self.left_out += 1
        else:
            self.attachments.append(filename)


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read a mail of RFC 822 and its successors, as tolerantly as mail programs do.

    Raises:
        Unreadable: It is nested so deeply that it cannot be read.
    """
    content = source.path.read_bytes()
    if content.startswith(b"From "):
        content = content.partition(b"\n")[2]  # the line that separates mails in a mailbox
    return parse(content, outlet)


def parse(content: bytes, outlet: Outlet) -> Parsed:
    """The same of a mail at hand."""
    reading = _Reading(outlet)
    try:
        message = email.message_from_bytes(content.lstrip(b"\r\n\xef\xbb\xbf"), policy=AsWritten())
        reading.read(message)
    except RecursionError as error:
        raise Unreadable("the mail is nested too deeply to be read") from error
    meta = _meta(message)
    shown = [f"{name}: {value}" for name in _SHOWN if (value := header(message, name))]
    body = "\n\n".join(b for b in reading.bodies if b.strip())
    if reading.attachments:
        meta["attachments"] = reading.attachments
        shown.append(f"Attachments: {', '.join(meta['attachments'])}")
    if reading.left_out:
        meta["notice"] = f"{reading.left_out} parts of the mail were not read: too deep, too many or damaged"
    text = clean("\n".join(shown) + "\n\n" + body).strip()
    return Parsed(text=text, title=header(message, "subject"), meta=meta)


def _parts(part: Message[str, str]) -> list[Message[str, str]]:
    payload = part.get_payload()
    return [p for p in payload if isinstance(p, Message)] if isinstance(payload, list) else []


def _best(parts: list[Message[str, str]]) -> Message[str, str] | None:
    """Of alternatives, the plain text if it says anything, else HTML, else what holds parts itself."""
    for kind in ("text/plain", "text/html", "multipart/"):
        for part in parts:
            if part.get_content_type().startswith(kind) and not _is_attachment(part):
                if kind == "text/plain" and not _body(part).strip():
                    continue
                return part
    return None


def _is_attachment(part: Message[str, str]) -> bool:
    if part.get_content_disposition() == "attachment":
        return True
    return part.get_content_type() not in ("text/plain", "text/html") or bool(part.get_filename())


def _payload(part: Message[str, str]) -> bytes:
    payload = part.get_payload(decode=True)
    if isinstance(payload, bytes):
        return payload
    # A status report holds header blocks where others hold content.
    return b"\n".join(bytes(str(p), "utf-8", "replace") for p in _parts(part))


def _body(part: Message[str, str]) -> str:
    content = _payload(part)
    named = (part.get_content_charset() or "").strip().strip("\"'")
    text = None
    for encoding in (named, guess_encoding(content) or "", "latin-1"):
        try:
            text = content.decode(encoding) if encoding else None
        except (LookupError, UnicodeError, ValueError):
            continue
        if text is not None:
            break
    assert text is not None, "every byte string is Latin-1"
    return text_of(clean(text)) if part.get_content_type() == "text/html" else clean(text).strip("\n")


def _filename(part: Message[str, str], kind: str, count: int) -> str:
    """A bare file name; with a `kind` there always is one."""
    name = clean(_decoded(part.get_filename() or "")).replace("\n", " ")
    name = re.split(r"[/\\]", name)[-1].strip(" .\t")[:200]
    if name or not kind:
        return name
    return f"attachment-{count + 1}{mimetypes.guess_extension(kind) or ''}"


def header(message: Message[str, str], name: str) -> str:
    """A header's whole value in one line, encoded words read; "" if there is none."""
    values = [_decoded(value) for value in message.get_all(name, [])]
    return re.sub(r"\s+", " ", clean(", ".join(values))).strip()[:20_000]


def _decoded(value: str) -> str:
    # Bytes beyond ASCII come as lone surrogates.
    raw = value.encode("utf-8", "surrogateescape")
    value = raw.decode(guess_encoding(raw) or "latin-1", "replace")
    try:
        words = decode_header(value)
    except (HeaderParseError, ValueError):
        return value
    parts = []
    for word, encoding in words:
        if isinstance(word, str):
            parts.append(word)
            continue
        try:
            # What stands beside encoded words comes as bytes, too, in an encoding of Python's own.
            parts.append(word.decode(encoding or "raw-unicode-escape", "replace"))
        except LookupError:
            parts.append(word.decode("latin-1"))
    return "".join(parts)


def _addresses(message: Message[str, str], name: str) -> list[dict[str, str]]:
    # Encoded words are read after the split: a comma inside one separates nothing.
    found = getaddresses([value[:50_000] for value in message.get_all(name, [])])
    named = ((clean(_decoded(n)).strip("'\" "), clean(_decoded(a))) for n, a in found[:MAX_ADDRESSES])
    return [{"name": n, "address": a} for n, a in named if n or a]


def _meta(message: Message[str, str]) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    for name in ("from", "to", "cc", "bcc", "reply-to"):
        if found := _addresses(message, name):
            meta[name.replace("-", "_")] = found
    for name in ("subject", "message-id", "in-reply-to", "references"):
        if value := header(message, name):
            meta[name.replace("-", "_")] = value
    if thread := _thread(message):
        meta["thread"] = thread
    if date := header(message, "date"):
        try:
            meta["date"] = parsedate_to_datetime(date).isoformat()
        except (ValueError, TypeError, IndexError, OverflowError):
            meta["date_as_written"] = date
    return meta


def _thread(message: Message[str, str]) -> dict[str, Any]:
    """Where the mail stands in its conversation: its id, what it answers, and all before that."""
    own, answered, before = (
        _IDS.findall(header(message, name)) for name in ("message-id", "in-reply-to", "references")
    )
    if not (own or answered or before):
        return {}
    return {
        "id": own[0] if own else "",
        "in_reply_to": answered[0] if answered else "",
        "references": list(dict.fromkeys(before))[:MAX_REFERENCES],
    }
