"""The parts of a document that is a ZIP archive (OOXML, ODF, EPUB), opened under limits."""

from __future__ import annotations

import copy
import io
import posixpath
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from lxml import etree

from handlers.parsing import markup
from handlers.parsing.markup import Element
from handlers.parsing.parsed import Unreadable

MOST_BYTES = 2 << 30
"""Most that the parts of one document may unfold to, all together."""
MOST_TREE_BYTES = 64 << 20
"""Most of a part that is held as a tree; larger ones must be streamed."""
SUSPECT_BYTES = 32 << 20
SUSPECT_RATIO = 600
"""A part of more than `SUSPECT_BYTES` that is so many times its packed size is no document."""
MOST_PARTS = 50_000

_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, OSError,
           ValueError)  # fmt: skip
"""What the ZIP module raises on a damaged archive."""


class Damaged(Unreadable):
    """A part cannot be opened; others may be read."""


class _Part(io.RawIOBase):
    """A part that ends where it is damaged, after telling `on_damage`."""

    def __init__(self, file: IO[bytes], checksum: int, on_damage: Callable[[], None]) -> None:
        self._file = file
        self._expected = checksum
        self._checksum = 0
        self._whole = True
        self._on_damage = on_damage

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        # What is not read from end to end is not checked.
        self._whole = False
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            block = self._file.read(len(buffer))
        except _BROKEN:
            block, self._whole = b"", False
            self._on_damage()
        buffer[: len(block)] = block
        self._checksum = zlib.crc32(block, self._checksum)
        if not block and self._whole and self._checksum != self._expected:
            self._whole = False
            self._on_damage()
        return len(block)

    def close(self) -> None:
        self._file.close()
        super().close()


class Relation(NamedTuple):
    """What a part refers to; `target` is a part's name, or an address where it is `external`."""

    kind: str
    target: str
    external: bool


class Package:
    """A document's parts by name, whatever its case.

    Raises:
        Unreadable: The file is no ZIP archive, or unfolds to too much.
    """

    def __init__(self, file: Path | IO[bytes]) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise Unreadable(
                "the document is damaged or cut off: its list of parts cannot be read"
            ) from error
        entries = [entry for entry in self._zip.infolist() if not entry.filename.endswith("/")]
        if len(entries) > MOST_PARTS:
            raise Unreadable(f"the document has more than {MOST_PARTS:,} parts")
        self._entries = {entry.filename.replace("\\", "/").lower().lstrip("/"): entry for entry in entries}
        self._left = MOST_BYTES
        self._relations: dict[str, dict[str, Relation]] = {}
        self.damaged: list[str] = []

    @property
    def names(self) -> list[str]:
        """The parts as they are written in the archive."""
        return [entry.filename.replace("\\", "/").lstrip("/") for entry in self._entries.values()]

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._entries

    def size(self, name: str) -> int:
        """Bytes that a part says to unfold to."""
        return self._entries[name.lower()].file_size

    def open(self, name: str) -> IO[bytes]:
        """A part as a file.

        Raises:
            Unreadable: It is missing, encrypted or unfolds to too much.
        """
        entry = self._entries.get(name.lower())
        if entry is None:
            raise Damaged(f"the document is damaged: its part {name[:100]} is missing")
        if entry.flag_bits & 1:
            raise Unreadable(
                "parts of the document are encrypted as a ZIP archive; unpack and upload it again"
            )
        # No more is ever read from an entry than it says, so that its word can be taken.
        self._left -= entry.file_size
        huge = entry.file_size > SUSPECT_BYTES and entry.file_size > SUSPECT_RATIO * max(
            entry.compress_size, 1
        )
        if huge or self._left < 0:
            raise Unreadable(
                f"the document unfolds to far more than its size ({entry.file_size >> 20} MiB in one part)"
            )
        try:
            # Without the checksum the last block of a damaged part can be read, too.
            unchecked = copy.copy(entry)
            del unchecked.CRC
            file = self._zip.open(unchecked)
        except _BROKEN as error:
            raise Damaged(f"the document is damaged: its part {name[:100]} cannot be read") from error
        return io.BufferedReader(_Part(file, entry.CRC, partial(self._note, name)), 1 << 16)

    def content(self, name: str) -> bytes:
        """A part as it is, up to `MOST_TREE_BYTES`.

        Raises:
            Unreadable: As `open`, or it is larger.
        """
        if name.lower() in self._entries and self.size(name) > MOST_TREE_BYTES:
            raise Unreadable(
                f"the part {name[:100]} of the document is larger than {MOST_TREE_BYTES >> 20} MiB"
            )
        with self.open(name) as file:
            return file.read()

    def blocks(self, name: str, size: int = 1 << 20) -> Iterator[bytes]:
        """A part in blocks."""
        with self.open(name) as file:
            while block := file.read(size):
                yield block

    def xml(self, name: str) -> Element | None:
        """The root of a part; None if it is missing. Damage is noted in `damaged`."""
        if name.lower() not in self._entries:
            return None
        try:
            root, damaged = markup.parse(self.content(name))
        except Damaged:
            root, damaged = None, True
        if damaged:
            self._note(name)
        return root

    def stream(self, name: str, *names: str) -> Iterator[Element]:
        """The elements of a part with these names as they end; damage is noted in `damaged`."""
        try:
            with self.open(name) as file:
                yield from markup.stream(file, *names)
        except (Damaged, etree.XMLSyntaxError):
            self._note(name)

    def relations(self, part: str) -> dict[str, Relation]:
        """What a part of an OOXML document refers to, by id; "" stands for the package."""
        if part in self._relations:
            return self._relations[part]
        folder, _, base = part.rpartition("/")
        root = self.xml(f"{folder}/_rels/{base}.rels".lstrip("/") if part else "_rels/.rels")
        found = {}
        for element in markup.children(root, "Relationship"):
            target, external = element.get("Target", ""), element.get("TargetMode") == "External"
            if not external:
                target = posixpath.normpath(posixpath.join("/", folder, target.replace("\\", "/"))).lstrip(
                    "/"
                )
            kind = element.get("Type", "").rpartition("/")[2]
            found[element.get("Id", "")] = Relation(kind, target, external)
        self._relations[part] = found
        return found

    def related(self, part: str, *kinds: str) -> list[str]:
        """The parts inside that a part refers to by one of these kinds."""
        relations = self.relations(part).values()
        return [r.target for r in relations if r.kind in kinds and not r.external and r.target in self]

    def _note(self, name: str) -> None:
        if name not in self.damaged:
            self.damaged.append(name)
