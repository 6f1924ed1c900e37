"""Which upload has brought which bytes: what decides whether a content is still needed.

A content is needed while an upload that brought it stands here, or evidence of any case has it.
Whoever stores bytes says so by `arrive`; whoever deletes some asks by `clear`. Both hold a lock of the
content, so that no content is deleted that somebody has just begun to need, and none stays that
nobody needs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.blobs import BlobMissing, Blobs, BlobsUnavailable
from storage.departed import LOCK_UPLOAD, Departed, check_departed
from storage.sight import lock_sight, settle

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('casewire.content.' || :sha256, 0))")
_ARRIVE = text(
    """
    INSERT INTO arrivals (upload, sha256, case_id, parent, filename, spare)
    VALUES (:upload, :sha256, :case, :parent, :filename, false)
    ON CONFLICT (upload, sha256) DO UPDATE SET at = excluded.at
    """
)
"""Whoever needs it anew is not taken for somebody who has forgotten it."""
_CASE = text("SELECT id FROM cases WHERE id = :case FOR KEY SHARE")
"""A case is not deleted while something arrives for it, and nothing arrives for one that is gone."""
_CASE_OF = text("SELECT case_id FROM arrivals WHERE upload = :upload AND sha256 = :sha256")
_SPARE = text("UPDATE arrivals SET spare = true WHERE upload = :upload AND sha256 = :sha256")
_HELD = text(
    "SELECT id, hidden_at IS NOT NULL AS hidden FROM evidence WHERE case_id = :case AND sha256 = :sha256"
)
_NEEDED = text(
    """
    SELECT EXISTS (SELECT 1 FROM arrivals WHERE sha256 = :sha256)
        OR EXISTS (SELECT 1 FROM evidence WHERE sha256 = :sha256)
    """
)
_LEAVE = text(
    "DELETE FROM arrivals WHERE upload = :upload "
    "AND NOT EXISTS (SELECT 1 FROM evidence WHERE evidence.upload = :upload) RETURNING sha256"
)


_PATIENCE = text("SET LOCAL idle_in_transaction_session_timeout = '120s'")
"""A transaction that waits for a slow disk or store keeps its lock; others end much sooner."""

BEGIN_WITHIN_S = 10.0
"""So long after it was found that nobody needs a content, its deletion may begin; a while later the lock
may be somebody else's."""


_STALE_ROW = """
    arrivals.at < now() - make_interval(secs => :older_s)
    AND NOT EXISTS (SELECT 1 FROM evidence WHERE evidence.upload = arrivals.upload)
    AND NOT (spare AND EXISTS (
        SELECT 1 FROM evidence
        WHERE evidence.case_id = arrivals.case_id AND evidence.sha256 = arrivals.sha256
    ))
    AND NOT EXISTS (
        SELECT 1 FROM import_files WHERE machine = arrivals.upload AND machine <> '' AND state = 'received'
    )
"""
_STALE = text(
    f"SELECT DISTINCT upload FROM arrivals WHERE {_STALE_ROW} AND upload > :after "
    "ORDER BY upload LIMIT :limit"
)
_ABANDON = text(f"DELETE FROM arrivals WHERE upload = :upload AND {_STALE_ROW} RETURNING sha256")


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

    async def spare(self, upload: str, sha256: str) -> bool:
        """The case had the bytes already: they are needed here only as long as the other has them.

        False, and nothing noted, where the other has lost them meanwhile.

        Evidence that was hidden with what it was found in is in sight again, if this is another place.
        """
        async with self._database.begin() as connection:
            arrived = {"upload": upload, "sha256": sha256}
            case: str | None = await connection.scalar(_CASE_OF, arrived)
            if case is None:
                return False
            await lock_sight(connection, case)
            held = (await connection.execute(_HELD, {"case": case, "sha256": sha256})).one_or_none()
            if held is None:
                return False
            await connection.execute(_SPARE, arrived)
            if held.hidden:
                await settle(connection, held.id)
        return True

    async def leave(self, upload: str) -> None:
        """An upload that became no evidence needs nothing more; contents that nobody else needs go.

        One that did become evidence leaves by `storage.departures` alone.
        """
        async with self._database.begin() as connection:
            await connection.execute(LOCK_UPLOAD, {"upload": upload})
            contents = (await connection.execute(_LEAVE, {"upload": upload})).scalars().all()
        for sha256 in contents:
            await self.clear(sha256)

    async def stale(self, *, older_s: float, after: str = "", limit: int = 100) -> list[str]:
        """Uploads, by id, with needs older than `older_s` that no evidence stands for, and no file that is
        listed for one that has not begun. Their machines may still come to it."""
        asked = {"older_s": older_s, "after": after, "limit": limit}
        async with self._database.connect() as connection:
            return list((await connection.execute(_STALE, asked)).scalars())

    async def abandon(self, upload: str, *, older_s: float) -> int:
        """Forget what `stale` has found of an upload, unless that is needed anew since; how much it was."""
        async with self._database.begin() as connection:
            await connection.execute(LOCK_UPLOAD, {"upload": upload})
            asked = {"upload": upload, "older_s": older_s}
            contents = (await connection.execute(_ABANDON, asked)).scalars().all()
        for sha256 in contents:
            await self.clear(sha256)
        return len(contents)

    async def clear(self, sha256: str) -> bool:
        """Delete a content unless somebody needs it; whether it is gone.

        Raises:
            BlobsUnavailable: The store does not answer, or this process had no thread to spare for long;
                nothing was deleted then.
        """
        async with self._database.begin() as connection:
            await connection.execute(_PATIENCE)
            await connection.execute(_LOCK, {"sha256": sha256})
            if await _is_needed(connection, sha256):
                return False
            # Within the lock: until the transaction ends nobody can come to need it. So the transaction
            # may not end before the deletion has, nor the deletion begin when it may have ended.
            await _to_its_end(self._delete, sha256, time.monotonic() + BEGIN_WITHIN_S)
        return True

    def _delete(self, sha256: str, until: float) -> None:
        for clear in self._made_from:
            clear(sha256)
        if time.monotonic() > until:
            raise BlobsUnavailable(f"{self._blobs.where()} was too busy to delete a content; try again")
        self._blobs.delete(sha256)


async def _to_its_end(call: Callable[[str, float], None], sha256: str, until: float) -> None:
    """Run a call in a thread, and return or be cancelled only when it has ended."""
    running = asyncio.ensure_future(asyncio.to_thread(call, sha256, until))
    cancelled = False
    while not running.done():
        try:
            await asyncio.shield(asyncio.wait({running}))
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        running.exception()  # whoever cancels wants to hear of nothing else
        raise asyncio.CancelledError
    running.result()


async def _is_needed(connection: AsyncConnection, sha256: str) -> bool:
    return bool((await connection.execute(_NEEDED, {"sha256": sha256})).scalar_one())
