"""Who stands how to whom in a case, by what its evidence says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Table, delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage import hidden
from storage.schema import Relation

RELATIONS: Table = Relation.metadata.tables["relations"]
CHUNKS: Table = Relation.metadata.tables["chunks"]

EntityKey = tuple[str, str]
"""Kind and key of an entity within its case."""

_OF_ENTITIES = text(
    f"""
    SELECT r.id, r.subject, s.name AS subject_name, r.predicate, r.object, o.name AS object_name,
           r.chunk_id, c.evidence_id, r.start, r."end", r.source
    FROM relations r
    JOIN entities s ON s.id = r.subject JOIN entities o ON o.id = r.object JOIN chunks c ON c.id = r.chunk_id
    WHERE r.case_id = :case AND (r.subject = ANY(:entities) OR r.object = ANY(:entities))
      AND s.status <> 'rejected' AND o.status <> 'rejected' AND r.chunk_id NOT IN {hidden.CHUNKS}
    ORDER BY r.id LIMIT :limit
    """
)


@dataclass(frozen=True)
class RelationDraft:
    """A relation that a chunk tells; both entities are mentioned in it.

    Attributes:
        start: First character in the evidence's text of what says so; `end` is one past the last.
        source: `rule`, or the name of the model that read it.
    """

    chunk: int
    subject: EntityKey
    predicate: str
    object: EntityKey
    start: int
    end: int
    source: str


@dataclass(frozen=True)
class RelationRow:
    """A relation with its place."""

    id: int
    subject: int
    subject_name: str
    predicate: str
    object: int
    object_name: str
    chunk: int
    evidence: int
    start: int
    end: int
    source: str


class Relations:
    """Relations in PostgreSQL; `storage.entities.Entities` writes them, together with their entities."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def of_entities(self, case: str, entities: Sequence[int], *, limit: int = 200) -> list[RelationRow]:
        """What the evidence in sight tells of any of the entities, in the order it was stored."""
        values = {"case": case, "entities": list(entities), "limit": limit}
        async with self._database.connect() as connection:
            return [RelationRow(*row) for row in await connection.execute(_OF_ENTITIES, values)]


async def replace_relations(
    connection: AsyncConnection,
    case: str,
    evidence: int,
    relations: Sequence[RelationDraft],
    ids: Mapping[EntityKey, int],
) -> None:
    """Make these the relations that the evidence tells; repeats and what nobody is in are left out.

    Args:
        ids: The case's entities by kind and key, at least those that `relations` name.
    """
    of_evidence = select(CHUNKS.c.id).where(CHUNKS.c.evidence_id == evidence)
    await connection.execute(delete(RELATIONS).where(RELATIONS.c.chunk_id.in_(of_evidence)))
    rows = {
        (r.chunk, ids[r.subject], r.predicate, ids[r.object], r.start): (r.end, r.source)
        for r in reversed(relations)
        if ids[r.subject] != ids[r.object]
    }
    if rows:
        values = [
            {
                "case_id": case,
                "chunk_id": chunk,
                "subject": subject,
                "predicate": predicate,
                "object": object_,
                "start": start,
                "end": end,
                "source": source,
            }
            for (chunk, subject, predicate, object_, start), (end, source) in reversed(rows.items())
        ]
        await connection.execute(insert(RELATIONS), values)


async def hand_over_relations(
    connection: AsyncConnection, chunks: Sequence[int], before: Sequence[int], now: int
) -> None:
    """What those chunks told of the entities `before` they tell of the entity `now`."""
    for column in (RELATIONS.c.subject, RELATIONS.c.object):
        await connection.execute(
            update(RELATIONS)
            .where(RELATIONS.c.chunk_id.in_(list(chunks)), column.in_(list(before)))
            .values({column: now})
        )
    await connection.execute(
        delete(RELATIONS).where(
            RELATIONS.c.chunk_id.in_(list(chunks)), RELATIONS.c.subject == RELATIONS.c.object
        )
    )
