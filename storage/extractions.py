"""What a language model has read in passages, kept by their content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.schema import Extraction

EXTRACTIONS: Table = Extraction.metadata.tables["extractions"]

_ADOPT = text(
    """
    INSERT INTO extractions (evidence_id, key, case_id, reading)
    SELECT DISTINCT ON (key) CAST(:evidence AS bigint), key, case_id, reading FROM extractions
    WHERE case_id = :case AND key = ANY(:keys)
    ON CONFLICT DO NOTHING
    """
)
_READ = text("SELECT key, reading FROM extractions WHERE evidence_id = :evidence AND key = ANY(:keys)")


class Extractions:
    """Readings in PostgreSQL, shared within a case and never beyond it."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def get(self, case: str, evidence: int, keys: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """The readings that are known of those keys; the evidence has them as its own from then on.

        Raises:
            sqlalchemy.exc.IntegrityError: The evidence is gone.
        """
        values = {"case": case, "evidence": evidence, "keys": list(keys)}
        async with self._database.begin() as connection:
            await connection.execute(_ADOPT, values)
            return {row[0]: row[1] for row in await connection.execute(_READ, values)}

    async def put(self, case: str, evidence: int, key: str, reading: Mapping[str, Any]) -> None:
        """Keep a reading for as long as the evidence is there.

        Raises:
            sqlalchemy.exc.IntegrityError: It is gone.
        """
        values = {"evidence_id": evidence, "key": key, "case_id": case, "reading": dict(reading)}
        async with self._database.begin() as connection:
            await connection.execute(insert(EXTRACTIONS).values(values).on_conflict_do_nothing())
