"""Blobs in a folder: `ab/cd/<sha256>`, beside `unfinished/` for what is still coming in.

`damaged/` holds what was found changed, for whoever wants to see what has happened to it.
"""

from __future__ import annotations

import errno
import logging
import os
import tempfile
import time
from collections import OrderedDict
from collections.abc import Generator, Iterator
from pathlib import Path
from threading import Lock

from storage.blobs import BLOCK_BYTES, BlobDamaged, BlobMissing, Blobs, BlobsUnavailable, check_address
from storage.hashing import Hashing, hash_of, held_back

logger = logging.getLogger(__name__)

ABANDONED_S = 86_400.0
"""After so long without a write, an unfinished file belongs to nobody."""

_KNOWN = 4096
"""Files that a process remembers to have verified."""

_Identity = tuple[int, int, int, int]


class DiskWriter:
    """Hashes while it writes; `commit` renames, so an address holds the whole content or nothing."""

    def __init__(self, blobs: DiskBlobs) -> None:
        self._blobs = blobs
        self._hashing = Hashing()
        descriptor, name = tempfile.mkstemp(dir=blobs.unfinished)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._name = Path(name)

    def write(self, block: bytes) -> None:
        rest = memoryview(block)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]
        self._hashing.add(block)

    def commit(self) -> tuple[str, int]:
        sha256 = self._hashing.sha256
        target = self._blobs.address(sha256)
        if self._blobs.holds(sha256, self._hashing.bytes):
            self.abort()
            fsync_folder(target.parent)  # whoever renamed it may not have come to this yet
            return sha256, self._hashing.bytes
        os.fsync(self._file.fileno())
        self._file.close()
        _move(self._name, target)
        return sha256, self._hashing.bytes

    def abort(self) -> None:
        if not self._file.closed:
            self._file.close()
            self._name.unlink(missing_ok=True)


class DiskBlobs:
    """Blobs below `root`, which is created, readable by this user alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unfinished = root / "unfinished"
        self.damaged = root / "damaged"
        for folder in (self.unfinished, self.damaged):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._verified: OrderedDict[str, _Identity] = OrderedDict()
        self._lock = Lock()

    def open_writer(self) -> DiskWriter:
        return DiskWriter(self)

    def address(self, sha256: str) -> Path:
        """Where the content stands or would stand.

        Raises:
            ValueError: Not a hex SHA-256, so nothing that may become part of a path.
        """
        check_address(sha256)
        return self.root / sha256[:2] / sha256[2:4] / sha256

    def path(self, sha256: str) -> Path:
        identity = _identity(self._status(sha256))
        with self._lock:
            known = self._verified.get(sha256) == identity
        if not known:
            self.verify(sha256)
        return self.address(sha256)

    def holds(self, sha256: str, size: int) -> bool:
        """Whether the content stands there in its whole length; a shorter or longer one is set aside."""
        try:
            found = self._status(sha256).st_size
        except BlobMissing:
            return False
        if found != size:
            self._found_wrong(sha256)
        return found == size

    def take(self, path: Path, sha256: str) -> None:
        target = self.address(sha256)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            if self.holds(sha256, size):
                path.unlink()
                fsync_folder(target.parent)
                return
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            _move(path, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            copy_in(self, path)
            path.unlink()

    def exists(self, sha256: str) -> bool:
        return self.address(sha256).is_file()

    def size(self, sha256: str) -> int:
        return self._status(sha256).st_size

    def read(self, sha256: str) -> bytes:
        return b"".join(self.stream(sha256))

    def stream(self, sha256: str, start: int = 0, end: int | None = None) -> Generator[bytes, None, None]:
        size = self.size(sha256)
        end = size if end is None else min(end, size)
        blocks = self._blocks(sha256, start, end)
        if (start, end) == (0, size):
            return held_back(blocks, sha256, lambda: self._found_wrong(sha256))
        return blocks

    def verify(self, sha256: str) -> int:
        status = self._status(sha256)
        found, size = hash_of(self._blocks(sha256, 0, status.st_size))
        if (found, size) != (sha256, status.st_size):
            raise self._found_wrong(sha256)
        with self._lock:
            self._verified[sha256] = _identity(status)
            self._verified.move_to_end(sha256)
            while len(self._verified) > _KNOWN:
                self._verified.popitem(last=False)
        return size

    def delete(self, sha256: str) -> bool:
        there = False
        for path in (self.address(sha256), self.damaged / sha256):
            try:
                path.unlink()
            except FileNotFoundError:
                continue
            fsync_folder(path.parent)
            there = True
        return there

    def addresses(self) -> Iterator[str]:
        aside = {path.name for path in self.damaged.iterdir()}
        folders = {path.name for path in self.root.glob("[0-9a-f][0-9a-f]")}
        for first in sorted(folders.union(name[:2] for name in aside)):
            here = {path.name for path in (self.root / first).glob("[0-9a-f][0-9a-f]/*")}
            yield from sorted(here.union(name for name in aside if name.startswith(first)))

    def where(self) -> str:
        return f"the folder {self.root}"

    def check(self) -> None:
        try:
            with tempfile.TemporaryFile(dir=self.unfinished) as file:
                file.write(b"1")
                os.fsync(file.fileno())
        except OSError as error:
            raise BlobsUnavailable(
                f"{self.where()} cannot be written ({error.strerror}): "
                "free some space, or give its user the right to write there"
            ) from error

    def clear_abandoned(self) -> int:
        """Delete unfinished files that a crash left behind; returns how many."""
        oldest = time.time() - ABANDONED_S
        old = [path for path in self.unfinished.iterdir() if path.stat().st_mtime < oldest]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _status(self, sha256: str) -> os.stat_result:
        try:
            return self.address(sha256).stat()
        except FileNotFoundError:
            raise self._absent(sha256) from None

    def _blocks(self, sha256: str, start: int, end: int) -> Generator[bytes, None, None]:
        try:
            with self.address(sha256).open("rb", buffering=0) as file:
                file.seek(start)
                left = end - start
                while left > 0 and (block := file.read(min(BLOCK_BYTES, left))):
                    left -= len(block)
                    yield block
        except FileNotFoundError:
            raise self._absent(sha256) from None

    def _absent(self, sha256: str) -> BlobMissing:
        return BlobDamaged(sha256) if (self.damaged / sha256).exists() else BlobMissing(sha256)

    def _found_wrong(self, sha256: str) -> Exception:
        """Set a content aside, unless a second look finds it whole: then the fault was in reading it."""
        address = self.address(sha256)
        try:
            if hash_of(self._blocks(sha256, 0, address.stat().st_size))[0] == sha256:
                return BlobsUnavailable(f"{self.where()} gave the content {sha256} wrongly once; try again")
            os.replace(address, self.damaged / sha256)
        except (FileNotFoundError, BlobDamaged):
            return self._absent(sha256)  # somebody else has set it aside, or deleted it
        fsync_folder(self.damaged)
        fsync_folder(address.parent)
        logger.error(
            "The stored content of evidence was found changed and is set aside.",
            extra={"action": "blob.damaged", "sha256": sha256},
        )
        return BlobDamaged(sha256)


def _identity(status: os.stat_result) -> _Identity:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def copy_in(blobs: Blobs, path: Path) -> None:
    """Store a file by copying it."""
    writer = blobs.open_writer()
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(BLOCK_BYTES):
                writer.write(block)
        writer.commit()
    finally:
        writer.abort()


def _move(path: Path, target: Path) -> None:
    """Rename a file that is on the disk to an address; its folders are made."""
    for folder in (target.parent.parent, target.parent):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
            fsync_folder(folder.parent)
    os.replace(path, target)
    fsync_folder(target.parent)


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder last a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
