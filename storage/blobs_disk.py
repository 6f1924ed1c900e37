"""Blobs in a folder: `ab/cd/<sha256>`, beside `unfinished/` for what is still coming in."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from pathlib import Path

from storage.blobs import BlobMissing

_ADDRESS = re.compile(r"[0-9a-f]{64}")

ABANDONED_S = 86_400.0
"""After so long without a write, an unfinished file belongs to nobody."""


class DiskWriter:
    """Hashes while it writes; `commit` renames, so an address holds the whole content or nothing."""

    def __init__(self, blobs: DiskBlobs) -> None:
        self._blobs = blobs
        self._digest = hashlib.sha256()
        self._bytes = 0
        descriptor, name = tempfile.mkstemp(dir=blobs.unfinished)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._name = Path(name)

    def write(self, block: bytes) -> None:
        rest = memoryview(block)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]
        self._digest.update(block)
        self._bytes += len(block)

    def commit(self) -> tuple[str, int]:
        sha256 = self._digest.hexdigest()
        target = self._blobs.address(sha256)
        if target.exists():
            self.abort()
            _fsync_folder(target.parent)  # whoever renamed it may not have come to this yet
            return sha256, self._bytes
        os.fsync(self._file.fileno())
        self._file.close()
        for folder in (target.parent.parent, target.parent):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
                _fsync_folder(folder.parent)
        os.replace(self._name, target)
        _fsync_folder(target.parent)
        return sha256, self._bytes

    def abort(self) -> None:
        if not self._file.closed:
            self._file.close()
            self._name.unlink(missing_ok=True)


class DiskBlobs:
    """Blobs below `root`, which is created, readable by this user alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unfinished = root / "unfinished"
        self.unfinished.mkdir(mode=0o700, parents=True, exist_ok=True)

    def open_writer(self) -> DiskWriter:
        return DiskWriter(self)

    def address(self, sha256: str) -> Path:
        """Where the content stands or would stand.

        Raises:
            ValueError: Not a hex SHA-256, so nothing that may become part of a path.
        """
        if not _ADDRESS.fullmatch(sha256):
            raise ValueError(f"not a hex SHA-256: {sha256!r}")
        return self.root / sha256[:2] / sha256[2:4] / sha256

    def path(self, sha256: str) -> Path:
        if not self.exists(sha256):
            raise BlobMissing(sha256)
        return self.address(sha256)

    def exists(self, sha256: str) -> bool:
        return self.address(sha256).is_file()

    def read(self, sha256: str) -> bytes:
        try:
            return self.address(sha256).read_bytes()
        except FileNotFoundError:
            raise BlobMissing(sha256) from None

    def clear_abandoned(self) -> int:
        """Delete unfinished files that a crash left behind; returns how many."""
        oldest = time.time() - ABANDONED_S
        old = [path for path in self.unfinished.iterdir() if path.stat().st_mtime < oldest]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
