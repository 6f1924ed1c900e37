"""Chunk vectors searched in Qdrant, with PostgreSQL as what is true.

Qdrant names candidates; PostgreSQL, which has every vector, says which of them may be shown and how near
they are. So nothing is found that is hidden or gone, however far Qdrant is behind, and what Qdrant does
not have yet is compared beside it. While Qdrant is being filled for the first time, or anew, PostgreSQL
searches alone; where Qdrant does not answer afterwards, nobody takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qdrant_client import models
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage import hidden
from storage.qdrant_place import SEARCH, QdrantPlace
from storage.vectors import Near, Vector
from storage.vectors_pgvector import PgVectors, literal

FOLLOWER = "vectors"

NOT_YET = 5000
"""Chunks of a case that Qdrant has yet to look at and that are compared in PostgreSQL; what is beyond
them is found once Qdrant has it."""

_MARGIN = 16
"""So many more are asked for than wanted, so that equal cosines are cut by id."""
_MOST_TRIES = 6

_BEFORE = text(
    f"""
    SELECT (SELECT phase FROM followers WHERE name = '{FOLLOWER}') AS phase,
           ARRAY{hidden.EVIDENCE} AS hidden,
           ARRAY(
               SELECT node FROM store_marks
               WHERE case_id = :case AND kind = 'vector' AND follower = '{FOLLOWER}'
               UNION
               SELECT chunks.id FROM store_marks JOIN chunks ON chunks.evidence_id = store_marks.node
               WHERE store_marks.case_id = :case AND kind = 'chunks' AND follower = '{FOLLOWER}'
               LIMIT {NOT_YET}
           ) AS waiting
    """
)
# Adding zero makes an expression that no index serves.
_TRUE = text(
    f"""
    SELECT id, 1 - (vector <=> CAST(:vector AS halfvec)) AS cosine FROM chunks
    WHERE id = ANY(:ids) AND case_id = :case AND vector IS NOT NULL AND evidence_id NOT IN {hidden.EVIDENCE}
    ORDER BY (vector <=> CAST(:vector AS halfvec)) + 0, id
    """
)


@dataclass(frozen=True)
class _Before:
    """What is known of a case before Qdrant is asked."""

    hidden: list[int]
    waiting: list[int]


class QdrantVectors:
    """`storage.vectors.Vectors`, searched in a collection that `QdrantFollower` keeps."""

    def __init__(self, place: QdrantPlace, database: AsyncEngine) -> None:
        self._place = place
        self._database = database
        self._canonical = PgVectors(database)

    async def put(self, case: str, vectors: Mapping[int, Vector]) -> None:
        """See `Vectors.put`."""
        await self._canonical.put(case, vectors)

    async def missing(self, evidence: int) -> list[int]:
        """See `Vectors.missing`."""
        return await self._canonical.missing(evidence)

    async def neighbours(self, case: str, chunks: Sequence[int], limit: int, floor: float) -> list[Near]:
        """See `Vectors.neighbours`; asked by the import right after `put`, before Qdrant can know."""
        return await self._canonical.neighbours(case, chunks, limit, floor)

    async def nearest(self, case: str, vector: Vector, limit: int) -> list[tuple[int, float]]:
        """See `Vectors.nearest`.

        Raises:
            StoreAway, StoreUnfit: Qdrant cannot be asked.
        """
        before = await self._before(case)
        if before is None:
            return await self._canonical.nearest(case, vector, limit)
        want = limit + _MARGIN
        for _ in range(_MOST_TRIES):
            candidates = await self._candidates(case, vector, want, before.hidden)
            true = await self._true(case, vector, {*candidates, *before.waiting})
            confirmed = len({chunk for chunk, _ in true} & set(candidates))
            # Of what Qdrant named some is gone, and there may be others behind it.
            if confirmed >= limit or len(candidates) < want:
                break
            want *= 2
        return true[:limit]

    async def _before(self, case: str) -> _Before | None:
        async with self._database.connect() as connection:
            row = (await connection.execute(_BEFORE, {"case": case})).one()
        return _Before(row.hidden, row.waiting) if row.phase == "following" else None

    async def _candidates(self, case: str, vector: Vector, limit: int, hidden: Sequence[int]) -> list[int]:
        seen = models.Filter(
            must=[models.FieldCondition(key="case", match=models.MatchValue(value=case))],
            must_not=[models.FieldCondition(key="evidence", match=models.MatchAny(any=list(hidden)))]
            if hidden
            else None,
        )
        async with self._place.asked():
            found = await self._place.client.query_points(
                self._place.collection,
                query=vector.tolist(),
                query_filter=seen,
                search_params=SEARCH,
                limit=limit,
                with_payload=False,
            )
        return [int(point.id) for point in found.points]

    async def _true(self, case: str, vector: Vector, chunks: set[int]) -> list[tuple[int, float]]:
        asked = {"case": case, "vector": literal(vector), "ids": sorted(chunks)}
        async with self._database.connect() as connection:
            return [(row.id, row.cosine) for row in await connection.execute(_TRUE, asked)]
