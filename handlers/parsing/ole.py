"""Documents of Office 97-2003 are OLE files: streams and storages, macros, and the objects in them."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO

import olefile

from handlers.parsing import blips
from handlers.parsing.compound import pack
from handlers.parsing.enclosed import Enclosed
from handlers.parsing.facts import Facts
from handlers.parsing.parsed import Unreadable

MOST_STREAM_BYTES = 512 << 20

_BROKEN = (OSError, ValueError, struct.error, IndexError, TypeError, AttributeError)
"""What olefile raises on a damaged file."""

_HELD = ("\x01Ole10Native", "Package", "CONTENTS", "Contents", "EmbeddedOdf")


@contextmanager
def opened(file: IO[bytes]) -> Iterator[olefile.OleFileIO]:
    """An OLE file.

    Raises:
        Unreadable: It is none, or is damaged.
    """
    try:
        container = olefile.OleFileIO(file)
    except _BROKEN as error:
        raise Unreadable("the document is damaged or cut off: its list of parts cannot be read") from error
    try:
        yield container
    finally:
        container.close()


def stream(container: olefile.OleFileIO, *path: str) -> bytes:
    """The content of a stream.

    Raises:
        Unreadable: It is missing or damaged.
    """
    name = "/".join(path)
    try:
        if container.get_size(name) > MOST_STREAM_BYTES:
            raise Unreadable(f"the part {name} of the document is larger than {MOST_STREAM_BYTES >> 20} MiB")
        return bytes(container.openstream(name).read())
    except _BROKEN as error:
        raise Unreadable(f"the document is damaged: its part {name} is missing or cut off") from error


def note_macros(container: olefile.OleFileIO, facts: Facts) -> None:
    """Note whether the document holds macros of Visual Basic, or of Excel 4."""
    names = {part.lower() for path in container.listdir(streams=True, storages=True) for part in path}
    if names & {"_vba_project", "_vba_project_cur", "macros"}:
        facts.known["macros"] = True


def send_inside(container: olefile.OleFileIO, enclosed: Enclosed, pictures: tuple[str, ...]) -> list[str]:
    """Send the pictures that lie in these streams and embedded objects; returns the text of drawings."""
    drawn: list[str] = []
    for name in pictures:
        if container.exists(name):
            for suffix, content in blips.found_in(stream(container, name)):
                said = enclosed.held(f"picture{suffix}", content, picture=True)
                if said and said not in drawn:
                    drawn.append(said)
    for path in container.listdir(streams=False, storages=True):
        if (len(path) >= 2 and path[0] == "ObjectPool") or (len(path) == 1 and path[0].startswith("MBD")):
            _send_object(container, path, enclosed)
    return drawn


def _send_object(container: olefile.OleFileIO, path: list[str], enclosed: Enclosed) -> None:
    """An object is an OLE file within the file: it goes out as one of its own."""
    depth = len(path)
    if depth > 2:
        return
    streams = {}
    for found in container.listdir():
        if found[:depth] == path and len(found) > depth:
            streams[tuple(found[depth:])] = stream(container, *found)
    if streams:
        enclosed.embedded(f"object{path[-1]}.ole", partial(io.BytesIO, pack(streams)))
