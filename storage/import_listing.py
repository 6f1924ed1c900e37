"""A file of a folder as its sender lists it, and where that puts it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from machines.import_files import FileState

KINDS = frozenset(
    {
        *("pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods", "odp", "rtf"),
        *("htm", "html", "txt", "md", "csv", "tsv", "json", "xml", "log", "eml", "msg", "mbox", "pst"),
        *("jpg", "jpeg", "png", "gif", "tif", "tiff", "bmp", "webp", "heic"),
        *("mp3", "wav", "m4a", "ogg", "flac", "mp4", "mov", "avi", "mkv", "webm"),
        *("zip", "tar", "gz", "7z", "rar"),
    }
)
"""Endings of names by which time is estimated; all others are one kind."""

COUNTED_BYTES = 1 << 43
"""As much as is counted of a listed file (8 TiB): a million of them add up within 64 bits."""

EMPTY = "the file is empty"


@dataclass(frozen=True)
class Listing:
    """A file as its sender lists it.

    Attributes:
        path: Within the folder, with `/` between its parts.
        bytes: Its size, or `COUNTED_BYTES` where it is larger.
        modified: Unix seconds; 0 where unknown.
        sha256: Hexadecimal; empty where it was not computed.
        failed: Why it cannot be sent; empty where it can.
    """

    path: str
    bytes: int
    modified: float = 0.0
    sha256: str = ""
    failed: str = ""


def kind_of_name(path: str) -> str:
    """What a file's time is estimated by: the known ending of its name, or `other`.

    >>> kind_of_name("a/Report.PDF"), kind_of_name("a.b/c"), kind_of_name("x.001")
    ('pdf', 'other', 'other')
    """
    ending = PurePosixPath(path).suffix[1:].lower()
    return ending if ending in KINDS else "other"


def path_key(path: str) -> str:
    """What stands for a path in an index."""
    return hashlib.sha256(path.encode()).hexdigest()


class Stands(NamedTuple):
    """Where a listed file stands that has not been received."""

    state: FileState
    evidence: int = 0
    reason: str = ""
    retryable: bool = False


def standing_of(listed: Listing, there: Mapping[str, tuple[int, str]], most_bytes: int) -> Stands:
    """Where a listed file stands that has not been received.

    Args:
        there: SHA-256 of evidence of the case → its number and title.
        most_bytes: Largest file that is accepted.
    """
    if listed.failed:
        return Stands("failed", reason=listed.failed, retryable=True)
    if listed.sha256 in there:
        evidence, title = there[listed.sha256]
        return Stands("duplicate", evidence, same_as(title))
    if listed.bytes == 0:
        return Stands("failed", reason=EMPTY, retryable=True)
    if listed.bytes > most_bytes:
        reason = f"the file is larger than {most_bytes} bytes, the most that is accepted"
        return Stands("failed", reason=reason, retryable=True)
    return Stands("waiting")


def same_as(title: str) -> str:
    """Why bytes that the case holds were not taken."""
    return f"the case already holds this file as “{title}”"
