"""Tar archives and files packed by gzip, bzip2 or xz; a packed tar archive is unpacked at once."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import PurePath
from typing import IO, Any

from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable
from handlers.parsing.unpacking import Unpacking

_PACKED: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "application/gzip": (gzip.open, "gzip", (".gz", ".gzip", ".z")),
    "application/x-bzip2": (bz2.open, "bzip2", (".bz2", ".bz")),
    "application/x-xz": (lzma.open, "xz", (".xz",)),
}
_SHORT = {".tgz": ".tar", ".tbz": ".tar", ".tbz2": ".tar", ".txz": ".tar"}
_BLOCK = 1 << 20
DAMAGED = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, OverflowError)


def read(source: Source, outlet: Outlet) -> Parsed:
    """Unpack what a stream of bytes holds.

    Raises:
        Unreadable: It is damaged from the beginning.
    """
    if source.media_type not in _PACKED:
        with source.path.open("rb") as file:
            return _tar(file, Unpacking(outlet), "tar")
    opener, name, suffixes = _PACKED[source.media_type]
    with opener(source.path, "rb") as file:
        try:
            start = file.read(512)
            file.seek(0)
        except DAMAGED as error:
            raise Unreadable(f"the {name} file is damaged or incomplete; upload it again") from error
        unpacking = Unpacking(outlet)
        if start[257:262] == b"ustar":
            return _tar(file, unpacking, name)
        unpacking.take(_inner_name(source.filename, suffixes), _blocks(file), DAMAGED)
        if unpacking.empty and not unpacking.full:
            raise Unreadable(f"the {name} file is damaged or incomplete; upload it again")
        return unpacking.parsed("")


def _tar(file: IO[bytes], unpacking: Unpacking, name: str) -> Parsed:
    seen = 0
    try:
        with tarfile.open(fileobj=file, mode="r|", errorlevel=1) as archive:
            for member in archive:
                seen += 1
                archive.members = []  # type: ignore[attr-defined]  # else it keeps every header
                _take(archive, member, unpacking)
                if unpacking.full:
                    break
    except DAMAGED as error:
        if not seen:
            raise Unreadable(f"the {name} archive is damaged or incomplete; upload it again") from error
        unpacking.end("the archive is damaged or cut off from there on")
    return unpacking.parsed("")


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, unpacking: Unpacking) -> None:
    if member.isdir():
        return
    if member.issym() or member.islnk():
        unpacking.leave("links")
    elif not member.isreg():
        unpacking.leave("devices")
    elif not member.size:
        unpacking.leave("empty")
    else:
        content = archive.extractfile(member)
        assert content is not None, "a regular file"
        unpacking.take(member.name, _blocks(content), ())


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


def _inner_name(filename: str, suffixes: tuple[str, ...]) -> str:
    path = PurePath(filename.replace("\\", "/"))
    if path.suffix.lower() in _SHORT:
        return path.with_suffix(_SHORT[path.suffix.lower()]).name
    return path.stem if path.suffix.lower() in suffixes else f"{path.name or 'file'}.unpacked"
