"""Which chunks of a case are alike: the similarity edges of its graph."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.schema import Similarity
from storage.vectors import Near

SIMILARITIES: Table = Similarity.metadata.tables["similarities"]


class Similarities:
    """Similarity edges in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def put(self, case: str, pairs: Sequence[Near]) -> None:
        """Store pairs with their cosines; a pair that is there gets the new one."""
        if not pairs:
            return
        rows = [{"case_id": case, "source": p.source, "target": p.target, "weight": p.cosine} for p in pairs]
        query = upsert(SIMILARITIES)
        query = query.on_conflict_do_update(
            index_elements=["source", "target"], set_={"weight": query.excluded.weight}
        )
        async with self._database.begin() as connection:
            await connection.execute(query, rows)
