"""What a reader is given, what it makes of a file, and how it says that it cannot.

A reader is a module with `read(source: Source, outlet: Outlet) -> Parsed`, named in `readers.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Line(NamedTuple):
    """Characters `start`..`end` of the text stand on `page` (from 1) in `box`.

    `box` is `(x0, y0, x1, y1)` in points from the top left corner of the page as it is shown.
    """

    page: int
    start: int
    end: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Source:
    """A file to be read.

    Attributes:
        path: Where it is, to be read only; its name there says nothing.
        media_type: One of `readers.READERS`.
        password: "" for none.
        filename: What its owner called it.
        tools: Settings of a reader by name, such as the folder `tessdata`; folders named here can be read.
    """

    path: Path
    media_type: str
    password: str = ""
    filename: str = ""
    tools: dict[str, str] = field(default_factory=dict)


class Outlet(Protocol):
    """Where a reader sends what does not wait for its end.

    Attributes:
        scratch: A folder of its own for temporary files, empty at first and emptied afterwards. Nothing
            can be written elsewhere.
    """

    scratch: Path

    def progress(self, done: int, total: int, unit: str = "pages") -> None:
        """Tell watchers that `done` of `total` `unit`s are read; call it as often as you like."""

    def attach(self, filename: str, content: Iterable[bytes]) -> None:
        """Send a file found inside, block by block; it becomes evidence of its own.

        `content` is taken up only here, and not at all where nothing more is accepted. What it raises
        drops this file and is passed on; others can follow.

        Raises:
            TooMuch: This file was dropped for a limit on all that is inside, and so will be the others.
        """

    def derive(self, name: str, media_type: str, content: bytes) -> None:
        """Send what was made from the evidence to be shown with it, such as a still of a video.

        At most `DERIVED_BYTES` each; it is told in `meta["derived"]`.

        Raises:
            Unreadable: It is larger.
        """


DERIVED_BYTES = 8 << 20


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


class Unreadable(Exception):
    """The file is not what it seems, or is damaged; the text is a sentence for the user."""


class TooMuch(Unreadable):
    """No more files from inside are accepted; a reader that has others ends well and says so."""


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
