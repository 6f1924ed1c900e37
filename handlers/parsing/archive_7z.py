"""A 7z archive: every file in it becomes evidence of its own.

Its library hands blocks out, where readers hand iterators on; a thread and a short queue lie between.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Iterator
from queue import Full, Queue
from threading import Event, Thread

import py7zr
from py7zr.exceptions import ArchiveError, PasswordRequired
from py7zr.io import Py7zIO, WriterFactory

from handlers.parsing.parsed import Outlet, Parsed, PasswordNeeded, Source, Unreadable
from handlers.parsing.unpacking import Unpacking

_QUEUED = 8
_LOOK_S = 0.2
_BROKEN = (
    ArchiveError, lzma.LZMAError, zlib.error, OSError, ValueError, EOFError, LookupError, TypeError,
    AttributeError, AssertionError, OverflowError,
)  # fmt: skip
"""What the library raises of itself where an archive is damaged, or a password wrong."""

Piece = str | bytes | Exception | None
"""The name of the next file, a block of it, what went wrong, or the end of all."""


class _Stopped(Exception):
    """Nobody takes the rest."""


class _Break(Exception):
    """The archive ends within a file."""


def read(source: Source, outlet: Outlet) -> Parsed:
    """Unpack a 7z archive.

    Raises:
        PasswordNeeded: It is encrypted and the password does not open it.
        Unreadable: It is damaged, so that nothing comes out.
    """
    with source.path.open("rb") as file:
        try:
            # Given the file and not its name, the library unpacks in order, and in one thread.
            archive = py7zr.SevenZipFile(file, password=source.password or None)
        except PasswordRequired as error:
            raise PasswordNeeded("the archive is encrypted; give a password") from error
        except _BROKEN as error:
            if source.password:  # the names may be encrypted, too
                raise PasswordNeeded("the password does not open this archive") from error
            raise Unreadable("the 7z archive is damaged or incomplete; upload it again") from error
        with archive:
            locked = archive.needs_password()
            if locked and not source.password:
                raise PasswordNeeded("files in the archive are encrypted; give a password")
            unpacking = Unpacking(outlet)
            broken = _unpack(archive, unpacking, outlet)
    if isinstance(broken, MemoryError):
        raise broken
    if broken is not None:
        if unpacking.empty and locked:
            raise PasswordNeeded("the password does not open this archive") from broken
        if unpacking.empty:
            raise Unreadable("the 7z archive is damaged: none of its files can be unpacked") from broken
        unpacking.end("the archive is damaged from there on")
    return unpacking.parsed("", {"encrypted": True} if locked else None)


def _unpack(archive: py7zr.SevenZipFile, unpacking: Unpacking, outlet: Outlet) -> Exception | None:
    """Take the files that a thread unpacks; what made it end before, if anything did."""
    total = sum(not entry.is_directory for entry in archive.files)
    links = {entry.filename for entry in archive.files if entry.is_symlink or entry.is_junction}
    pieces: Queue[Piece] = Queue(_QUEUED)
    stopped = Event()
    thread = Thread(target=_hand_out, args=(archive, pieces, stopped), daemon=True)
    thread.start()
    done = 0
    try:
        piece = pieces.get()
        while isinstance(piece, str):
            following: list[Piece] = []
            content = _of_one(pieces, following)
            first = next(content, b"")
            if piece in links:
                unpacking.leave("links")
            elif first:
                unpacking.take(piece, _joined(first, content, following), (_Break,))
            else:
                unpacking.leave("empty")
            for _ in content:
                pass  # of a link, or of a file that was not accepted
            piece = following[0]
            done += 1
            outlet.progress(done, total, "files")
            if unpacking.full:
                unpacking.leave("too many or too large", total - done + 1)
                return None
        return piece if isinstance(piece, Exception) else None
    finally:
        stopped.set()
        thread.join()


def _of_one(pieces: Queue[Piece], following: list[Piece]) -> Iterator[bytes]:
    """The blocks of a file; what comes after them goes to `following`."""
    while isinstance(piece := pieces.get(), bytes):
        yield piece
    following.append(piece)


def _joined(first: bytes, rest: Iterator[bytes], following: list[Piece]) -> Iterator[bytes]:
    yield first
    yield from rest
    if isinstance(following[0], Exception):
        raise _Break


def _hand_out(archive: py7zr.SevenZipFile, pieces: Queue[Piece], stopped: Event) -> None:
    def put(piece: Piece) -> None:
        while not stopped.is_set():
            try:
                return pieces.put(piece, timeout=_LOOK_S)
            except Full:
                continue
        raise _Stopped

    try:
        try:
            archive.extractall(factory=_Files(put))
        except (*_BROKEN, MemoryError) as error:
            put(error)
        else:
            put(None)
    except _Stopped:
        return


class _Files(WriterFactory):  # type: ignore[misc]
    def __init__(self, put: Callable[[Piece], None]) -> None:
        self._put = put

    def create(self, filename: str) -> Py7zIO:
        self._put(filename)
        return _File(self._put)


class _File(Py7zIO):  # type: ignore[misc]
    """A file as the library writes it; it never looks back."""

    def __init__(self, put: Callable[[Piece], None]) -> None:
        self._put = put
        self._bytes = 0

    def write(self, block: bytes | bytearray) -> int:
        if block:
            self._put(bytes(block))
            self._bytes += len(block)
        return len(block)

    def read(self, size: int | None = None) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0

    def flush(self) -> None:
        return

    def size(self) -> int:
        return self._bytes
