"""Which words the evidence of a case holds: the frequent ones as they are written, and whether some occur."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage import hidden

SAMPLED = 4000
"""Chunks of a case, evenly spread, whose words are counted."""
MOST = 5000
"""Frequent words."""

_HAS = text(
    f"""
    SELECT term FROM unnest(CAST(:terms AS text[])) AS asked(term)
    WHERE EXISTS (
        SELECT 1 FROM postings WHERE postings.case_id = :case AND postings.term = asked.term
          AND chunk_id NOT IN {hidden.CHUNKS}
    )
    """
)
_SAMPLE = text(
    f"""
    SELECT coalesce(array_agg(id), '{{}}') FROM (
        SELECT id, row_number() OVER (ORDER BY id) AS place, count(*) OVER () AS size
        FROM chunks WHERE case_id = :case AND evidence_id NOT IN {hidden.EVIDENCE}
    ) AS numbered WHERE size <= :sampled OR place % (size / :sampled + 1) = 0
    """
)
# The function takes a statement, which is made of numbers alone.
_FREQUENT = text(
    """
    SELECT word FROM ts_stat(format(
        'SELECT to_tsvector(''simple'', text) FROM chunks WHERE id = ANY(%L::bigint[])',
        CAST(:chunks AS bigint[])
    ))
    WHERE ndoc >= :least AND word ~ '^[[:alpha:]]{4,24}$' ORDER BY ndoc DESC, word LIMIT :most
    """
)


class CaseWords:
    """The words of cases in PostgreSQL; hidden evidence has none."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def having(self, case: str, terms: Sequence[str]) -> set[str]:
        """Those of the terms, as `handlers.terms` makes them, that the evidence holds."""
        if not terms:
            return set()
        async with self._database.connect() as connection:
            found = await connection.execute(_HAS, {"case": case, "terms": sorted(set(terms))})
            return set(found.scalars())

    async def frequent(self, case: str, *, least: int = 2, most: int = MOST) -> list[str]:
        """Words in lower case that stand in at least so many chunks of a sample, the commonest first."""
        async with self._database.connect() as connection:
            chunks = await connection.scalar(_SAMPLE, {"case": case, "sampled": SAMPLED})
            if not chunks:
                return []
            asked = {"chunks": chunks, "least": least, "most": most}
            return list((await connection.execute(_FREQUENT, asked)).scalars())
