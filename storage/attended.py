"""In which cases people have looked at something lately."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

OVERLAP = 200
"""Numbers are drawn before rows are there to be read: so many are looked at again."""

_SINCE = text(
    "SELECT case_id, max(id) AS latest FROM attention WHERE id > :after GROUP BY case_id ORDER BY case_id"
)
_LATEST = text("SELECT coalesce(max(id), 0) FROM attention")
_EXISTS = text("SELECT EXISTS (SELECT 1 FROM cases WHERE id = :case)")


class Attended:
    """Reads the record of attention in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._seen: dict[str, int] = {}

    async def since(self, last: int) -> tuple[int, list[str]]:
        """The number of the latest row, and the cases that have rows not seen before.

        Args:
            last: What the call before returned; 0 for the first, which finds no case.
        """
        async with self._database.connect() as connection:
            if last == 0:
                return max(1, await connection.scalar(_LATEST) or 0), []
            rows = list(await connection.execute(_SINCE, {"after": last - OVERLAP}))
        cases = [row.case_id for row in rows if row.latest > self._seen.get(row.case_id, last - OVERLAP)]
        self._seen = {row.case_id: row.latest for row in rows}
        return max([last, *self._seen.values()]), cases

    async def exists(self, case: str) -> bool:
        """Whether the case is still there."""
        async with self._database.connect() as connection:
            return bool(await connection.scalar(_EXISTS, {"case": case}))
