"""Parts in a folder: `<group>/<name>`, one file each, written under a lock that ends with its process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from storage.blobs_disk import fsync_folder
from storage.parts import NoRoom, PartBusy, Place

RESERVE_BYTES = 256 << 20
"""Left free for Redis and PostgreSQL, which lose more than an upload when they find no room."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class DiskPartWriter:
    """Holds an exclusive `flock` on the file; the system gives it up when the process dies.

    `close` waits for a write that another thread is in: its descriptor must not become another file's.
    """

    def __init__(self, descriptor: int, path: Path, offset: int) -> None:
        self._descriptor = descriptor
        self._path = path
        self._named = offset > 0
        self._turn = threading.Lock()
        self.offset = offset

    def write(self, block: bytes | bytearray | memoryview) -> None:
        rest = memoryview(block)
        with self._turn:
            try:
                while rest:
                    written = os.pwrite(self._descriptor, rest, self.offset)
                    self.offset += written
                    rest = rest[written:]
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                raise NoRoom from error

    def sync(self) -> None:
        with self._turn:
            os.fdatasync(self._descriptor)
            if not self._named:  # the names of a new file and its folder are not yet on the disk
                with contextlib.suppress(FileNotFoundError):  # it was deleted
                    fsync_folder(self._path.parent)
                    fsync_folder(self._path.parent.parent)
                self._named = True

    def rewind(self, offset: int) -> None:
        with self._turn:
            os.ftruncate(self._descriptor, offset)
            self.offset = offset

    def close(self) -> None:
        with self._turn:
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor >= 0:
                os.close(descriptor)


class DiskParts:
    """Parts below `root`, which is created, readable by this user alone."""

    def __init__(self, root: Path, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self.root = root
        self._reserve_bytes = reserve_bytes
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def open(self, place: Place) -> DiskPartWriter:
        path = self.path(place)
        while True:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:  # the folder was deleted in between
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found = os.fstat(descriptor)
                if found.st_nlink:  # else it was deleted, or taken, between opening and locking
                    return DiskPartWriter(descriptor, path, found.st_size)
            except BlockingIOError:
                os.close(descriptor)
                raise PartBusy(place) from None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def size(self, place: Place) -> int:
        try:
            return self.path(place).stat().st_size
        except FileNotFoundError:
            return 0

    def received(self, group: str) -> int:
        return sum(self.size(Place(group, found.name)) for found in self._files(group))

    def being_written(self, group: str, *, but: str = "") -> bool:
        return any(_is_locked(Path(found)) for found in self._files(group) if found.name != but)

    def path(self, place: Place) -> Path:
        """Raises ValueError for what must not become part of a path."""
        if not _NAME.fullmatch(place.name):
            raise ValueError(f"not the name of a part: {place.name!r}")
        return self._folder(place.group) / place.name

    def delete(self, place: Place) -> None:
        path = self.path(place)
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others are in it
            path.parent.rmdir()

    def delete_group(self, group: str) -> None:
        for found in self._files(group):
            self.path(Place(group, found.name)).unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self._folder(group).rmdir()

    def groups(self, *, idle_s: float) -> Iterator[str]:
        latest = time.time() - idle_s
        with os.scandir(self.root) as found:
            groups = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
        for group in groups:
            try:
                paths = [self._folder(group), *(Path(found) for found in self._files(group))]
                times = [path.stat().st_mtime for path in paths]
            except FileNotFoundError:
                continue
            if max(times) < latest:
                yield group

    def free_bytes(self) -> int:
        return max(0, shutil.disk_usage(self.root).free - self._reserve_bytes)

    def _folder(self, group: str) -> Path:
        if not _NAME.fullmatch(group):
            raise ValueError(f"not the name of a group: {group!r}")
        return self.root / group

    def _files(self, group: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._folder(group)) as found:
                return list(found)
        except FileNotFoundError:
            return []


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
