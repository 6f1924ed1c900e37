"""Whether an upload was deleted, asked by whoever is about to write for it, under a lock of the upload."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

LOCK_UPLOAD = text("SELECT pg_advisory_xact_lock(hashtextextended('casewire.upload.' || :upload, 0))")

_DEPARTED = text("SELECT EXISTS (SELECT 1 FROM departures WHERE upload = :upload)")


class Departed(Exception):
    """The upload was cancelled or deleted, so nothing is written for it any more."""

    def __init__(self, upload: str) -> None:
        super().__init__("the upload was cancelled or deleted meanwhile")
        self.upload = upload


async def check_departed(connection: AsyncConnection, upload: str) -> None:
    """Hold off a deletion of the upload until the caller's transaction ends.

    Raises:
        Departed: It has begun before.
    """
    await connection.execute(LOCK_UPLOAD, {"upload": upload})
    if (await connection.execute(_DEPARTED, {"upload": upload})).scalar_one():
        raise Departed(upload)
