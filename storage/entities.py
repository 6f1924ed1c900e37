"""Entities of a case and where its evidence mentions them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Table, delete, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.locks import lock_mentions
from storage.pois import PoiRow
from storage.relations import RelationDraft, replace_relations
from storage.schema import Entity

_tables = Entity.metadata.tables
ENTITIES: Table = _tables["entities"]
MENTIONS: Table = _tables["mentions"]
CHUNKS: Table = _tables["chunks"]
POIS: Table = _tables["pois"]

# One statement: triggers look at it once.
_ADD_MENTIONS = text(
    'INSERT INTO mentions (chunk_id, start, entity_id, "end") SELECT * FROM unnest('
    "CAST(:chunks AS bigint[]), CAST(:starts AS int[]), CAST(:entities AS bigint[]), CAST(:ends AS int[]))"
)


@dataclass(frozen=True)
class MentionDraft:
    """A mention in a chunk, with all that is needed to make its entity.

    Attributes:
        key: What makes two mentions one entity of the case, within a `kind`.
        start: First character in the evidence's text; `end` is one past the last.
        poi: Id of the POI that it is; 0 for none. Such an entity is accepted from the start.
    """

    kind: str
    key: str
    name: str
    chunk: int
    start: int
    end: int
    poi: int = 0


class PoisChanged(Exception):
    """The persons of interest are others now than those that were looked for."""

    def __init__(self) -> None:
        super().__init__("the persons of interest have changed meanwhile")


class Entities:
    """Entities and mentions in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def replace(
        self,
        case: str,
        evidence: int,
        mentions: Sequence[MentionDraft],
        *,
        pois: Sequence[PoiRow],
        relations: Sequence[RelationDraft] = (),
    ) -> int:
        """Make these the mentions and relations of the evidence; returns how many entities they name.

        An entity that is there keeps its name and status. Suggestions that nothing names any more go.

        Raises:
            PoisChanged: The case has other persons of interest now than `pois`, which were looked for.
                Nothing was stored.
        """
        of_evidence = select(CHUNKS.c.id).where(CHUNKS.c.evidence_id == evidence)
        called = select(POIS.c.id, POIS.c.name, POIS.c.aliases).where(POIS.c.case_id == case)
        async with self._database.begin() as connection:
            await lock_mentions(connection, case)
            now = {row[0]: (row[1], row[2]) for row in await connection.execute(called)}
            if now != {poi.id: (poi.name, poi.aliases) for poi in pois}:
                raise PoisChanged
            before = set(
                await connection.scalars(
                    select(MENTIONS.c.entity_id).where(MENTIONS.c.chunk_id.in_(of_evidence)).distinct()
                )
            )
            await connection.execute(delete(MENTIONS).where(MENTIONS.c.chunk_id.in_(of_evidence)))
            ids = await self._put(connection, case, mentions)
            await replace_relations(connection, case, evidence, relations, ids)
            await forget_unnamed(connection, case, before - set(ids.values()))
        return len(ids)

    async def _put(
        self, connection: AsyncConnection, case: str, mentions: Sequence[MentionDraft]
    ) -> dict[tuple[str, str], int]:
        wanted = {(m.kind, m.key): (m.kind, m.key, m.name, m.poi) for m in reversed(mentions)}
        ids = await self._upsert(connection, case, list(wanted.values()))
        rows = {(m.chunk, m.start, ids[m.kind, m.key]): m.end for m in mentions}
        await add_mentions(connection, [(*place, end) for place, end in rows.items()])
        return ids

    async def _upsert(
        self, connection: AsyncConnection, case: str, wanted: Sequence[tuple[str, str, str, int]]
    ) -> dict[tuple[str, str], int]:
        """Ids of entities by kind and key, made where missing."""
        if not wanted:
            return {}
        # In one order for everyone, so that two writers wait for each other but never in a circle.
        values = [
            {
                "case_id": case,
                "kind": kind,
                "key": key,
                "name": name,
                "status": "accepted" if poi else "suggested",
                "poi_id": poi or None,
            }
            for kind, key, name, poi in sorted(wanted)
        ]
        query = upsert(ENTITIES)
        query = query.on_conflict_do_update(
            index_elements=["case_id", "kind", "key"],
            # Who was found to be a person of interest stays that one.
            set_={"poi_id": func.coalesce(query.excluded.poi_id, ENTITIES.c.poi_id)},
        )
        rows = await connection.execute(
            query.returning(ENTITIES.c.kind, ENTITIES.c.key, ENTITIES.c.id), values
        )
        return {(row[0], row[1]): row[2] for row in rows}


async def add_mentions(connection: AsyncConnection, rows: Sequence[tuple[int, int, int, int]]) -> None:
    """Add mentions: chunk, start, entity and end of each."""
    if rows:
        chunks, starts, entities, ends = map(list, zip(*rows, strict=True))
        values = {"chunks": chunks, "starts": starts, "entities": entities, "ends": ends}
        await connection.execute(_ADD_MENTIONS, values)


async def forget_unnamed(connection: AsyncConnection, case: str, entities: set[int]) -> None:
    """Delete those of the entities that nothing names any more, unless a person has judged them."""
    if not entities:
        return
    named = select(MENTIONS.c.chunk_id).where(MENTIONS.c.entity_id == ENTITIES.c.id).exists()
    await connection.execute(
        delete(ENTITIES).where(
            ENTITIES.c.case_id == case,
            ENTITIES.c.id.in_(entities),
            or_(ENTITIES.c.status == "suggested", ENTITIES.c.kind == "poi"),
            ~named,
        )
    )
