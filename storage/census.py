"""How many machines are in which state, and of which definition of their chart.

Counted in Postgres, where the journal keeps every machine's last snapshot: half a second behind
Redis, and without a word to it. A count is kept for a while, since it reads every live machine.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

KEEP_S = 15.0

_COUNT = text(
    "SELECT kind, (snapshot ->> 'chart_version')::int AS version, snapshot ->> 'chart_hash' AS chart_hash, "
    "snapshot -> 'configuration' ->> 0 AS state, count(*) AS machines "
    "FROM archived_machines WHERE NOT terminated GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
)


@dataclass(frozen=True)
class Counted:
    """So many live `machines` of one definition; `state` is the outermost of those they are in."""

    kind: str
    version: int
    chart_hash: str
    state: str
    machines: int


class Census:
    """Counts the machines that can still change.

    Args:
        keep_s: How old an answer may be.
    """

    def __init__(self, database: AsyncEngine, *, keep_s: float = KEEP_S) -> None:
        self._database = database
        self._keep_s = keep_s
        self._turn = asyncio.Lock()
        self._at = float("-inf")
        self._counted: list[Counted] = []

    async def count(self) -> list[Counted]:
        """By kind, version, hash and state.

        Raises:
            SQLAlchemyError, OSError: Postgres does not answer.
        """
        async with self._turn:
            if time.monotonic() - self._at >= self._keep_s:
                async with self._database.connect() as connection:
                    rows = (await connection.execute(_COUNT)).all()
                self._counted = [Counted(*row) for row in rows]
                self._at = time.monotonic()
            return self._counted
