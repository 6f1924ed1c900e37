"""PowerPoint 97-2003 presentations (.ppt): a page for each slide with its text, notes and comments.

Source: Microsoft, [MS-PPT] PowerPoint (.ppt) Binary File Format, sections 2.3 to 2.5.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from handlers.parsing import ole, properties
from handlers.parsing.enclosed import MOST_OBJECT_BYTES, Enclosed
from handlers.parsing.facts import Facts, comment
from handlers.parsing.opened import opened
from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable
from handlers.parsing.writing import Writing

_EDIT, _DIRECTORY, _DOCUMENT, _SLIDE, _NOTES = 0x0FF5, 0x1772, 0x03E8, 0x03EE, 0x03F0
_LIST, _PERSIST, _NOTES_ATOM, _SHOW = 0x0FF0, 0x03F3, 0x03F1, 0x03F9
_TEXT_HEAD, _CHARS, _BYTES, _STRING, _OUTLINE = 0x0F9F, 0x0FA0, 0x0FA8, 0x0FBA, 0x0F9E
_TEXT_BOX, _COMMENT, _COMMENT_ATOM, _OBJECT = 0xF00D, 0x2EE0, 0x2EE1, 0x1011
_TITLES = (0, 6)
_MOST_EDITS = 10_000
_MOST_DEPTH = 100


class Record(NamedTuple):
    """A record of the stream: bytes `start`..`end` are its content."""

    kind: int
    instance: int
    is_container: bool
    start: int
    end: int


@dataclass
class _Slide:
    identity: int
    place: int
    texts: list[tuple[int, str]] = field(default_factory=list)


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read a presentation slide by slide, also an encrypted one.

    Raises:
        PasswordNeeded: It is encrypted, and there is no password or it is wrong.
        Unreadable: It is damaged or of another kind.
    """
    with opened(source) as file, ole.opened(file) as container:
        facts, writing = Facts(), Writing()
        title = properties.of_ole(container, facts)
        ole.note_macros(container, facts)
        stream = ole.stream(container, "PowerPoint Document")
        try:
            presentation = _Presentation(stream, ole.stream(container, "Current User"))
            first = presentation.write(writing, facts, outlet)
        except (struct.error, IndexError, KeyError) as error:
            raise Unreadable("the PowerPoint presentation is damaged: its slides cannot be found") from error
        enclosed = Enclosed(outlet, facts)
        for said in ole.send_inside(container, enclosed, ("Pictures",)):
            writing.paragraph(f"[drawing: {' '.join(said.split())}]")
        for number, held in enumerate(_objects(stream), 1):
            enclosed.held(f"object{number}.ole", held)
        enclosed.close()
    facts.note_left_out(writing)
    text, pages = writing.finish()
    return Parsed(
        text=text, pages=pages, title=title or (first if len(first) <= 200 else ""), meta=facts.meta()
    )


def records(stream: bytes, start: int, end: int) -> Iterator[Record]:
    """The records that lie side by side in a stretch of the stream."""
    while start + 8 <= end:
        head, kind, size = struct.unpack_from("<HHI", stream, start)
        if start + 8 + size > end:
            return
        yield Record(kind, head >> 4, head & 0xF == 0xF, start + 8, start + 8 + size)
        start += 8 + size


class _Presentation:
    def __init__(self, stream: bytes, user: bytes) -> None:
        self._stream = stream
        self._places: dict[int, int] = {}
        (edit,) = struct.unpack_from("<I", user, 16)
        document = self._read_edits(edit)
        self._slides: list[_Slide] = []
        self._notes: list[int] = []
        root = self._at(document, _DOCUMENT)
        for record in records(stream, root.start, root.end):
            if record.kind == _LIST and record.instance in (0, 2):
                self._read_list(record)

    def write(self, writing: Writing, facts: Facts, outlet: Outlet) -> str:
        """Write every slide; returns the first title."""
        notes = self._notes_by_slide()
        first = ""
        for number, slide in enumerate(self._slides, 1):
            writing.page()
            root = self._at(slide.place, _SLIDE)
            flags = next((r for r in self._all(root) if r.kind == _SHOW and r.end - r.start >= 12), None)
            if flags and struct.unpack_from("<H", self._stream, flags.start + 10)[0] & 4:
                facts.hidden.append(f"slide {number}")
                writing.paragraph("[hidden slide]")
            texts = list(self._texts(root, slide.texts))
            titles = [text for kind, text in texts if kind in _TITLES]
            first = first or " ".join(" ".join(titles).split())
            for text in [*titles, *(text for kind, text in texts if kind not in _TITLES)]:
                for line in text.split("\r"):
                    writing.line(line.replace("\x0b", "\n"))
                writing.apart()
            for text in notes.get(slide.identity, ()):
                writing.paragraph(f"Notes: {text}")
            self._comments(root, number, writing, facts)
            outlet.progress(number, len(self._slides), "slides")
        return first

    def _read_edits(self, edit: int) -> int:
        """Where each object lies, the newest edit first; returns where the document lies."""
        document = -1
        for _ in range(_MOST_EDITS):
            record = self._at(edit, _EDIT)
            before, directory, number = struct.unpack_from("<3I", self._stream, record.start + 8)
            document = number if document < 0 else document
            listed = self._at(directory, _DIRECTORY)
            at = listed.start
            while at + 4 <= listed.end:
                (head,) = struct.unpack_from("<I", self._stream, at)
                identity, count = head & 0xFFFFF, head >> 20
                places = struct.unpack_from(f"<{count}I", self._stream, at + 4)
                for i, place in enumerate(places):
                    self._places.setdefault(identity + i, place)
                at += 4 + 4 * count
            # Edits lie one behind the other; one that points forward would go round in a circle.
            if not before or before >= edit:
                break
            edit = before
        return self._places[document]

    def _at(self, place: int, kind: int) -> Record:
        record = next(records(self._stream, place, len(self._stream)), None)
        if record is None or record.kind != kind:
            raise Unreadable("the PowerPoint presentation is damaged: a part is not where it should be")
        return record

    def _read_list(self, listing: Record) -> None:
        kind = 0
        for record in records(self._stream, listing.start, listing.end):
            if record.kind == _PERSIST:
                reference, _, _, identity = struct.unpack_from("<4I", self._stream, record.start)
                if reference in self._places:
                    place = self._places[reference]
                    if listing.instance == 0:
                        self._slides.append(_Slide(identity, place))
                    else:
                        self._notes.append(place)
            elif record.kind == _TEXT_HEAD:
                (kind,) = struct.unpack_from("<I", self._stream, record.start)
                if listing.instance == 0 and self._slides:
                    self._slides[-1].texts.append((kind, ""))
            elif record.kind in (_CHARS, _BYTES) and listing.instance == 0 and self._slides:
                texts = self._slides[-1].texts
                if texts:
                    texts[-1] = (kind, self._text(record))

    def _notes_by_slide(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for place in self._notes:
            root = self._at(place, _NOTES)
            slide = next(
                (r for r in records(self._stream, root.start, root.end) if r.kind == _NOTES_ATOM), None
            )
            if slide is not None:
                (identity,) = struct.unpack_from("<I", self._stream, slide.start)
                for _, text in self._texts(root, []):
                    # A page number is all that some notes hold.
                    if text.strip(" *\r\n"):
                        found.setdefault(identity, []).append(text.replace("\r", "\n"))
        return found

    def _texts(self, root: Record, outlines: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
        """The texts of the shapes in their order, with their kinds; what the outline holds is looked up."""
        for box in self._all(root):
            if box.kind != _TEXT_BOX:
                continue
            kind = 4
            for record in records(self._stream, box.start, box.end):
                if record.kind == _TEXT_HEAD:
                    (kind,) = struct.unpack_from("<I", self._stream, record.start)
                elif record.kind in (_CHARS, _BYTES):
                    yield kind, self._text(record)
                elif record.kind == _OUTLINE:
                    (index,) = struct.unpack_from("<I", self._stream, record.start)
                    if index < len(outlines):
                        yield outlines[index]

    def _comments(self, root: Record, number: int, writing: Writing, facts: Facts) -> None:
        for found in self._all(root):
            if found.kind != _COMMENT:
                continue
            said = {}
            at = ""
            for record in records(self._stream, found.start, found.end):
                if record.kind == _STRING:
                    said[record.instance] = self._text(record)
                elif record.kind == _COMMENT_ATOM:
                    year, month, _, day, hour, minute = struct.unpack_from(
                        "<6H", self._stream, record.start + 4
                    )
                    at = f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}"
            before = len(facts.annotations)
            facts.annotate("comment", said.get(0, ""), said.get(1, ""), at, page=number)
            for note in facts.annotations[before:]:
                writing.paragraph(comment(note))

    def _all(self, root: Record, depth: int = 0) -> Iterator[Record]:
        for record in records(self._stream, root.start, root.end):
            yield record
            is_read_whole = record.kind in (_TEXT_BOX, _COMMENT)
            if record.is_container and not is_read_whole and depth < _MOST_DEPTH:
                yield from self._all(record, depth + 1)

    def _text(self, record: Record) -> str:
        content = self._stream[record.start : record.end]
        # One byte a character means the first 256 of Unicode.
        return content.decode("latin-1") if record.kind == _BYTES else content.decode("utf-16-le", "replace")


def _objects(stream: bytes) -> Iterator[bytes]:
    """The embedded objects, most of them packed."""
    for record in records(stream, 0, len(stream)):
        if record.kind == _OBJECT:
            content = stream[record.start : record.end]
            if record.instance == 1:
                try:
                    content = zlib.decompressobj().decompress(content[4:], MOST_OBJECT_BYTES)
                except zlib.error:
                    continue
            if content:
                yield content
