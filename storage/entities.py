"""Entities of a case and where its evidence mentions them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Table, and_, delete, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.schema import Entity

_tables = Entity.metadata.tables
ENTITIES: Table = _tables["entities"]
MENTIONS: Table = _tables["mentions"]
CHUNKS: Table = _tables["chunks"]


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


@dataclass(frozen=True)
class PlacedText:
    """The text of a chunk and where it begins in its evidence's."""

    chunk: int
    start: int
    text: str


@dataclass(frozen=True)
class KnownPerson:
    """A person of a case who is no POI."""

    id: int
    name: str


class Entities:
    """Entities and mentions in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def replace(self, case: str, evidence: int, mentions: Sequence[MentionDraft]) -> int:
        """Make these the mentions of the evidence; returns how many entities they name.

        An entity that is there keeps its name and status. Suggestions that nothing names any more go.
        """
        of_evidence = select(CHUNKS.c.id).where(CHUNKS.c.evidence_id == evidence)
        async with self._database.begin() as connection:
            before = set(
                await connection.scalars(
                    select(MENTIONS.c.entity_id).where(MENTIONS.c.chunk_id.in_(of_evidence)).distinct()
                )
            )
            await connection.execute(delete(MENTIONS).where(MENTIONS.c.chunk_id.in_(of_evidence)))
            ids = await self._put(connection, case, mentions)
            await self._forget_unnamed(connection, case, before - set(ids.values()))
        return len(ids)

    async def texts(self, case: str, words: Sequence[str], *, after: int, limit: int) -> list[PlacedText]:
        """Chunks above `after`, by id, that hold one of the words in whatever case."""
        if not words:
            return []
        holds = or_(*(CHUNKS.c.text.icontains(word, autoescape=True) for word in words))
        query = (
            select(CHUNKS.c.id, CHUNKS.c.start, CHUNKS.c.text)
            .where(CHUNKS.c.case_id == case, CHUNKS.c.id > after, holds)
            .order_by(CHUNKS.c.id)
            .limit(limit)
        )
        async with self._database.connect() as connection:
            return [PlacedText(*row) for row in await connection.execute(query)]

    async def people(self, case: str) -> list[KnownPerson]:
        """The people of a case, rejected ones aside."""
        query = select(ENTITIES.c.id, ENTITIES.c.name).where(
            ENTITIES.c.case_id == case, ENTITIES.c.kind == "person", ENTITIES.c.status != "rejected"
        )
        async with self._database.connect() as connection:
            return [KnownPerson(*row) for row in await connection.execute(query.order_by(ENTITIES.c.id))]

    async def places_of_poi(self, case: str, poi: int) -> list[MentionDraft]:
        """The mentions of a POI; `name` is what stands there."""
        length = MENTIONS.c.end - MENTIONS.c.start
        shown = func.substr(CHUNKS.c.text, MENTIONS.c.start - CHUNKS.c.start + 1, length)
        query = (
            select(shown, MENTIONS.c.chunk_id, MENTIONS.c.start, MENTIONS.c.end)
            .join(CHUNKS, CHUNKS.c.id == MENTIONS.c.chunk_id)
            .join(ENTITIES, ENTITIES.c.id == MENTIONS.c.entity_id)
            .where(ENTITIES.c.case_id == case, ENTITIES.c.kind == "poi", ENTITIES.c.key == str(poi))
            .order_by(MENTIONS.c.chunk_id, MENTIONS.c.start)
        )
        async with self._database.connect() as connection:
            return [MentionDraft("poi", str(poi), *row, poi) for row in await connection.execute(query)]

    async def set_poi(
        self,
        case: str,
        poi: int,
        name: str,
        mentions: Sequence[MentionDraft],
        same: Iterable[int] = (),
    ) -> None:
        """Make these, and those of the people `same`, the mentions of a POI.

        Mentions of people in the same places go: there the person is the POI.
        """
        same = list(same)
        async with self._database.begin() as connection:
            entity = (await self._upsert(connection, case, [("poi", str(poi), name, poi)]))["poi", str(poi)]
            await connection.execute(update(ENTITIES).where(ENTITIES.c.id == entity).values(name=name))
            taken = select(MENTIONS.c.chunk_id, MENTIONS.c.start, MENTIONS.c.end).where(
                MENTIONS.c.entity_id.in_(same)
            )
            rows = {(row[0], row[1]): row[2] for row in await connection.execute(taken)} if same else {}
            rows |= {(m.chunk, m.start): m.end for m in mentions}
            await connection.execute(delete(MENTIONS).where(MENTIONS.c.entity_id == entity))
            if not rows:
                await connection.execute(delete(ENTITIES).where(ENTITIES.c.id == entity))
                return
            values = [
                {"chunk_id": chunk, "start": start, "entity_id": entity, "end": end}
                for (chunk, start), end in sorted(rows.items())
            ]
            await connection.execute(insert(MENTIONS), values)
            await self._give_way(connection, case, entity)

    async def forget_poi(self, case: str, poi: int) -> None:
        """Drop the entity of a POI that is none any more."""
        async with self._database.begin() as connection:
            await connection.execute(
                delete(ENTITIES).where(
                    ENTITIES.c.case_id == case, ENTITIES.c.kind == "poi", ENTITIES.c.key == str(poi)
                )
            )

    async def _put(
        self, connection: AsyncConnection, case: str, mentions: Sequence[MentionDraft]
    ) -> dict[tuple[str, str], int]:
        wanted = {(m.kind, m.key): (m.kind, m.key, m.name, m.poi) for m in reversed(mentions)}
        ids = await self._upsert(connection, case, list(wanted.values()))
        rows = {(m.chunk, m.start, ids[m.kind, m.key]): m.end for m in mentions}
        if rows:
            values = [
                {"chunk_id": chunk, "start": start, "entity_id": entity, "end": end}
                for (chunk, start, entity), end in rows.items()
            ]
            await connection.execute(insert(MENTIONS), values)
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
            index_elements=["case_id", "kind", "key"], set_={"poi_id": query.excluded.poi_id}
        )
        rows = await connection.execute(
            query.returning(ENTITIES.c.kind, ENTITIES.c.key, ENTITIES.c.id), values
        )
        return {(row[0], row[1]): row[2] for row in rows}

    async def _give_way(self, connection: AsyncConnection, case: str, poi_entity: int) -> None:
        """Delete mentions of people that overlap the POI's, then suggestions that lost their last one."""
        mine = MENTIONS.alias("mine")
        person = MENTIONS.alias("person")
        overlapping = (
            select(person.c.chunk_id, person.c.start, person.c.entity_id)
            .join(mine, and_(mine.c.chunk_id == person.c.chunk_id, mine.c.entity_id == poi_entity))
            .join(ENTITIES, and_(ENTITIES.c.id == person.c.entity_id, ENTITIES.c.kind == "person"))
            .where(person.c.start < mine.c.end, mine.c.start < person.c.end)
        )
        rows = (await connection.execute(overlapping)).all()
        for chunk, start, entity in rows:
            await connection.execute(
                delete(MENTIONS).where(
                    MENTIONS.c.chunk_id == chunk, MENTIONS.c.start == start, MENTIONS.c.entity_id == entity
                )
            )
        await self._forget_unnamed(connection, case, {row[2] for row in rows})

    async def _forget_unnamed(self, connection: AsyncConnection, case: str, entities: set[int]) -> None:
        if not entities:
            return
        named = select(func.count()).where(MENTIONS.c.entity_id == ENTITIES.c.id).scalar_subquery()
        await connection.execute(
            delete(ENTITIES).where(
                ENTITIES.c.case_id == case,
                ENTITIES.c.id.in_(entities),
                or_(ENTITIES.c.status == "suggested", ENTITIES.c.kind == "poi"),
                named == 0,
            )
        )
