"""Which embedder made the vectors of a database: one, since vectors of two cannot be compared.

The record says who, and how long its vectors are; the column of vectors is of that length. Another
embedder takes over where there is no vector yet, or by `begin_anew`, which drops all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Table, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.schema import EmbedderRecord

EMBEDDER: Table = EmbedderRecord.metadata.tables["embedder"]

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('embedder', 0))")
_READ = text("SELECT name, dimensions, complete FROM embedder")
_ANY = text("SELECT EXISTS (SELECT 1 FROM chunks WHERE vector IS NOT NULL)")
_WIDTH = text("SELECT atttypmod FROM pg_attribute WHERE attrelid = 'chunks'::regclass AND attname = 'vector'")
_LEFT = text("SELECT count(*) FROM chunks WHERE vector IS NULL")
_NEXT = text(
    "SELECT id, case_id, text FROM chunks WHERE vector IS NULL AND id > :after ORDER BY id LIMIT :most"
)
_CASES = text("SELECT DISTINCT case_id FROM chunks ORDER BY case_id")
_OF_CASE = text("SELECT id FROM chunks WHERE case_id = :case AND id > :after ORDER BY id LIMIT :most")


@dataclass(frozen=True)
class Made:
    """Who made the vectors; `complete` is false while they are being made anew."""

    name: str
    dimensions: int
    complete: bool = True


class EmbedderChanged(Exception):
    """The vectors that are there were made by another embedder; nothing was changed.

    Attributes:
        there: The one that made them.
    """

    def __init__(self, there: Made) -> None:
        super().__init__(f"the vectors were made by {there.name} ({there.dimensions} numbers each)")
        self.there = there


class EmbeddersRecord:
    """The record, and the column of vectors that it is about, in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def read(self) -> Made | None:
        """Who made the vectors; None before the first start."""
        async with self._database.connect() as connection:
            return await _made(connection)

    async def claim(self, name: str, dimensions: int) -> None:
        """Note this embedder as the data's, unless another one has made vectors.

        Raises:
            EmbedderChanged: One has, or vectors of this name had another length.
        """
        async with self._database.begin() as connection:
            await connection.execute(_LOCK)
            there = await _made(connection)
            if there is not None and (there.name, there.dimensions) == (name, dimensions):
                return
            made = Made(name, dimensions)
            if not (await connection.execute(_ANY)).scalar_one():
                await _take_over(connection, made)
                return
            # Nobody said who made them: then whoever can have.
            width = (await connection.execute(_WIDTH)).scalar_one()
            if there is not None or width != dimensions:
                raise EmbedderChanged(there or Made("an unknown embedder", width))
            await _note(connection, made)

    async def begin_anew(self, name: str, dimensions: int) -> None:
        """Drop every vector, and similarities with them, for this embedder to make anew.

        Where that has been begun for the same embedder, what it has made stays.
        """
        async with self._database.begin() as connection:
            await connection.execute(_LOCK)
            if await _made(connection) != Made(name, dimensions, complete=False):
                await connection.execute(text("DELETE FROM similarities"))
                await _take_over(connection, Made(name, dimensions, complete=False))

    async def finish(self) -> None:
        """Every chunk has its vector again."""
        async with self._database.begin() as connection:
            await connection.execute(text("UPDATE embedder SET complete = true"))

    async def left(self) -> int:
        """How many chunks have no vector."""
        async with self._database.connect() as connection:
            return int((await connection.execute(_LEFT)).scalar_one())

    async def next(self, after: int, most: int) -> Sequence[tuple[int, str, str]]:
        """Chunks without a vector by id, behind `after`: id, case and text."""
        async with self._database.connect() as connection:
            rows = await connection.execute(_NEXT, {"after": after, "most": most})
            return [(row[0], row[1], row[2]) for row in rows]

    async def cases(self) -> list[str]:
        """The cases that have chunks."""
        async with self._database.connect() as connection:
            return list((await connection.execute(_CASES)).scalars())

    async def chunks(self, case: str, after: int, most: int) -> list[int]:
        """Chunks of a case by id, behind `after`."""
        async with self._database.connect() as connection:
            rows = await connection.execute(_OF_CASE, {"case": case, "after": after, "most": most})
            return list(rows.scalars())


async def _made(connection: AsyncConnection) -> Made | None:
    row = (await connection.execute(_READ)).one_or_none()
    return None if row is None else Made(*row)


async def _take_over(connection: AsyncConnection, made: Made) -> None:
    """Note the embedder, and empty the column, in the length that it needs."""
    width = (await connection.execute(_WIDTH)).scalar_one()
    if width != made.dimensions:
        await connection.execute(text("DROP INDEX IF EXISTS chunks_vector"))
        await connection.execute(
            text(f"ALTER TABLE chunks ALTER COLUMN vector TYPE halfvec({int(made.dimensions)}) USING NULL")
        )
        await connection.execute(
            text("CREATE INDEX chunks_vector ON chunks USING hnsw (vector halfvec_cosine_ops)")
        )
    elif (await connection.execute(_ANY)).scalar_one():
        await connection.execute(text("UPDATE chunks SET vector = NULL WHERE vector IS NOT NULL"))
    await _note(connection, made)


async def _note(connection: AsyncConnection, made: Made) -> None:
    values = {"id": 1, "name": made.name, "dimensions": made.dimensions, "complete": made.complete}
    query = insert(EMBEDDER).values(values)
    await connection.execute(query.on_conflict_do_update(index_elements=["id"], set_=values))
