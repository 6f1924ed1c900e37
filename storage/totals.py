"""What is kept of totals, compared with a count of the rows themselves, and counted anew.

Triggers keep totals equal to their rows (`schema_totals`). Rows that came while triggers were off, as when
some dumps are restored, are not in them.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.follow import Comparison

EXAMPLES = 5
"""Of each table that are told in words."""

# Each is one statement, so of one moment: a transaction's rows and its totals come together.
_CASES = """
    WITH counted AS (
      SELECT cases.id AS case_id, coalesce(own.chunks, 0) AS chunks, coalesce(sized.indexed, 0) AS indexed,
             coalesce(sized.words, 0) AS words
      FROM cases
      LEFT JOIN (SELECT case_id, count(*) AS chunks FROM chunks GROUP BY 1) AS own ON own.case_id = id
      LEFT JOIN (SELECT case_id, count(*) AS indexed, sum(words) AS words FROM chunk_lengths GROUP BY 1)
        AS sized ON sized.case_id = id
    )
    SELECT 'case ' || counted.case_id AS what, kept.case_id IS NULL AS missing, false AS spare,
           (coalesce(kept.chunks, 0), coalesce(kept.indexed, 0), coalesce(kept.words, 0))::text AS kept,
           (counted.chunks, counted.indexed, counted.words)::text AS counted,
           (coalesce(kept.chunks, 0), coalesce(kept.indexed, 0), coalesce(kept.words, 0))
             IS DISTINCT FROM (counted.chunks, counted.indexed, counted.words) AS differs
    FROM counted LEFT JOIN case_totals AS kept USING (case_id)
"""
_ENTITIES = """
    WITH counted AS (
      SELECT entities.case_id, entities.id AS entity_id, each.chunks
      FROM entities JOIN (
        SELECT entity_id, count(*) AS chunks FROM (SELECT DISTINCT entity_id, chunk_id FROM mentions) AS one
        GROUP BY 1
      ) AS each ON each.entity_id = entities.id
    )
    SELECT 'entity ' || entity_id || ' of case ' || case_id AS what, kept.chunks IS NULL AS missing,
           counted.chunks IS NULL AS spare, coalesce(kept.chunks, 0)::text AS kept,
           coalesce(counted.chunks, 0)::text AS counted,
           kept.chunks IS DISTINCT FROM counted.chunks AS differs
    FROM counted FULL JOIN entity_counts AS kept USING (case_id, entity_id)
"""
_DIFFERENCES = """
    WITH each AS ({rows})
    SELECT count(*) AS compared, count(*) FILTER (WHERE differs AND missing) AS missing,
           count(*) FILTER (WHERE differs AND spare) AS spare,
           count(*) FILTER (WHERE differs AND NOT missing AND NOT spare) AS different,
           (array_agg(what || ': kept ' || kept || ', counted ' || counted ORDER BY what)
              FILTER (WHERE differs))[1\\:{examples}] AS examples
    FROM each
"""
_COMPARED = [text(_DIFFERENCES.format(rows=rows, examples=EXAMPLES)) for rows in (_CASES, _ENTITIES)]

# In the order of everybody else: who deletes a case locks its row before its totals, and who adds changes up
# locks the first of the tables before the second. So both are waited for, and wait, without a deadlock.
_LOCKED = (
    text("SELECT FROM cases FOR KEY SHARE"),
    text("LOCK TABLE case_totals, entity_counts IN SHARE ROW EXCLUSIVE MODE"),
)
_RECOUNT = text("SELECT recount_totals()")


class Totals:
    """The totals of all cases."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def compare(self) -> Comparison:
        """Count everything, and say what is kept otherwise: a case's (passages, of them indexed, terms), and
        the passages that mention an entity. Keeps nobody waiting."""
        parts = []
        async with self._database.connect() as connection:
            for statement in _COMPARED:
                parts.append((await connection.execute(statement)).one())
        return Comparison(
            compared=sum(part.compared for part in parts),
            missing=sum(part.missing for part in parts),
            spare=sum(part.spare for part in parts),
            different=sum(part.different for part in parts),
            examples=tuple(example for part in parts for example in part.examples or ()),
        )

    async def recount(self) -> None:
        """Keep what a count gives. Who adds passages or mentions waits with the commit until it is done."""
        async with self._database.begin() as connection:
            for statement in _LOCKED:
                await connection.execute(statement)
            await connection.execute(_RECOUNT)
