"""Where a bucket is and who asks for it, and what is said of the objects in it."""

from __future__ import annotations

from dataclasses import dataclass

MOST_PARTS = 10_000
LEAST_PART_BYTES = 5 << 20
"""Of all parts but the last."""


@dataclass(frozen=True)
class S3Place:
    """One bucket of an S3 store.

    Attributes:
        public_endpoint: The address under which clients reach the store; "" where they do not.
    """

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str
    region: str
    public_endpoint: str = ""

    def __repr__(self) -> str:
        return f"S3Place({self.endpoint}, {self.bucket})"


class KeyMissing(Exception):
    """The bucket has no object, or no upload, of that name."""


@dataclass(frozen=True)
class Part:
    """A part of an upload that the store has."""

    number: int
    etag: str
    bytes: int
