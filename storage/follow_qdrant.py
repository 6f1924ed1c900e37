"""Keeps a collection of Qdrant equal to the chunk vectors in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models
from sqlalchemy import ColumnElement, Table, select
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.follow import Comparison, Kind, Mark
from storage.qdrant_place import QdrantPlace
from storage.schema import Case, Chunk
from storage.vectors_qdrant import FOLLOWER

CHUNKS: Table = Chunk.metadata.tables["chunks"]
CASES: Table = Case.metadata.tables["cases"]

AT_ONCE = 500
"""Points of one request: about two megabytes."""
ALIKE = 0.999
"""Cosine of two copies of a vector that were rounded, and scaled, in different places."""
_EXAMPLES = 10

Row = tuple[int, str, int, NDArray[np.float32]]
"""Chunk, case, evidence, vector."""


class QdrantFollower:
    """`storage.follow.Follower` for vectors."""

    name = FOLLOWER
    kinds: frozenset[Kind] = frozenset({"case", "chunks", "vector"})

    def __init__(self, place: QdrantPlace, database: AsyncEngine) -> None:
        self._place = place
        self._database = database
        self.target = f"{place.where} {place.collection}, {place.dimensions} dimensions"

    async def apply(self, marks: Sequence[Mark]) -> None:
        """See `Follower.apply`."""
        await self._apply_cases({mark.case for mark in marks if mark.kind == "case"})
        await self._apply_evidence({mark.node for mark in marks if mark.kind == "chunks"})
        await self._apply_chunks({mark.node for mark in marks if mark.kind == "vector"})

    async def check(self) -> str:
        """See `Follower.check`."""
        return f"Qdrant {await self._place.version()}"

    async def wipe(self) -> None:
        """See `Follower.wipe`."""
        await self._place.make()

    async def compare(self) -> Comparison:
        """See `Follower.compare`."""
        compared = missing = different = spare = 0
        told: list[str] = []
        async for rows in self._rows(CHUNKS.c.vector.is_not(None)):
            compared += len(rows)
            there = await self._points([row[0] for row in rows])
            for chunk, case, evidence, vector in rows:
                point = there.get(chunk)
                if point is None:
                    missing += 1
                    told.append(f"chunk {chunk} of case {case} is missing")
                elif point.payload != {"case": case, "evidence": evidence} or not _alike(point, vector):
                    different += 1
                    told.append(f"chunk {chunk} of case {case} is not the same")
            del told[_EXAMPLES:]
        async for ids in self._ids(None):
            gone = ids - await self._with_vector(ids)
            compared, spare = compared + len(gone), spare + len(gone)
            told += [f"point {chunk} is no chunk any more" for chunk in sorted(gone)]
            del told[_EXAMPLES:]
        return Comparison(compared, missing, spare, different, tuple(told))

    async def aclose(self) -> None:
        """See `Follower.aclose`."""
        await self._place.client.close()

    async def _apply_cases(self, cases: set[str]) -> None:
        """A case that is there has no point of its own; of one that is gone no point stays."""
        if not cases:
            return
        async with self._database.connect() as connection:
            there = set(await connection.scalars(select(CASES.c.id).where(CASES.c.id.in_(cases))))
        if gone := cases - there:
            await self._delete(_having("case", sorted(gone)))

    async def _apply_evidence(self, evidence: set[int]) -> None:
        if not evidence:
            return
        of_these = CHUNKS.c.evidence_id.in_(evidence)
        kept: set[int] = set()
        async for rows in self._rows(of_these & CHUNKS.c.vector.is_not(None)):
            await self._upsert(rows)
            kept.update(row[0] for row in rows)
        having = _having("evidence", sorted(evidence))
        if not kept:
            await self._delete(having)
            return
        async for ids in self._ids(having):
            # What has come meanwhile is marked, and brought then.
            if gone := ids - kept:
                await self._delete(models.PointIdsList(points=sorted(gone)))

    async def _apply_chunks(self, chunks: set[int]) -> None:
        if not chunks:
            return
        kept: set[int] = set()
        async for rows in self._rows(CHUNKS.c.id.in_(chunks) & CHUNKS.c.vector.is_not(None)):
            await self._upsert(rows)
            kept.update(row[0] for row in rows)
        if gone := chunks - kept:
            await self._delete(models.PointIdsList(points=sorted(gone)))

    async def _rows(self, which: ColumnElement[bool]) -> AsyncIterator[list[Row]]:
        """Chunks as they are now, by id, so many at a time."""
        columns = select(CHUNKS.c.id, CHUNKS.c.case_id, CHUNKS.c.evidence_id, CHUNKS.c.vector)
        after = 0
        while True:
            page = columns.where(which, CHUNKS.c.id > after).order_by(CHUNKS.c.id).limit(AT_ONCE)
            async with self._database.connect() as connection:
                found = (await connection.execute(page)).all()
            if found:
                yield [(row[0], row[1], row[2], np.asarray(row[3], np.float32)) for row in found]
                after = found[-1][0]
            if len(found) < AT_ONCE:
                return

    async def _with_vector(self, chunks: Iterable[int]) -> set[int]:
        query = select(CHUNKS.c.id).where(CHUNKS.c.id.in_(chunks), CHUNKS.c.vector.is_not(None))
        async with self._database.connect() as connection:
            return set(await connection.scalars(query))

    async def _upsert(self, rows: Sequence[Row]) -> None:
        points = models.Batch(
            ids=[row[0] for row in rows],
            vectors=[row[3].tolist() for row in rows],
            payloads=[{"case": row[1], "evidence": row[2]} for row in rows],
        )
        async with self._place.asked():
            await self._place.client.upsert(self._place.collection, points, wait=True)

    async def _delete(self, which: models.Filter | models.PointIdsList) -> None:
        async with self._place.asked():
            await self._place.client.delete(self._place.collection, which, wait=True)

    async def _points(self, chunks: Sequence[int]) -> dict[int, models.Record]:
        async with self._place.asked():
            found = await self._place.client.retrieve(
                self._place.collection, list(chunks), with_payload=True, with_vectors=True
            )
        return {int(point.id): point for point in found}

    async def _ids(self, having: models.Filter | None) -> AsyncIterator[set[int]]:
        """Ids of points, so many at a time."""
        after: models.ExtendedPointId | None = None
        while True:
            async with self._place.asked():
                found, after = await self._place.client.scroll(
                    self._place.collection,
                    scroll_filter=having,
                    limit=10 * AT_ONCE,
                    offset=after,
                    with_payload=False,
                )
            yield {int(point.id) for point in found}
            if after is None:
                return


def _having(key: str, values: list[int] | list[str]) -> models.Filter:
    return models.Filter(must=[models.FieldCondition(key=key, match=models.MatchAny(any=values))])


def _alike(point: models.Record, vector: NDArray[np.float32]) -> bool:
    there = np.asarray(point.vector, dtype=np.float32)
    if there.shape != vector.shape:
        return False
    lengths = float(np.linalg.norm(there) * np.linalg.norm(vector))
    return lengths > 0 and float(there @ vector) / lengths >= ALIKE
