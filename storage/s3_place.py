"""Where a bucket is, and who asks for it."""

from __future__ import annotations

from dataclasses import dataclass


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
