"""Files inside a document go out as evidence of their own: pictures that can hold text, embedded objects."""

from __future__ import annotations

import hashlib
import io
import posixpath
import re
import struct
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO

import olefile
from PIL import Image

from handlers.parsing.facts import Facts
from handlers.parsing.metafile import text_of as text_of_metafile
from handlers.parsing.package import Damaged
from handlers.parsing.parsed import Outlet, TooMuch, clean

LEAST_WIDTH, LEAST_HEIGHT = 100, 50
"""Pixels; smaller pictures are bullets and lines."""
BLOCK_BYTES = 1 << 20
MOST_OBJECT_BYTES = 256 << 20
"""Most of an OLE object that is unwrapped in memory; a larger one goes out as it is."""

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_DOCUMENTS = {"WordDocument": ".doc", "Workbook": ".xls", "Book": ".xls", "PowerPoint Document": ".ppt"}
_SIGNS = ((b"%PDF-", ".pdf"), (b"PK\x03\x04", ".zip"), (b"\x89PNG", ".png"), (b"\xff\xd8\xff", ".jpg"))

Open = Callable[[], IO[bytes]]


class Enclosed:
    """Sends each different file once."""

    def __init__(self, outlet: Outlet, facts: Facts) -> None:
        self._outlet = outlet
        self._facts = facts
        self._seen: set[bytes] = set()
        self._names: dict[str, int] = {}
        self._beyond = 0

    def picture(self, name: str, open_: Open) -> str:
        """Send a picture unless it is tiny; of a drawing (EMF, WMF) return the text that it draws."""
        try:
            return self._picture(name, open_)
        except Damaged as error:
            self._facts.notice(str(error))
            return ""

    def _picture(self, name: str, open_: Open) -> str:
        with open_() as file:
            start = file.read(64)
        if _is_metafile(start):
            with open_() as file:
                return text_of_metafile(file.read(MOST_OBJECT_BYTES))
        if _is_large_enough(open_):
            self.file(name, open_)
        return ""

    def file(self, name: str, open_: Open) -> None:
        """Send a file."""
        digest = hashlib.sha256()
        with open_() as file:
            for block in _blocks(file):
                digest.update(block)
        if digest.digest() in self._seen:
            return
        self._seen.add(digest.digest())
        if self._beyond:
            self._beyond += 1
            return
        try:
            with open_() as file:
                self._outlet.attach(self._named(name), _blocks(file))
        except TooMuch as error:
            self._beyond = 1
            self._facts.notice(str(error))

    def embedded(self, name: str, open_: Open) -> None:
        """Send what an embedded object holds, or the object as it is."""
        try:
            self._embedded(name, open_)
        except Damaged as error:
            self._facts.notice(str(error))

    def _embedded(self, name: str, open_: Open) -> None:
        with open_() as file:
            start = file.read(8)
            content = start + file.read(MOST_OBJECT_BYTES) if start == _OLE else b""
        for inner, held in _unwrap(content, posixpath.basename(name)):
            self.file(inner, partial(io.BytesIO, held))
        if not content:
            self.file(name, open_)

    def held(self, name: str, content: bytes, *, picture: bool = False) -> str:
        """Send what is at hand already."""
        if picture:
            return self.picture(name, partial(io.BytesIO, content))
        self.embedded(name, partial(io.BytesIO, content))
        return ""

    def close(self) -> None:
        """Count what was not accepted any more."""
        if self._beyond:
            self._facts.left_out(self._beyond)

    def _named(self, name: str) -> str:
        name = clean(re.split(r"[/\\]", name)[-1]).replace("\n", " ").strip(" .")[:200] or "embedded"
        count = self._names.get(name.lower(), 0)
        self._names[name.lower()] = count + 1
        stem, dot, suffix = name.rpartition(".")
        return name if not count else f"{stem} ({count + 1}).{suffix}" if dot else f"{name} ({count + 1})"


def _is_metafile(start: bytes) -> bool:
    return start[40:44] == b" EMF" or start[:4] == b"\xd7\xcd\xc6\x9a" or start[:4] == b"\x01\x00\x09\x00"


def _is_large_enough(open_: Open) -> bool:
    """By the sizes in its header; a picture of an unknown kind counts as large."""
    with open_() as file, warnings.catch_warnings():
        # A picture that would unfold to too much is for its own reader to judge.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(file) as image:
                width, height = image.size
        except Image.DecompressionBombError:
            return True
        except (OSError, ValueError, SyntaxError, struct.error, EOFError, OverflowError):
            return True
    return width >= LEAST_WIDTH and height >= LEAST_HEIGHT


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block


def _unwrap(content: bytes, name: str) -> list[tuple[str, bytes]]:
    """What an OLE object holds, with file names; the object itself where that cannot be told."""
    if not content:
        return []
    stem = name.rpartition(".")[0] or name
    try:
        with olefile.OleFileIO(io.BytesIO(content)) as ole:
            if ole.exists("\x01Ole10Native"):
                inner, held = _packaged(ole.openstream("\x01Ole10Native").read())
                if held:
                    return [(inner or stem, held)]
            for stream in ("Package", "CONTENTS", "Contents", "EmbeddedOdf"):
                if ole.exists(stream) and (held := ole.openstream(stream).read()):
                    suffix = next((s for sign, s in _SIGNS if held.startswith(sign)), "")
                    if suffix:
                        return [(stem + suffix, held)]
            for stream, suffix in _DOCUMENTS.items():
                if ole.exists(stream):
                    return [(stem + suffix, content)]
    except (OSError, ValueError, struct.error, IndexError, TypeError, AttributeError):
        pass  # what cannot be unwrapped goes out as it is
    return [(name, content)]


def _packaged(stream: bytes) -> tuple[str, bytes]:
    """The file name and the content of a file that was dropped into a document."""
    at = 6
    names = []
    for _ in range(2):
        end = stream.index(b"\x00", at)
        names.append(stream[at:end])
        at = end + 1
    (length,) = struct.unpack_from("<I", stream, at + 4)
    at += 8 + length
    (size,) = struct.unpack_from("<I", stream, at)
    label = names[0] or names[1]
    return label.decode("utf-8" if _is_utf8(label) else "cp1252", "replace"), stream[at + 4 : at + 4 + size]


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
