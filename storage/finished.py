"""Archived snapshots found by what they quote, and kept on without it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from machines.snapshot import Snapshot
from storage.archive import archive

_QUOTING = text(
    """
    SELECT snapshot FROM archived_machines
    WHERE topic = :topic AND kind = 'query' AND terminated
      AND (
        jsonb_path_exists(
          snapshot, '$.context.understood.evidence[*] ? (@ == $evidence)', CAST(:vars AS jsonb)
        )
        OR jsonb_path_exists(
          snapshot, '$.context.hits.*.evidence ? (@ == $evidence)', CAST(:vars AS jsonb)
        )
        AND NOT jsonb_path_exists(
          snapshot,
          '$.context.hits.* ? (@.evidence == $evidence && @.title == "deleted evidence")',
          CAST(:vars AS jsonb)
        )
      )
    ORDER BY id LIMIT 50
    """
)
_REWRITE = text(
    "UPDATE archived_machines SET snapshot = CAST(:snapshot AS jsonb) WHERE id = :id AND revision = :revision"
)
_WITHIN = text(
    """
    SELECT id, NOT terminated AND (snapshot #>> '{context,parent}')::bigint = :evidence AS within
    FROM archived_machines WHERE topic = :topic AND id = ANY(:machines)
    """
)
_UNTITLE = text(
    """
    UPDATE archived_machines
    SET snapshot = jsonb_set(jsonb_set(snapshot, '{context,title}', '""'), '{context,reason}', '""')
    WHERE id = :id AND terminated
    """
)


class Finished:
    """The archive, for those who take something out of it."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def quoting(self, topic: str, evidence: int) -> AsyncIterator[Snapshot]:
        """Questions that have ended and whose hits still tell of the evidence; rewrite each one."""
        values = {"topic": topic, "vars": orjson.dumps({"evidence": evidence}).decode()}
        while True:
            async with self._database.connect() as connection:
                found = (await connection.execute(_QUOTING, values)).scalars().all()
            if not found:
                return
            for value in found:
                yield Snapshot.from_json(value)

    async def rewrite(self, snapshot: Snapshot) -> None:
        """Keep a machine that has ended as this snapshot from now on."""
        values = {
            "id": snapshot.id,
            "revision": snapshot.revision,
            "snapshot": orjson.dumps(snapshot.to_json()).decode(),
        }
        async with self._database.begin() as connection:
            await archive(connection, [snapshot])
            await connection.execute(_REWRITE, values)

    async def uploads_within(
        self, topic: str, evidence: int, machines: Sequence[str]
    ) -> tuple[set[str], set[str]]:
        """Those of the machines that bring what was found in the evidence, and those that are archived."""
        asked = {"topic": topic, "evidence": evidence, "machines": list(machines)}
        async with self._database.connect() as connection:
            rows = (await connection.execute(_WITHIN, asked)).all()
        return {row.id for row in rows if row.within}, {row.id for row in rows}

    async def untitle(self, machine: str) -> bool:
        """Take the title of what it had pointed to from an upload that has ended; whether there is one."""
        async with self._database.begin() as connection:
            return bool((await connection.execute(_UNTITLE, {"id": machine})).rowcount)
