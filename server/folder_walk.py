"""The files of a folder, always in the same order, with a reason for each that cannot be had.

Links are not followed, so nothing is walked twice and nothing outside the folder is read. Names that
are not UTF-8 are shown with `\\xNN` in place of their odd bytes, and opened by their real bytes.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO

HASHED_BYTES = 1 << 20
"""Files up to this size are hashed when they are listed; what the case holds is then not sent."""
PATH_LETTERS = 4096

LINK = "a symbolic link, which is not followed"
SPECIAL = "neither a file nor a folder"
CHANGED = "the file changed while it was being read"
GONE = "the file is not there any more"


@dataclass(frozen=True)
class Found:
    """Something in the folder.

    Attributes:
        path: As it is shown, from the folder on, with `/` between its parts.
        real: The same in the bytes of the file system, from the root.
        modified: Unix seconds.
        failed: Why it cannot be read; empty for a readable file.
        skipped: Why it is no file of the folder; such a thing is told of, and not listed.
    """

    path: str
    real: bytes
    bytes: int = 0
    modified: float = 0.0
    failed: str = ""
    skipped: str = ""


class Unstable(Exception):
    """The file cannot be read as one whole; the message says why."""


def walk(root: bytes) -> Iterator[Found]:
    """Everything below `root` in the order of its bytes, folders where their names stand.

    Raises:
        OSError: The folder itself cannot be opened.
    """
    # A stack of its own: folders may lie deeper than calls may.
    open_folders = [(root, b"", iter(sorted(os.listdir(root))))]
    while open_folders:
        folder, above, names = open_folders[-1]
        name = next(names, None)
        if name is None:
            open_folders.pop()
            continue
        real, relative = os.path.join(folder, name), above + name
        path = shown(relative)
        try:
            status = os.lstat(real)
            if stat.S_ISDIR(status.st_mode):
                open_folders.append((real, relative + b"/", iter(sorted(os.listdir(real)))))
            elif stat.S_ISREG(status.st_mode):
                yield _file(path, real, status)
            else:
                yield Found(path, real, skipped=LINK if stat.S_ISLNK(status.st_mode) else SPECIAL)
        except OSError as error:
            yield Found(path[:PATH_LETTERS], real, failed=reason_of(error))


def _file(path: str, real: bytes, status: os.stat_result) -> Found:
    failed = "" if os.access(real, os.R_OK) else "the file cannot be read: Permission denied"
    if len(path) > PATH_LETTERS:
        path, failed = path[:PATH_LETTERS], f"its path is longer than {PATH_LETTERS} letters"
    return Found(path, real, status.st_size, status.st_mtime, failed)


def shown(name: bytes) -> str:
    """A path as text.

    >>> shown("Müller".encode()), shown(b"M\\xfcller")
    ('Müller', 'M\\\\xfcller')
    """
    return name.decode("utf-8", "backslashreplace")


def reason_of(error: OSError) -> str:
    """What is wrong with a file, for a list of failures."""
    if isinstance(error, FileNotFoundError):
        return GONE
    return f"the file cannot be read: {error.strerror or type(error).__name__}"


def read_whole(real: bytes, most: int) -> bytes:
    """A small file, all of it as of one moment.

    Raises:
        Unstable: It changed meanwhile, is larger than `most` bytes now, or is no file any more.
        OSError: It cannot be read.
    """
    with open_file(real) as file:
        before = os.fstat(file.fileno())
        content = file.read(most + 1)
        check_same(before, os.fstat(file.fileno()), len(content))
    return content


def open_file(real: bytes) -> FileIO:
    """Open a file to be read; what has become a link or a pipe since it was listed is not waited for.

    Raises:
        Unstable: It is no file any more.
        OSError: It cannot be opened.
    """
    descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unstable("it is not a file any more")
    return FileIO(descriptor)


def check_same(before: os.stat_result, after: os.stat_result, read: int) -> None:
    """See that a file was read as a whole and as it was.

    Raises:
        Unstable: It changed.
    """
    marks = ((s.st_size, s.st_mtime_ns, s.st_ino) for s in (before, after))
    if len(set(marks)) > 1 or read != after.st_size:
        raise Unstable(CHANGED)


def hash_of(found: Found) -> str:
    """SHA-256 of a file that is small; empty for a large one, or one that cannot be read as a whole now."""
    if found.bytes > HASHED_BYTES or found.failed:
        return ""
    try:
        return hashlib.sha256(read_whole(found.real, HASHED_BYTES)).hexdigest()
    except (OSError, Unstable):
        return ""  # told of when it is its turn to be sent
