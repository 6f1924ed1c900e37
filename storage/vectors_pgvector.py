"""Chunk vectors in PostgreSQL with pgvector: a scan of a small case, an HNSW walk through a large one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import Table, bindparam, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage import hidden
from storage.schema import Chunk
from storage.vectors import Near, Vector

EXACT_BELOW = 100_000
"""Chunks of a case up to which every vector is compared with a question's: some 50 ms.

A walk through a million vectors for 30,000 of them took six times as long as comparing those, and missed
a tenth of what it should have found (`tests/bench/bench_scale.py`).
"""

NEIGHBOURS_EXACT_BELOW = 20_000
"""The same for the neighbours of chunks, which are looked for by dozens at a time: about 10 ms each."""

EF_SEARCH = 800
"""Candidates of an HNSW walk for a question: recall@10 0.96 among a million chunks, where 200 reach 0.84 and
400 0.94; of 10^5 chunks 200 are enough (`tests/bench/bench_scale.py`)."""

NEIGHBOURS_EF_SEARCH = 200
"""The same for neighbours, of which a few more or less change nothing."""

MAX_SCANNED = 200_000
"""Vectors of any case that a walk looks at before it gives up finding more of this one."""

CHUNKS: Table = Chunk.metadata.tables["chunks"]

# Whether a chunk has its vector stands in its row alone; nearly all have.
_COUNT = text("SELECT coalesce((SELECT chunks FROM case_totals WHERE case_id = :case), 0)")

# Adding zero makes an expression that no index serves, so that a scan of the case remains.
_EXACT = text(
    f"""
    SELECT id, 1 - (vector <=> CAST(:vector AS halfvec)) AS cosine
    FROM chunks WHERE case_id = :case AND vector IS NOT NULL AND evidence_id NOT IN {hidden.EVIDENCE}
    ORDER BY (vector <=> CAST(:vector AS halfvec)) + 0, id LIMIT :limit
    """
)
_WALK = text(
    f"""
    SELECT id, 1 - distance AS cosine FROM (
        SELECT id, vector <=> CAST(:vector AS halfvec) AS distance
        FROM chunks WHERE case_id = :case AND vector IS NOT NULL AND evidence_id NOT IN {hidden.EVIDENCE}
        ORDER BY vector <=> CAST(:vector AS halfvec) LIMIT :limit
    ) AS found ORDER BY distance, id
    """
)
_NEIGHBOURS = """
    SELECT DISTINCT least(chunk.id, near.id), greatest(chunk.id, near.id), 1 - near.distance
    FROM chunks AS chunk CROSS JOIN LATERAL (
        SELECT other.id, other.vector <=> chunk.vector AS distance FROM chunks AS other
        WHERE other.case_id = :case AND other.id <> chunk.id AND other.vector IS NOT NULL
        ORDER BY {order} LIMIT :limit
    ) AS near
    WHERE chunk.id = ANY(:chunks) AND chunk.case_id = :case AND chunk.vector IS NOT NULL
      AND 1 - near.distance >= :floor
    ORDER BY 1, 2
    """
_NEIGHBOURS_EXACT = text(_NEIGHBOURS.format(order="(other.vector <=> chunk.vector) + 0, other.id"))
_NEIGHBOURS_WALK = text(_NEIGHBOURS.format(order="other.vector <=> chunk.vector"))


# The walk goes on until the filter by case has let enough through, and the planner underrates it
# as soon as that filter looks selective.
_SET = text(
    f"""
    SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true),
           set_config('hnsw.ef_search', :ef, true),
           set_config('hnsw.max_scan_tuples', '{MAX_SCANNED}', true),
           set_config('enable_sort', 'off', true)
    """
)


class PgVectors:
    """`storage.vectors.Vectors` in the column `chunks.vector`."""

    def __init__(self, database: AsyncEngine, *, exact_below: int = EXACT_BELOW) -> None:
        self._database = database
        self._exact_below = exact_below

    async def put(self, case: str, vectors: Mapping[int, Vector]) -> None:
        if not vectors:
            return
        query = (
            update(CHUNKS)
            .where(CHUNKS.c.id == bindparam("chunk"), CHUNKS.c.case_id == case)
            .values(vector=bindparam("value", type_=HALFVEC()))
        )
        rows = [{"chunk": chunk, "value": vector.tolist()} for chunk, vector in vectors.items()]
        async with self._database.begin() as connection:
            await connection.execute(query, rows)

    async def missing(self, evidence: int) -> list[int]:
        query = (
            select(CHUNKS.c.id)
            .where(CHUNKS.c.evidence_id == evidence, CHUNKS.c.vector.is_(None))
            .order_by(CHUNKS.c.ordinal)
        )
        async with self._database.connect() as connection:
            return list((await connection.scalars(query)).all())

    async def nearest(self, case: str, vector: Vector, limit: int) -> list[tuple[int, float]]:
        values = {"case": case, "vector": literal(vector), "limit": limit}
        async with self._database.begin() as connection:
            query = _EXACT if await _is_small(connection, case, self._exact_below, EF_SEARCH) else _WALK
            return [(row[0], row[1]) for row in await connection.execute(query, values)]

    async def neighbours(self, case: str, chunks: Sequence[int], limit: int, floor: float) -> list[Near]:
        values = {"case": case, "chunks": list(chunks), "limit": limit, "floor": floor}
        async with self._database.begin() as connection:
            most = min(self._exact_below, NEIGHBOURS_EXACT_BELOW)
            small = await _is_small(connection, case, most, NEIGHBOURS_EF_SEARCH)
            query = _NEIGHBOURS_EXACT if small else _NEIGHBOURS_WALK
            return [Near(*row) for row in await connection.execute(query, values)]


async def _is_small(connection: AsyncConnection, case: str, most: int, ef: int) -> bool:
    """Whether the case has fewer chunks than `most`; else the connection is set up for a walk by `ef`."""
    small = (await connection.execute(_COUNT, {"case": case})).scalar_one() < most
    if not small:
        await connection.execute(_SET, {"ef": str(ef)})
    return bool(small)


def literal(vector: Vector) -> str:
    """A vector as PostgreSQL reads it."""
    return "[" + ",".join(f"{value:.6g}" for value in vector.tolist()) + "]"
