"""Content that is hashed while it is passed on, and held back at its end until the hash agrees."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable


class Hashing:
    """A digest and a count, fed block by block."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.bytes = 0

    def add(self, block: bytes | memoryview) -> None:
        self._digest.update(block)
        self.bytes += len(block)

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of what was added so far."""
        return self._digest.hexdigest()


def hash_of(blocks: Iterable[bytes]) -> tuple[str, int]:
    """Hex SHA-256 and number of bytes of everything that comes."""
    hashing = Hashing()
    for block in blocks:
        hashing.add(block)
    return hashing.sha256, hashing.bytes


def held_back(
    blocks: Iterable[bytes], sha256: str, wrong: Callable[[], Exception]
) -> Generator[bytes, None, None]:
    """The blocks, each but the last passed on when the next has come; the last if all hash to `sha256`.

    Args:
        wrong: Makes what is raised instead of passing on the last block.
    """
    hashing = Hashing()
    last: bytes | None = None
    for block in blocks:
        hashing.add(block)
        if last is not None:
            yield last
        last = block
    if hashing.sha256 != sha256:
        raise wrong()
    if last is not None:
        yield last
