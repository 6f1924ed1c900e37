"""Which upload has brought which bytes: what decides whether a content is still needed.

A content is needed while an upload that brought it stands here, or evidence of any case has it.
Whoever stores bytes says so by `arrive`; whoever deletes some asks by `clear`. Both hold a lock of the
content, so that no content is deleted that somebody has just begun to need, and none stays that
nobody needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.blobs import BlobMissing, Blobs
from storage.departed import Departed, check_departed
from storage.sight import lock_sight, settle

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('casewire.content.' || :sha256, 0))")
_ARRIVE = text(
    """
    INSERT INTO arrivals (upload, sha256, case_id, parent, filename, spare)
    VALUES (:upload, :sha256, :case, :parent, :filename, false)
    ON CONFLICT (upload, sha256) DO NOTHING
    """
)
_CASE = text("SELECT id FROM cases WHERE id = :case FOR KEY SHARE")
"""A case is not deleted while something arrives for it, and nothing arrives for one that is gone."""
_SPARE = text(
    "UPDATE arrivals SET spare = true WHERE upload = :upload AND sha256 = :sha256 RETURNING case_id"
)
_HIDDEN = text("SELECT id FROM evidence WHERE case_id = :case AND sha256 = :sha256 AND hidden_at IS NOT NULL")
_NEEDED = text(
    """
    SELECT EXISTS (SELECT 1 FROM arrivals WHERE sha256 = :sha256)
        OR EXISTS (SELECT 1 FROM evidence WHERE sha256 = :sha256)
    """
)
_LEAVE = text("DELETE FROM arrivals WHERE upload = :upload RETURNING sha256")


@dataclass(frozen=True)
class Arriving:
    """A file that an upload brings into a case; `parent` is the evidence it was found in, or 0."""

    upload: str
    case: str
    parent: int = 0
    filename: str = ""


class Arrivals:
    """Arrivals in PostgreSQL, beside the blobs that they speak for.

    Args:
        made_from: Called in a thread with the hash of a content that is gone, to clear what was made
            from it and is kept by its hash, such as pictures of pages.
    """

    def __init__(
        self, database: AsyncEngine, blobs: Blobs, *, made_from: Sequence[Callable[[str], None]] = ()
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._made_from = made_from

    async def expect(self, arriving: Arriving, *contents: str) -> None:
        """Need contents (hex SHA-256) that are about to be stored: whoever asks this first loses none.

        Raises:
            Departed: The upload was cancelled or deleted.
        """
        await self._need([(arriving, sha256) for sha256 in contents], stored=False)

    async def expect_all(self, expected: Sequence[tuple[Arriving, str]]) -> None:
        """`expect` for many uploads at once, all or none."""
        await self._need(expected, stored=False)

    async def arrive(self, arriving: Arriving, *contents: str) -> None:
        """Need contents (hex SHA-256) that are stored, from now on.

        Raises:
            BlobMissing: One was deleted a moment ago; store it again.
            Departed: The upload was cancelled or deleted.
        """
        await self._need([(arriving, sha256) for sha256 in contents], stored=True)

    async def _need(self, needed: Sequence[tuple[Arriving, str]], *, stored: bool) -> None:
        async with self._database.begin() as connection:
            # In one order by everybody, so that no two wait for each other.
            for upload in sorted({arriving.upload for arriving, _ in needed}):
                await check_departed(connection, upload)
            for case, upload in sorted({(arriving.case, arriving.upload) for arriving, _ in needed}):
                if (await connection.execute(_CASE, {"case": case})).scalar_one_or_none() is None:
                    raise Departed(upload)
            for sha256 in sorted({sha256 for _, sha256 in needed}):
                await connection.execute(_LOCK, {"sha256": sha256})
                if stored and not await asyncio.to_thread(self._blobs.exists, sha256):
                    raise BlobMissing(sha256)
            rows = [
                {
                    "upload": arriving.upload,
                    "sha256": sha256,
                    "case": arriving.case,
                    "parent": arriving.parent,
                    "filename": arriving.filename,
                }
                for arriving, sha256 in needed
            ]
            if rows:
                await connection.execute(_ARRIVE, rows)

    async def spare(self, upload: str, sha256: str) -> None:
        """The case had the bytes already: they are needed here only as long as the other has them.

        Evidence that was hidden with what it was found in is in sight again, if this is another place.
        """
        async with self._database.begin() as connection:
            case: str | None = await connection.scalar(_SPARE, {"upload": upload, "sha256": sha256})
            if case is None:
                return
            await lock_sight(connection, case)
            hidden: int | None = await connection.scalar(_HIDDEN, {"case": case, "sha256": sha256})
            if hidden is not None:
                await settle(connection, hidden)

    async def leave(self, upload: str) -> None:
        """An upload that became no evidence needs nothing more; contents that nobody else needs go."""
        async with self._database.begin() as connection:
            contents = (await connection.execute(_LEAVE, {"upload": upload})).scalars().all()
        for sha256 in contents:
            await self.clear(sha256)

    async def clear(self, sha256: str) -> bool:
        """Delete a content unless somebody needs it; whether it is gone."""
        async with self._database.begin() as connection:
            await connection.execute(_LOCK, {"sha256": sha256})
            if await _is_needed(connection, sha256):
                return False
            # Within the lock: until the transaction ends nobody can come to need it.
            for clear in self._made_from:
                await asyncio.to_thread(clear, sha256)
            await asyncio.to_thread(self._blobs.delete, sha256)
        return True


async def _is_needed(connection: AsyncConnection, sha256: str) -> bool:
    return bool((await connection.execute(_NEEDED, {"sha256": sha256})).scalar_one())
