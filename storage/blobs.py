"""Where the bytes of evidence live: under their own SHA-256, written once, never changed."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class BlobMissing(Exception):
    """No content of that address is stored."""

    def __init__(self, sha256: str) -> None:
        super().__init__(f"no content {sha256} is stored")
        self.sha256 = sha256


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
    """Contents by hex SHA-256; every method blocks."""

    def open_writer(self) -> BlobWriter:
        """Begin a content."""

    def path(self, sha256: str) -> Path:
        """A file with the content, to be read only.

        Raises:
            BlobMissing: There is none.
        """

    def exists(self, sha256: str) -> bool:
        """Whether the content is stored."""

    def read(self, sha256: str) -> bytes:
        """The whole content.

        Raises:
            BlobMissing: There is none.
        """
