"""Blobs in an S3 bucket: `blobs/<sha256>`, beside `incoming/` for what is still coming in.

What workers read is fetched into a bounded folder of this machine. `damaged/` holds what was found
changed. A lifecycle rule of the bucket should abort incomplete uploads after a week.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from storage.blobs import BLOCK_BYTES, BlobDamaged, BlobMissing, BlobsUnavailable, check_address
from storage.blobs_disk import copy_in
from storage.file_cache import FileCache
from storage.hashing import Hashing, hash_of, held_back
from storage.s3_bucket import S3Bucket
from storage.s3_place import KeyMissing, Part

logger = logging.getLogger(__name__)

PART_BYTES = 16 << 20
_GROW_EVERY = 2000
"""After so many parts the next are twice as large: 10,000 parts then hold a terabyte."""

_KNOWN = 4096
"""Files that a process remembers to have verified."""

ABANDONED_S = 86_400.0
"""After so long, what is still coming in belongs to nobody."""

INCOMING_PREFIX = "incoming/"
ASIDE_PREFIX = "damaged/"
_PREFIX = "blobs/"


class S3Writer:
    """Hashes while it sends parts; `commit` has the store copy them to the address, whole or not at all.

    A content of a single part is sent once its address is known.
    """

    def __init__(self, blobs: S3Blobs) -> None:
        self._blobs = blobs
        self._hashing = Hashing()
        self._block = bytearray()
        self._key = INCOMING_PREFIX + token_hex(16)
        self._upload = ""
        self._parts: list[Part] = []
        self._ended = False

    def write(self, block: bytes) -> None:
        self._hashing.add(block)
        self._block += block
        while len(self._block) > (size := PART_BYTES << (len(self._parts) // _GROW_EVERY)):
            self._send(bytes(self._block[:size]))
            del self._block[:size]

    def commit(self) -> tuple[str, int]:
        sha256, size = self._hashing.sha256, self._hashing.bytes
        if self._blobs.holds(sha256, size):
            self.abort()
        elif not self._upload:
            self._blobs.bucket.put(key_of(sha256), bytes(self._block))
        else:
            self._send(bytes(self._block))
            self._blobs.bucket.complete(self._key, self._upload, self._parts)
            self._blobs.bucket.copy(self._key, key_of(sha256))
            self._blobs.bucket.delete(self._key)
        self._ended = True
        return sha256, size

    def abort(self) -> None:
        if not self._ended:
            self._ended = True
            self._block.clear()
            if self._upload:
                self._blobs.bucket.abort(self._key, self._upload)
                self._blobs.bucket.delete(self._key)

    def _send(self, part: bytes) -> None:
        bucket = self._blobs.bucket
        self._upload = self._upload or bucket.begin(self._key)
        self._parts.append(bucket.put_part(self._key, self._upload, len(self._parts) + 1, part))


class S3Blobs:
    """Blobs in `bucket`; what is asked for by `path` is fetched into `cache`."""

    def __init__(self, bucket: S3Bucket, cache: FileCache) -> None:
        self.bucket = bucket
        self.cache = cache
        self._verified: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def open_writer(self) -> S3Writer:
        return S3Writer(self)

    def take(self, path: Path, sha256: str) -> None:
        if not self.holds(sha256, path.stat().st_size):
            copy_in(self, path)
        path.unlink()

    def path(self, sha256: str) -> Path:
        """As the protocol says; the store is asked each time, so that what was deleted is gone."""
        try:
            self.size(sha256)
        except BlobMissing:
            self.cache.drop(sha256)
            raise
        kept = self.cache.get(sha256)
        if kept is not None and not self._is_verified(kept, sha256):
            logger.warning(
                "A fetched content was found changed and is fetched anew.",
                extra={"action": "blob.refetched", "sha256": sha256},
            )
            self.cache.drop(sha256)
            kept = None
        if kept is None:
            kept = self.cache.make(sha256, lambda file: self._fetch(sha256, file))
            self._note_verified(kept, sha256)
        return kept

    def exists(self, sha256: str) -> bool:
        return self.bucket.has(key_of(sha256))

    def size(self, sha256: str) -> int:
        try:
            return self.bucket.size(key_of(sha256))
        except KeyMissing:
            raise self._absent(sha256) from None

    def read(self, sha256: str) -> bytes:
        return b"".join(self.stream(sha256))

    def stream(self, sha256: str, start: int = 0, end: int | None = None) -> Generator[bytes, None, None]:
        size = self.size(sha256)
        end = size if end is None else min(end, size)
        if (start, end) == (0, size):
            return held_back(self._blocks(sha256), sha256, lambda: self._found_wrong(sha256))
        return self._blocks(sha256, start, end)

    def verify(self, sha256: str) -> int:
        size = self.size(sha256)
        found = hash_of(self._blocks(sha256))
        if found != (sha256, size):
            raise self._found_wrong(sha256)
        return size

    def delete(self, sha256: str) -> bool:
        """As the protocol says; other machines drop what they have fetched when next asked for it."""
        there = self.cache.drop(check_address(sha256))
        for key in (key_of(sha256), ASIDE_PREFIX + sha256):
            if self.bucket.has(key):
                self.bucket.delete(key)
                there = True
        return there

    def addresses(self) -> Iterator[str]:
        aside = {key.removeprefix(ASIDE_PREFIX) for key in self.bucket.keys(ASIDE_PREFIX)}
        for key in self.bucket.keys(_PREFIX):
            address = key.removeprefix(_PREFIX)
            earlier = sorted(one for one in aside if one < address)
            yield from earlier
            yield address
            aside.difference_update(earlier, {address})
        yield from sorted(aside)

    def clear_abandoned(self) -> int:
        oldest = time.time() - ABANDONED_S
        objects = list(self.bucket.keys(INCOMING_PREFIX, before=oldest))
        for key in objects:
            self.bucket.delete(key)
        uploads = self.bucket.uploads(INCOMING_PREFIX, before=oldest)
        for key, upload in uploads:
            self.bucket.abort(key, upload)
        return len(objects) + len(uploads)

    def where(self) -> str:
        return self.bucket.where()

    def check(self) -> None:
        key = f"{INCOMING_PREFIX}check-{token_hex(8)}"
        self.bucket.put(key, b"1")
        try:
            if b"".join(self.bucket.read(key)) != b"1":
                raise BlobsUnavailable(f"{self.where()} gives back other bytes than it was given")
        except KeyMissing as error:
            raise BlobsUnavailable(f"{self.where()} does not have what it was given just now") from error
        finally:
            self.bucket.delete(key)

    def holds(self, sha256: str, size: int) -> bool:
        """Whether the content stands there in its whole length; a shorter or longer one is set aside."""
        try:
            found = self.bucket.size(key_of(sha256))
        except KeyMissing:
            return False
        if found != size:
            self._found_wrong(sha256)
        return found == size

    def take_over(self, key: str, *, told: Callable[[int], None]) -> tuple[str, int]:
        """Make a content of an object that is in the bucket already: hash it, and have it copied.

        Args:
            told: Called with the bytes hashed so far; what it raises is passed on.

        Returns:
            Hex SHA-256 and size in bytes.

        Raises:
            KeyMissing: There is no such object.
        """
        hashing = Hashing()
        for block in self.bucket.read(key):
            hashing.add(block)
            told(hashing.bytes)
        if not self.holds(hashing.sha256, hashing.bytes):
            self.bucket.copy(key, key_of(hashing.sha256))
        return hashing.sha256, hashing.bytes

    def _fetch(self, sha256: str, file: BinaryIO) -> None:
        try:
            for block in held_back(self._blocks(sha256), sha256, lambda: self._found_wrong(sha256)):
                file.write(block)
        except OSError as error:
            raise BlobsUnavailable(
                f"a content of {self.where()} cannot be kept on this machine ({error.strerror}): "
                "free some space"
            ) from error

    def _blocks(self, sha256: str, start: int = 0, end: int | None = None) -> Generator[bytes, None, None]:
        try:
            yield from self.bucket.read(key_of(sha256), start, end)
        except KeyMissing:
            raise self._absent(sha256) from None

    def _absent(self, sha256: str) -> BlobMissing:
        aside = self.bucket.has(ASIDE_PREFIX + sha256)
        return BlobDamaged(sha256) if aside else BlobMissing(sha256)

    def _found_wrong(self, sha256: str) -> Exception:
        """Set a content aside, unless a second look finds it whole: then it was read wrongly."""
        key = key_of(sha256)
        try:
            if hash_of(self.bucket.read(key))[0] == sha256:
                return BlobsUnavailable(f"{self.where()} gave the content {sha256} wrongly once; try again")
            self.bucket.copy(key, ASIDE_PREFIX + sha256)
        except KeyMissing:
            return self._absent(sha256)  # somebody else has set it aside, or deleted it
        self.bucket.delete(key)
        logger.error(
            "The stored content of evidence was found changed and is set aside.",
            extra={"action": "blob.damaged", "sha256": sha256},
        )
        return BlobDamaged(sha256)

    def _is_verified(self, path: Path, sha256: str) -> bool:
        status = path.stat()
        with self._lock:
            if self._verified.get(sha256) == (status.st_ino, status.st_size):
                return True
        with path.open("rb", buffering=0) as file:
            whole = hash_of(iter(lambda: file.read(BLOCK_BYTES), b""))[0] == sha256
        if whole:
            self._note_verified(path, sha256)
        return whole

    def _note_verified(self, path: Path, sha256: str) -> None:
        status = path.stat()
        with self._lock:
            if len(self._verified) >= _KNOWN:
                self._verified.clear()
            self._verified[sha256] = (status.st_ino, status.st_size)


def key_of(sha256: str) -> str:
    """Where the content stands or would stand.

    Raises:
        ValueError: Not a hex SHA-256, so nothing that may become part of a key.
    """
    return _PREFIX + check_address(sha256)
