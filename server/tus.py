"""What the headers of the tus protocol say, 1.0.0 with its extensions: text in, values out.

Source: https://tus.io/protocols/resumable-upload.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

from machines.event import BIGGEST
from server.errors import Malformed, WrongMedia, WrongVersion

VERSION = "1.0.0"
EXTENSIONS = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "expiration",
    "checksum",
    "termination",
    "concatenation",
)
"""Not `checksum-trailer`: an ASGI application is never shown the trailers of a request."""

ALGORITHMS = ("sha1", "sha256", "md5")
MEDIA_TYPE = "application/offset+octet-stream"

MOST_PIECES = 1000
"""That one file may be put together from."""

METADATA_BYTES = 16 << 10
FILENAME_LETTERS = 1024

_DIGITS = re.compile(r"[0-9]{1,19}")
_KEY = re.compile(r"[!-+\--~]{1,100}")
_TRANSFER = re.compile(r"(?:.*/)?api/tus/([A-Za-z0-9_-]{1,64})")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Checksum:
    """What the bytes of one request must hash to."""

    algorithm: str
    digest: bytes

    def begin(self) -> hashlib._Hash:
        """The hash before the first byte."""
        return hashlib.new(self.algorithm, usedforsecurity=False)


@dataclass(frozen=True)
class Concat:
    """Whether an upload is a piece of another, or joins pieces.

    Attributes:
        kind: `whole` where nothing is said.
        pieces: Ids of the transfers that a `final` one joins, in their order.
        told: As the client told it.
    """

    kind: str = "whole"
    pieces: tuple[str, ...] = ()
    told: str = ""


@dataclass(frozen=True)
class Details:
    """What `Upload-Metadata` may tell about a file.

    Attributes:
        machine: An upload that was announced before, which waits for its bytes.
        topic: Where the upload's machine shall live; "" for the case's own topic.
        parent: Evidence that it belongs to.
        sha256: What it will be, hexadecimal.
        fingerprint: By which the client knows the file again.
        told: As the client told it.
    """

    filename: str = ""
    machine: str = ""
    topic: str = ""
    parent: int = 0
    sha256: str = ""
    fingerprint: str = ""
    told: str = ""


def check_version(headers: Mapping[str, str]) -> None:
    """Raises WrongVersion where it is not 1.0.0."""
    told = headers.get("tus-resumable")
    if told != VERSION:
        said = "there is none" if told is None else f"{told[:20]!r} is not spoken here"
        raise WrongVersion(f"Tus-Resumable must be {VERSION}; {said}")


def method_of(method: str, headers: Mapping[str, str]) -> str:
    """The method meant: of a POST, what `X-HTTP-Method-Override` says.

    Raises:
        Malformed: Another method shall be overridden. None needs it, and HEAD is not guarded as POST is.
    """
    override = headers.get("x-http-method-override", "").strip().upper()
    if not override or override == method:
        return method
    if method != "POST":
        raise Malformed("X-HTTP-Method-Override goes with POST")
    return override


def number(headers: Mapping[str, str], name: str) -> int | None:
    """A header that is a whole number, 0 or more; None where there is none.

    Raises:
        Malformed: It is something else.
    """
    told = headers.get(name)
    if told is None:
        return None
    if not _DIGITS.fullmatch(told) or int(told) > BIGGEST:
        raise Malformed(f"{_titled(name)} must be a whole number of bytes, 0 or more")
    return int(told)


def needed_number(headers: Mapping[str, str], name: str) -> int:
    """As `number`.

    Raises:
        Malformed: Also where there is none.
    """
    value = number(headers, name)
    if value is None:
        raise Malformed(f"the header {_titled(name)} is missing")
    return value


def length_of(headers: Mapping[str, str]) -> int | None:
    """How long an upload will be; None where the client will say so later.

    Raises:
        Malformed: Neither `Upload-Length` nor `Upload-Defer-Length: 1` is there, or both are.
    """
    length, deferred = number(headers, "upload-length"), headers.get("upload-defer-length")
    if deferred not in (None, "1"):
        raise Malformed("Upload-Defer-Length must be 1, where it is sent")
    if (length is None) == (deferred is None):
        raise Malformed("send Upload-Length, or Upload-Defer-Length: 1 while the size is not known")
    return length


def check_media_type(headers: Mapping[str, str]) -> None:
    """Raises WrongMedia where the body is not declared as bytes at an offset."""
    told = headers.get("content-type", "").partition(";")[0].strip().lower()
    if told != MEDIA_TYPE:
        raise WrongMedia(f"the content type must be {MEDIA_TYPE}")


def checksum_of(headers: Mapping[str, str]) -> Checksum | None:
    """What the body must hash to; None where nothing is said.

    Raises:
        Malformed: The algorithm is none of `ALGORITHMS`, or the digest is no digest of it.
    """
    told = headers.get("upload-checksum")
    if told is None:
        return None
    algorithm, _, text = told.strip().partition(" ")
    if algorithm not in ALGORITHMS:
        raise Malformed(f"Upload-Checksum must be of {', '.join(ALGORITHMS)}")
    try:
        checksum = Checksum(algorithm, base64.b64decode(text.strip(), validate=True))
    except (binascii.Error, ValueError):
        raise Malformed("the checksum in Upload-Checksum must be in base64") from None
    if len(checksum.digest) != checksum.begin().digest_size:
        raise Malformed(f"the checksum in Upload-Checksum is no {algorithm}")
    return checksum


def concat_of(headers: Mapping[str, str]) -> Concat:
    """What `Upload-Concat` says.

    Raises:
        Malformed: It says nothing known, or names what is no upload of this server.
    """
    told = headers.get("upload-concat")
    if told is None:
        return Concat()
    told = told.strip()
    if told == "partial":
        return Concat("partial", told=told)
    word, _, urls = told.partition(";")
    if word != "final" or not urls.strip():
        raise Malformed("Upload-Concat must be partial, or final; with the addresses of the parts")
    pieces = tuple(_transfer_in(url) for url in urls.split())
    if len(pieces) > MOST_PIECES:
        raise Malformed(f"a file may be put together from {MOST_PIECES} parts at most")
    if len(set(pieces)) < len(pieces):
        raise Malformed("Upload-Concat names a part twice")
    return Concat("final", pieces, told)


def _transfer_in(url: str) -> str:
    try:
        found = _TRANSFER.fullmatch(unquote(urlsplit(url).path))
    except ValueError:
        found = None
    if found is None:
        raise Malformed(f"{url[:100]!r} in Upload-Concat is no upload of this server")
    return found[1]


def details_of(headers: Mapping[str, str]) -> Details:
    """What `Upload-Metadata` tells: names with values in base64, separated by commas.

    Raises:
        Malformed: It is not of that form, or a value that this server uses does not fit.
    """
    told = headers.get("upload-metadata", "").strip()
    if len(told) > METADATA_BYTES:
        raise Malformed(f"Upload-Metadata must have {METADATA_BYTES} bytes at most")
    values: dict[str, str] = {}
    for pair in told.split(",") if told else ():
        key, _, text = pair.strip().partition(" ")
        if not _KEY.fullmatch(key) or key in values:
            raise Malformed("Upload-Metadata must be pairs of a name, once each, and a value in base64")
        try:
            values[key] = base64.b64decode(text.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            raise Malformed(f"the value of {key} in Upload-Metadata must be UTF-8 in base64") from None
    if any("\0" in value for value in values.values()):
        raise Malformed("values in Upload-Metadata must not hold the character NUL")
    # What a browser knows of a folder is the way to the file in it; other clients call a file's name `name`.
    path = values.get("relativePath", "")
    filename = (path if path != "null" else "") or values.get("filename") or values.get("name", "")
    if len(filename) > FILENAME_LETTERS:
        raise Malformed(f"a name in Upload-Metadata must have {FILENAME_LETTERS} letters at most")
    parent, sha256 = values.get("parent", "0"), values.get("sha256", "").lower()
    if not _DIGITS.fullmatch(parent) or int(parent) > BIGGEST:
        raise Malformed("parent in Upload-Metadata must be the number of a piece of evidence")
    if sha256 and not _SHA256.fullmatch(sha256):
        raise Malformed("sha256 in Upload-Metadata must be 64 hexadecimal digits")
    if len(values.get("fingerprint", "")) > 200:
        raise Malformed("fingerprint in Upload-Metadata must have 200 letters at most")
    return Details(
        filename=filename,
        machine=values.get("machine", ""),
        topic=values.get("topic", ""),
        parent=int(parent),
        sha256=sha256,
        fingerprint=values.get("fingerprint", ""),
        told=told,
    )


def http_date(at: datetime) -> str:
    """A time as HTTP headers tell it; `at` is in UTC."""
    return format_datetime(at, usegmt=True)


def _titled(name: str) -> str:
    return "-".join(part.title() for part in name.split("-"))
