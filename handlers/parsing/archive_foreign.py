"""RAR and CAB archives and images of discs, which only the system's library libarchive can read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable
from handlers.parsing.unpacking import Unpacking

_NAMES = {
    "application/vnd.rar": "RAR archive",
    "application/vnd.ms-cab-compressed": "CAB archive",
    "application/x-iso9660-image": "image of a disc",
}
_LIBRARY = "libarchive.so.13"


def read(source: Source, outlet: Outlet) -> Parsed:
    """Unpack an archive.

    Raises:
        Unreadable: It is damaged or encrypted, or the library is not installed.
    """
    name = _NAMES[source.media_type]
    # Looked for by name it would be by running programs, which is not allowed here.
    os.environ["LIBARCHIVE"] = _LIBRARY
    try:
        import libarchive
    except (ImportError, OSError, AttributeError) as error:
        raise Unreadable(
            f"this is a {name}; to read it, the server needs the system's library libarchive ({_LIBRARY}). "
            "Install it, or unpack the files and upload them"
        ) from error
    unpacking = Unpacking(outlet)
    damaged = (libarchive.ArchiveError, OSError, ValueError)
    seen = 0
    try:
        with libarchive.file_reader(str(source.path)) as archive:
            for entry in archive:
                seen += 1
                _take(entry, unpacking, damaged)
                if unpacking.full:
                    break
    except damaged as error:
        if "encrypt" in str(error).lower():
            raise Unreadable(_locked(name)) from error
        unpacking.end("the archive is damaged or cut off from there on")
    if not seen:
        raise Unreadable(f"the {name} is damaged or incomplete; upload it again")
    return unpacking.parsed("")


def _locked(name: str) -> str:
    return f"the {name} is encrypted, which cannot be opened here; unpack the files and upload them"


def _take(entry: Any, unpacking: Unpacking, damaged: tuple[type[Exception], ...]) -> None:
    if entry.isdir:
        return
    if entry.issym or entry.islnk:
        unpacking.leave("links")
    elif not entry.isreg:
        unpacking.leave("devices")
    elif not entry.size and entry.size is not None:
        unpacking.leave("empty")
    else:
        unpacking.take(entry.pathname or "", _content(entry, damaged), (_Broken,))


class _Broken(Exception):
    """This file cannot be unpacked; the others may."""


def _content(entry: Any, damaged: tuple[type[Exception], ...]) -> Iterator[bytes]:
    try:
        yield from entry.get_blocks()
    except damaged as error:
        if "encrypt" in str(error).lower():
            raise
        raise _Broken from error
