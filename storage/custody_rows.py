"""The rows of the custody chains that are about one piece of evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.sealed import seals_of
from storage.sealing import unseal

_ABOUT = text(
    """
    SELECT topic, seq, what, content, previous, hash, at FROM journal
    WHERE topic = ANY(:topics) AND (
        (what = 'transition' AND split_part(event_key, ':', 1) = :upload)
        OR event_key = 'deletion:' || :upload
        OR (what = 'access' AND position(CAST(:told AS bytea) IN content) > 0)
    )
    ORDER BY at, topic, seq
    """
)
_NAMES = text("SELECT id, name FROM users WHERE id = ANY(:users)")
_CHILDREN = text(
    "SELECT id, filename FROM evidence "
    "WHERE parent_id = :evidence AND (:removed OR hidden_at IS NULL) ORDER BY id"
)
_TOPIC = text("SELECT topic FROM archived_machines WHERE id = :upload")
_FILENAME = text("SELECT filename FROM evidence WHERE id = :evidence")


@dataclass(frozen=True)
class CustodyRow:
    """One row; `data` is what it records, with the sealed texts that are still there."""

    topic: str
    seq: int
    what: str
    content: bytes
    previous: str
    hash: str
    at: datetime
    data: dict[str, Any]


class CustodyRows:
    """Rows and the names in them, in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def about(self, topics: Sequence[str], upload: str, evidence: int) -> list[CustodyRow]:
        """What happened to an upload, and who looked at its evidence, in the order of time."""
        # As `storage.journal` writes accesses: keys in their order, no spaces.
        told = f'"data":{{"evidence":{evidence},"what":'.encode()
        asked = {"topics": sorted(set(topics)), "upload": upload, "told": told}
        rows = []
        async with self._database.connect() as connection:
            for row in (await connection.execute(_ABOUT, asked)).all():
                seals = await seals_of(connection, row.topic, row.seq, row.seq)
                values = {place: value for place, (_, value) in seals.get(row.seq, {}).items()}
                data = unseal(orjson.loads(bytes(row.content))["data"], values)
                rows.append(
                    CustodyRow(
                        row.topic, row.seq, row.what, bytes(row.content), row.previous, row.hash, row.at, data
                    )
                )
        return rows

    async def names(self, users: Sequence[str]) -> dict[str, str]:
        """The names of those of the users who have an account."""
        async with self._database.connect() as connection:
            rows = await connection.execute(_NAMES, {"users": list(users)})
            return {row.id: row.name for row in rows}

    async def children(self, evidence: int, *, removed: bool) -> list[tuple[int, str]]:
        """What was found in the evidence: numbers and file names; of removed evidence only if told."""
        async with self._database.connect() as connection:
            rows = await connection.execute(_CHILDREN, {"evidence": evidence, "removed": removed})
            return [(row.id, row.filename) for row in rows]

    async def topic_of(self, upload: str) -> str | None:
        """The topic of an upload; None where the archive does not know it."""
        async with self._database.connect() as connection:
            found: str | None = await connection.scalar(_TOPIC, {"upload": upload})
            return found

    async def filename(self, evidence: int) -> str:
        """Name of a file; "" where it is gone."""
        async with self._database.connect() as connection:
            return await connection.scalar(_FILENAME, {"evidence": evidence}) or ""
