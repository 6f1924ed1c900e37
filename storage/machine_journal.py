"""The entries of one machine, read back from the custody chain of its topic."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.sealed import entries_in

_ENTRIES = text(
    "SELECT seq, content FROM journal WHERE what = 'transition' AND topic = :topic "
    "AND split_part(event_key, ':', 1) = :machine ORDER BY seq LIMIT :most"
)
_LATEST = text(
    "SELECT recent.id, recent.topic, j.seq, j.content FROM ("
    "  SELECT id, topic FROM archived_machines WHERE kind = :kind ORDER BY updated_at DESC LIMIT :machines"
    ") AS recent CROSS JOIN LATERAL ("
    "  SELECT content, seq FROM journal WHERE what = 'transition' AND topic = recent.topic"
    "  AND split_part(event_key, ':', 1) = recent.id ORDER BY seq LIMIT :most"
    ") AS j ORDER BY recent.id, j.seq"
)


class MachineJournals:
    """Every entry that has reached PostgreSQL, also of machines that have left Redis."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def entries(self, topic: str, machine: str, *, most: int) -> list[dict[str, Any]]:
        """The machine's first `most` entries in the order of their commits, without epoch and offset."""
        values = {"topic": topic, "machine": machine, "most": most}
        async with self._database.connect() as connection:
            rows = (await connection.execute(_ENTRIES, values)).all()
            return await entries_in(connection, topic, [(row.seq, row.content) for row in rows])

    async def latest(self, kind: str, *, machines: int, most: int) -> list[list[dict[str, Any]]]:
        """The first `most` entries of each of the machines of a kind that changed last."""
        values = {"kind": kind, "machines": machines, "most": most}
        lives: dict[tuple[str, str], list[tuple[int, bytes]]] = {}
        async with self._database.connect() as connection:
            for machine, topic, seq, content in (await connection.execute(_LATEST, values)).all():
                lives.setdefault((machine, topic), []).append((seq, content))
            return [await entries_in(connection, topic, rows) for (_, topic), rows in lives.items()]
