"""A folder of files that can be made again: bounded in bytes, the least recently used leave first.

    files/    what is kept, by name
    making/   what is being made; renamed when it is whole
    turns/    locks, so that one process at a time makes a file

Processes share the folder. A file that one of them uses is locked (`flock`, shared), and whoever
makes room passes over it.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import BinaryIO

HELD = 12
"""Files that a process keeps from leaving: those it asked for last."""

ABANDONED_S = 3600.0
"""After so long without a write, a file in the making belongs to nobody, unless it is locked."""

_STRIPES = 1024
_SHARE = 32
"""A process makes room whenever it has added this part of the bound."""
_TOUCH_S = 60.0
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,199}")


class FileCache:
    """Files below `root`, which is created, readable by this user alone; every method blocks.

    Args:
        limit_bytes: Most that is kept, give or take a thirty-second part for each process. A file larger
            than that is kept while it is held.
    """

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self._files, self._making, self._turns = root / "files", root / "making", root / "turns"
        for folder in (self._files, self._making, self._turns):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._limit_bytes = limit_bytes
        self._added = limit_bytes  # unknown, so that room is made at first
        self._held: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def get(self, name: str) -> Path | None:
        """The file of that name, if it is kept; held from now on."""
        path = self._path(name)
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            self._let_go(name)
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        status = os.fstat(descriptor)
        if not status.st_nlink:  # it left while it was being opened
            os.close(descriptor)
            return None
        if time.time() - status.st_mtime > _TOUCH_S:
            os.utime(descriptor)
        self._hold(name, descriptor)
        return path

    def make(self, name: str, write: Callable[[BinaryIO], None]) -> Path:
        """The file of that name, made by `write` if there is none, by one process at a time; held.

        What `write` raises is passed on, and nothing is kept.
        """
        with self.turn(name):
            return self.get(name) or self.put(name, write)

    def put(self, name: str, write: Callable[[BinaryIO], None]) -> Path:
        """As `make`, for whoever has the turn; takes the place of a file of that name."""
        path = self._path(name)
        descriptor, making = tempfile.mkstemp(dir=self._making)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                write(file)
                size = file.tell()
            os.replace(making, path)
        except BaseException:
            os.close(descriptor)
            Path(making).unlink(missing_ok=True)
            raise
        self._hold(name, descriptor)
        self._added += size
        if self._added * _SHARE >= self._limit_bytes:
            self._added = 0
            self.trim()
        return path

    def drop(self, name: str) -> bool:
        """Forget a file; whether there was one."""
        self._let_go(name)
        try:
            self._path(name).unlink()
        except FileNotFoundError:
            return False
        return True

    def drop_all(self, beginning: str) -> int:
        """Forget the files whose names begin so; how many there were."""
        names = [path.name for path, _ in _statuses(self._files) if path.name.startswith(beginning)]
        return sum(self.drop(name) for name in names)

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Held by one thread of one process at a time for a name, and a few others that share its lock."""
        stripe = zlib.crc32(name.encode()) % _STRIPES
        descriptor = os.open(self._turns / f"{stripe:03x}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def bytes(self) -> int:
        """What all files take together."""
        return sum(status.st_size for _, status in _statuses(self._files))

    def trim(self) -> None:
        """Let files go, the least recently used first, until the rest is well within the bound."""
        known = sorted((status.st_mtime, status.st_size, path) for path, status in _statuses(self._files))
        too_much = sum(size for _, size, _ in known) - self._limit_bytes * (_SHARE - 1) // _SHARE
        for _, size, path in known:
            if too_much <= 0:
                break
            if _unlinked(path):
                too_much -= size
        oldest = time.time() - ABANDONED_S
        for path, status in _statuses(self._making):
            if status.st_mtime < oldest:
                _unlinked(path)

    def close(self) -> None:
        """Hold nothing any more."""
        with self._lock:
            held, self._held = self._held, OrderedDict()
        for descriptor in held.values():
            os.close(descriptor)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a name for a file of a cache: {name!r}")
        return self._files / name

    def _hold(self, name: str, descriptor: int) -> None:
        with self._lock:
            before = self._held.pop(name, None)
            self._held[name] = descriptor
            given_up = [before] if before is not None else []
            if len(self._held) > HELD:
                given_up.append(self._held.popitem(last=False)[1])
        for old in given_up:
            os.close(old)

    def _let_go(self, name: str) -> None:
        with self._lock:
            descriptor = self._held.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)


def _statuses(folder: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for entry in os.scandir(folder):
        try:
            found.append((folder / entry.name, entry.stat()))
        except FileNotFoundError:
            continue  # another process has just let it go
    return found


def _unlinked(path: Path) -> bool:
    """Whether the file was removed; not one that somebody holds."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
