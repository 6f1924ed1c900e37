"""The parts of a document that is a ZIP archive (OOXML, ODF, EPUB), opened under limits."""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from collections.abc import Iterator
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

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, etree.XMLSyntaxError)
"""What reading a damaged part raises."""


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
        entries = [entry for entry in self._zip.infolist() if not entry.is_dir()]
        if len(entries) > MOST_PARTS:
            raise Unreadable(f"the document has more than {MOST_PARTS:,} parts")
        self._entries = {entry.filename.replace("\\", "/").lower().lstrip("/"): entry for entry in entries}
        self._left = MOST_BYTES
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
            raise Unreadable(f"the document is damaged: its part {name[:100]} is missing")
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
            return self._zip.open(entry)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise Unreadable(f"the document is damaged: its part {name[:100]} cannot be read") from error

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
        except DAMAGED:
            root, damaged = None, True
        if damaged:
            self.damaged.append(name)
        return root

    def stream(self, name: str, *names: str) -> Iterator[Element]:
        """The elements of a part with these names as they end; damage is noted in `damaged`."""
        with self.open(name) as file:
            try:
                yield from markup.stream(file, *names)
            except DAMAGED:
                self.damaged.append(name)

    def relations(self, part: str) -> dict[str, Relation]:
        """What a part of an OOXML document refers to, by id; "" stands for the package."""
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
        return found

    def related(self, part: str, *kinds: str) -> list[str]:
        """The parts inside that a part refers to by one of these kinds."""
        relations = self.relations(part).values()
        return [r.target for r in relations if r.kind in kinds and not r.external and r.target in self]
