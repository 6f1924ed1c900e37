"""Evidence whose tags an earlier tagger has found, which people have not edited."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

SETTLED = "1 hour"
"""How old evidence is that nobody is tagging for the first time any more."""

_WHERE = f"""
    FROM evidence WHERE tagger < :version AND hidden_at IS NULL AND NOT edited ? 'tags'
      AND (tagger > 0 OR tags <> '[]' OR created_at < now() - interval '{SETTLED}')
      AND EXISTS (
        SELECT 1 FROM chunks JOIN chunk_lengths ON chunk_id = chunks.id WHERE evidence_id = evidence.id
      )
"""
_NEXT = text(f"SELECT id, case_id {_WHERE} AND id > :after ORDER BY id LIMIT :limit")


class OutdatedTags:
    """Looks for it in PostgreSQL; hidden evidence waits until it is back."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def next(self, version: int, *, after: int, limit: int) -> list[tuple[int, str]]:
        """Ids, above `after` and in their order, with their cases."""
        asked = {"version": version, "after": after, "limit": limit}
        async with self._database.connect() as connection:
            return [(row[0], row[1]) for row in await connection.execute(_NEXT, asked)]
