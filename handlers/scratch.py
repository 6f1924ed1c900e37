"""The folder of one reading child: the file it is given, and a place for temporary files.

`source/` it may read, `work/` it may fill. A lock held by the parent tells a folder in use from one that
a killed process left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

_PREFIX = "reader-"
_YOUNG_S = 60.0
"""So old must a folder be to be taken for abandoned: a new one is not locked at once."""

FILES = 2_000
"""Most temporary files at a time."""


class Scratch:
    """A new folder below `root`; `remove` it in the end. Every method blocks."""

    def __init__(self, root: Path) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        self._lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.source = self.folder / "source"
        self.work = self.folder / "work"
        self.source.mkdir()
        self.work.mkdir()

    def take(self, path: Path) -> Path:
        """Put a file where the child can read it: a link, or a copy where it is on another file system."""
        given = self.source / "file"
        try:
            os.link(path.resolve(), given)
        except OSError:
            # Also where links to such files are forbidden. What is wrong with the file shows here.
            shutil.copyfile(path, given)
        return given

    def excess(self, most_bytes: int) -> bool:
        """Whether the temporary files take more than they may."""
        taken = files = 0
        folders = [self.work]
        while folders:
            with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
                for entry in entries:
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    taken += entry.stat(follow_symlinks=False).st_blocks * 512
                    if files > FILES or taken > most_bytes:
                        return True
        return False

    def clear(self) -> None:
        """Make it as new; the child does nothing meanwhile."""
        _empty(self.source)
        _empty(self.work)

    def remove(self) -> None:
        """Delete it; the child has ended."""
        self.clear()
        shutil.rmtree(self.folder)
        os.close(self._lock)


def sweep(root: Path) -> int:
    """Delete the folders that killed processes left below `root`; returns how many."""
    swept = 0
    for folder in root.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # in use, or swept by another at this moment
            if time.time() - folder.stat().st_mtime < _YOUNG_S:
                continue
            lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for part in ("source", "work"):
                    if (folder / part).is_dir():
                        _empty(folder / part)
                shutil.rmtree(folder)
                swept += 1
            finally:
                os.close(lock)
    return swept


def _empty(folder: Path) -> None:
    """Delete what is in a folder, however deep: a hostile reader can nest deeper than a path is long."""
    number = 0
    while entries := list(folder.iterdir()):
        for entry in entries:
            if not entry.is_dir() or entry.is_symlink():
                entry.unlink()
                continue
            entry.chmod(0o700)
            for inner in list(entry.iterdir()):
                number += 1
                inner.rename(folder / f"-{number}-{entry.name[:20]}")
            entry.rmdir()
