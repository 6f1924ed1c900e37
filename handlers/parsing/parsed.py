"""What a reader makes of a file, and how it says that it cannot."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Line(NamedTuple):
    """Characters `start`..`end` of the text stand on `page` (from 1) in `box`.

    `box` is `(x0, y0, x1, y1)` in points from the top left corner of the page as it is shown.
    """

    page: int
    start: int
    end: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Attachment:
    """A file inside a file."""

    filename: str
    content: bytes


@dataclass(frozen=True)
class Parsed:
    """A file as text.

    Attributes:
        text: All of it, without characters that a database or a page cannot hold.
        pages: `(start, end)` of each page in `text`; empty where the source has no pages.
        lines: Lines with their places, by `start`; empty where the source has none.
        title: What the content calls itself; "" where it does not.
        meta: JSON facts about the source. `notice`, if any, is a sentence for the user.
    """

    text: str
    pages: list[tuple[int, int]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    title: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    attachments: list[Attachment] = field(default_factory=list)


class Unreadable(Exception):
    """The file is not what it seems, or is damaged; the text is a sentence for the user."""


class PasswordNeeded(Exception):
    """The file is encrypted; the text says whether a password was missing or wrong."""


_CONTROL = "\x00-\x08\x0b\x0e-\x1f\x7f\x80-\x84\x86-\x9f"
_UNWANTED = re.compile(f"[{_CONTROL}\u00ad\u200b\u2060\ufeff\ufffe\uffff\ud800-\udfff]")
_SPACES = str.maketrans(dict.fromkeys("\r\x0c\x85\u2028\u2029", "\n") | {"\u00a0": " "})


def clean(text: str) -> str:
    """The text with line ends as `\\n`, and without NUL, control, invisible and unpaired characters."""
    text = text.replace("\r\n", "\n").translate(_SPACES)
    if "\u00ad" in text:
        text = re.sub("\u00ad(?=\n|$)", "-", text)
    return _UNWANTED.sub("", text)
