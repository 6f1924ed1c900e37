"""A file of a folder as its sender lists it, and where that puts it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

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

EMPTY = "the file is empty"


@dataclass(frozen=True)
class Listing:
    """A file as its sender lists it.

    Attributes:
        path: Within the folder, with `/` between its parts.
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


def standing_of(listed: Listing, there: Mapping[str, tuple[int, str]], most_bytes: int) -> dict[str, Any]:
    """Where a listed file stands that has not been received."""
    state, reason, evidence, retryable = "waiting", "", 0, False
    if listed.failed:
        state, reason, retryable = "failed", listed.failed, True
    elif listed.sha256 in there:
        evidence, title = there[listed.sha256]
        state, reason = "duplicate", same_as(title)
    elif listed.bytes == 0:
        state, reason, retryable = "failed", EMPTY, True
    elif listed.bytes > most_bytes:
        state, retryable = "failed", True
        reason = f"the file is larger than {most_bytes} bytes, the most that is accepted"
    return {
        "bytes": listed.bytes, "modified": listed.modified, "kind": kind_of_name(listed.path),
        "sha256": listed.sha256, "state": state, "evidence": evidence, "reason": reason,
        "retryable": retryable, "machine": "", "attempt": 1, "revision": 0, "machine_at": 0.0, "pages": 0,
        "busy_s": 0.0, "asker": "",
    }  # fmt: skip


def same_as(title: str) -> str:
    return f"the case already holds this file as “{title}”"
