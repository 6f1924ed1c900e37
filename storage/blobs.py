"""Where the bytes of evidence live: under their own SHA-256, written once, never changed.

What is checked when:

| who reads | what is compared |
|---|---|
| `path`, for workers | the hash, once in the life of a process for a file that has not been touched since |
| `read`, and `stream` of a whole content | the hash, on the way; the last block comes only if it agrees |
| `stream` of a range | the size |
| `verify`, for `casewire blobs verify` | the hash, always |

A content that is found changed is set aside under its address, so that nothing reads it again, and
the same bytes, received once more, take its place.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Protocol

BLOCK_BYTES = 1 << 20
"""Most that is read, hashed or passed on at once."""

_ADDRESS = re.compile(r"[0-9a-f]{64}")


class BlobMissing(Exception):
    """No content of that address is stored."""

    def __init__(self, sha256: str) -> None:
        super().__init__(f"no content {sha256} is stored")
        self.sha256 = sha256


class BlobDamaged(BlobMissing):
    """What was stored under that address is not what was put there, and has been set aside."""

    def __init__(self, sha256: str) -> None:
        super().__init__(sha256)
        self.args = (f"the stored content {sha256} was changed after it had been received",)


class BlobsUnavailable(Exception):
    """The store does not answer now, or refuses this server; the text says which store and what it said."""


class BlobWriter(Protocol):
    """One content on its way in; every method blocks, so call it from a thread.

    Nothing can be read before `commit`. A writer that is dropped leaves nothing at any address.
    """

    def write(self, block: bytes) -> None:
        """Append a block."""

    def commit(self) -> tuple[str, int]:
        """Make the content readable, for good: after it returns a power cut does not lose it.

        Returns:
            Hex SHA-256 and size in bytes. Content that is stored already stays as it is.
        """

    def abort(self) -> None:
        """Forget what was written; after `commit` or another `abort` it does nothing."""


class Blobs(Protocol):
    """Contents by hex SHA-256; every method blocks.

    All raise ValueError for an address that is no hex SHA-256, and `BlobsUnavailable` when the store
    does not answer.
    """

    def open_writer(self) -> BlobWriter:
        """Begin a content."""

    def take(self, path: Path, sha256: str) -> None:
        """Make a whole file readable under its address, for good; the file is not at `path` any more.

        Nothing is copied where the file can be renamed. Content that is stored already stays as it is.

        Args:
            sha256: Of the file, which nobody writes any more.

        Raises:
            FileNotFoundError: It is not there.
        """

    def path(self, sha256: str) -> Path:
        """A file with the content, to be read only, verified once in the life of this process.

        It stays for as long as this process asks for no more than a dozen others.

        Raises:
            BlobMissing: There is none.
            BlobDamaged: It was changed.
        """

    def exists(self, sha256: str) -> bool:
        """Whether the content is stored."""

    def size(self, sha256: str) -> int:
        """Its bytes.

        Raises:
            BlobMissing: There is none.
        """

    def read(self, sha256: str) -> bytes:
        """The whole content, verified.

        Raises:
            BlobMissing: There is none.
            BlobDamaged: It was changed.
        """

    def stream(self, sha256: str, start: int = 0, end: int | None = None) -> Generator[bytes, None, None]:
        """Bytes `start`..`end` (exclusive; None for the last) in blocks of at most `BLOCK_BYTES`.

        Of a whole content the last block comes only after its hash was found right. Close the
        generator to end early.

        Raises:
            BlobMissing: There is none; raised before the first block.
            BlobDamaged: It was changed; raised before the last block.
        """

    def verify(self, sha256: str) -> int:
        """Hash the content anew and return its size; what is found changed is set aside.

        Raises:
            BlobMissing: There is none.
            BlobDamaged: It was changed.
        """

    def delete(self, sha256: str) -> bool:
        """Remove the content, and what was set aside of it; whether there was any.

        A file that somebody has open stays readable to them. Ask `storage.arrivals` first, which
        knows whether anybody needs it.
        """

    def addresses(self) -> Iterator[str]:
        """The address of every content, sorted, also of those set aside."""

    def clear_abandoned(self) -> int:
        """Remove what writers that have died left behind a day ago; returns how many."""

    def where(self) -> str:
        """The store in words, for people; never a secret."""

    def check(self) -> None:
        """Return if contents can be stored and read.

        Raises:
            BlobsUnavailable: They cannot; the text says what to do.
        """


def check_address(sha256: str) -> str:
    """The address itself.

    Raises:
        ValueError: Not a hex SHA-256, so nothing that may become part of a path or a key.
    """
    if not _ADDRESS.fullmatch(sha256):
        raise ValueError(f"not a hex SHA-256: {sha256!r}")
    return sha256
