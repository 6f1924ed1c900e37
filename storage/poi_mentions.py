"""Where one person of interest is named: searched and replaced stretch by stretch, while others link."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import Table, and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.entities import add_mentions, forget_unnamed
from storage.locks import lock_mentions
from storage.relations import hand_over_relations
from storage.schema import Entity

_tables = Entity.metadata.tables
ENTITIES: Table = _tables["entities"]
MENTIONS: Table = _tables["mentions"]
CHUNKS: Table = _tables["chunks"]
EVIDENCE: Table = _tables["evidence"]
POIS: Table = _tables["pois"]


@dataclass(frozen=True)
class Passage:
    """A chunk that may name the person; `start` is where it begins in the text of its evidence."""

    chunk: int
    evidence: int
    page: int
    start: int
    text: str


@dataclass(frozen=True)
class PersonPlace:
    """What stands where a person is mentioned who is no POI, or is the POI already.

    Attributes:
        entity: Of that person.
        shown: What is written there.
        passage: The chunk, without its text where it is not needed.
    """

    entity: int
    name: str
    shown: str
    passage: Passage
    start: int
    end: int


class Stretch:
    """Some chunks of a case, first to last by id, inside the transaction that replaces their mentions."""

    def __init__(self, connection: AsyncConnection, case: str, poi: int, first: int, last: int) -> None:
        self._connection = connection
        self._case = case
        self._poi = poi
        self._here = and_(CHUNKS.c.case_id == case, CHUNKS.c.id.between(first, last))

    async def passages(self, words: Sequence[str]) -> list[Passage]:
        """The chunks that hold one of the words in whatever case, by id."""
        if not words:
            return []
        holds = or_(*(CHUNKS.c.text.icontains(word, autoescape=True) for word in words))
        query = (
            select(CHUNKS.c.id, CHUNKS.c.evidence_id, CHUNKS.c.page, CHUNKS.c.start, CHUNKS.c.text)
            .where(self._here, holds)
            .order_by(CHUNKS.c.id)
        )
        return [Passage(*row) for row in await self._connection.execute(query)]

    async def called(self) -> tuple[str, list[str]] | None:
        """Name and aliases of the person now; None when it is none any more."""
        mine = and_(POIS.c.id == self._poi, POIS.c.case_id == self._case)
        query = select(POIS.c.name, POIS.c.aliases).where(mine)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else (row.name, row.aliases)

    async def before(self) -> list[PersonPlace]:
        """Where the person was known to be named until now."""
        return await self._places(and_(ENTITIES.c.kind == "poi", ENTITIES.c.key == str(self._poi)))

    async def people(self, entities: Iterable[int]) -> list[PersonPlace]:
        """Where these people, who are no POIs, are named."""
        wanted = list(entities)
        return await self._places(ENTITIES.c.id.in_(wanted)) if wanted else []

    async def names(self) -> dict[int, str]:
        """The people named here who are neither POIs nor rejected: id → name."""
        query = (
            select(ENTITIES.c.id, ENTITIES.c.name)
            .join(MENTIONS, MENTIONS.c.entity_id == ENTITIES.c.id)
            .join(CHUNKS, CHUNKS.c.id == MENTIONS.c.chunk_id)
            .where(
                self._here,
                ENTITIES.c.case_id == self._case,
                ENTITIES.c.kind == "person",
                ENTITIES.c.status != "rejected",
                ENTITIES.c.poi_id.is_(None),
            )
            .distinct()
        )
        return {row[0]: row[1] for row in await self._connection.execute(query)}

    async def joined(self) -> list[tuple[int, int, int]]:
        """Places `(chunk, start, end)` of the entities that people found to be the person: theirs stay."""
        query = (
            select(MENTIONS.c.chunk_id, MENTIONS.c.start, MENTIONS.c.end)
            .join(ENTITIES, ENTITIES.c.id == MENTIONS.c.entity_id)
            .join(CHUNKS, CHUNKS.c.id == MENTIONS.c.chunk_id)
            .where(self._here, ENTITIES.c.poi_id == self._poi, ENTITIES.c.kind == "person")
            .order_by(MENTIONS.c.chunk_id, MENTIONS.c.start)
        )
        return [(row[0], row[1], row[2]) for row in await self._connection.execute(query)]

    async def replace(self, name: str, places: Iterable[tuple[int, int, int]]) -> None:
        """Make these `(chunk, start, end)` the person's only mentions here.

        Mentions of people in the same places go: there the person is the POI.
        """
        rows = {(chunk, start): end for chunk, start, end in places}
        entity = await self._entity(name, make=bool(rows))
        if entity is None:
            return
        here = select(CHUNKS.c.id).where(self._here)
        await self._connection.execute(
            delete(MENTIONS).where(MENTIONS.c.entity_id == entity, MENTIONS.c.chunk_id.in_(here))
        )
        if not rows:
            return
        mentions = [(chunk, start, entity, end) for (chunk, start), end in sorted(rows.items())]
        await add_mentions(self._connection, mentions)
        await self._give_way(entity)

    async def _places(self, whose: object) -> list[PersonPlace]:
        length = MENTIONS.c.end - MENTIONS.c.start
        shown = func.substr(CHUNKS.c.text, MENTIONS.c.start - CHUNKS.c.start + 1, length)
        query = (
            select(
                ENTITIES.c.id,
                ENTITIES.c.name,
                shown,
                CHUNKS.c.id,
                CHUNKS.c.evidence_id,
                CHUNKS.c.page,
                CHUNKS.c.start,
                CHUNKS.c.text,
                MENTIONS.c.start,
                MENTIONS.c.end,
            )
            .join(MENTIONS, MENTIONS.c.entity_id == ENTITIES.c.id)
            .join(CHUNKS, CHUNKS.c.id == MENTIONS.c.chunk_id)
            .where(self._here, ENTITIES.c.case_id == self._case, whose)  # type: ignore[arg-type]
            .order_by(CHUNKS.c.id, MENTIONS.c.start)
        )
        return [
            PersonPlace(row[0], row[1], row[2], Passage(*row[3:8]), row[8], row[9])
            for row in await self._connection.execute(query)
        ]

    async def _entity(self, name: str, *, make: bool) -> int | None:
        there = and_(
            ENTITIES.c.case_id == self._case, ENTITIES.c.kind == "poi", ENTITIES.c.key == str(self._poi)
        )
        if not make:
            found: int | None = await self._connection.scalar(select(ENTITIES.c.id).where(there))
            return found
        values = {
            "case_id": self._case,
            "kind": "poi",
            "key": str(self._poi),
            "name": name,
            "status": "accepted",
            "poi_id": self._poi,
        }
        query = upsert(ENTITIES).values(values)
        query = query.on_conflict_do_update(
            index_elements=["case_id", "kind", "key"],
            set_={"poi_id": query.excluded.poi_id, "name": query.excluded.name},
        )
        return int((await self._connection.execute(query.returning(ENTITIES.c.id))).scalar_one())

    async def _give_way(self, entity: int) -> None:
        mine = MENTIONS.alias("mine")
        overlapped = (
            select(mine.c.chunk_id)
            .join(CHUNKS, CHUNKS.c.id == mine.c.chunk_id)
            .where(
                self._here,
                mine.c.entity_id == entity,
                mine.c.chunk_id == MENTIONS.c.chunk_id,
                MENTIONS.c.start < mine.c.end,
                mine.c.start < MENTIONS.c.end,
            )
            .exists()
        )
        people = select(ENTITIES.c.id).where(
            ENTITIES.c.case_id == self._case,
            ENTITIES.c.kind == "person",
            ENTITIES.c.poi_id.is_distinct_from(self._poi),
        )
        here = select(CHUNKS.c.id).where(self._here)
        gone = await self._connection.execute(
            delete(MENTIONS)
            .where(MENTIONS.c.chunk_id.in_(here), MENTIONS.c.entity_id.in_(people), overlapped)
            .returning(MENTIONS.c.entity_id, MENTIONS.c.chunk_id)
        )
        gave_way = [(row[0], row[1]) for row in gone]
        people_before = {person for person, _ in gave_way}
        if gave_way:
            chunks = sorted({chunk for _, chunk in gave_way})
            await hand_over_relations(self._connection, chunks, sorted(people_before), entity)
        await forget_unnamed(self._connection, self._case, people_before)


class PoiMentions:
    """The mentions of one person of interest after the other, in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def count(self, case: str) -> int:
        """How many chunks a case has."""
        query = select(func.count()).select_from(CHUNKS).where(CHUNKS.c.case_id == case)
        async with self._database.connect() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def chunks(self, case: str) -> list[int]:
        """The ids of all chunks of a case, in order."""
        query = select(CHUNKS.c.id).where(CHUNKS.c.case_id == case).order_by(CHUNKS.c.id)
        async with self._database.connect() as connection:
            return list(await connection.scalars(query))

    @asynccontextmanager
    async def stretch(self, case: str, poi: int, first: int, last: int) -> AsyncIterator[Stretch]:
        """The chunks of a case from one id to another, for as long as it takes to replace the mentions.

        Nobody else writes mentions of the case meanwhile: be quick. All is kept, or nothing if this raises.
        """
        async with self._database.begin() as connection:
            await lock_mentions(connection, case)
            yield Stretch(connection, case, poi, first, last)

    async def finish(self, case: str, poi: int, name: str) -> None:
        """After the last stretch: the person is shown by its name, or not at all if nothing names it."""
        async with self._database.begin() as connection:
            await lock_mentions(connection, case)
            there = and_(ENTITIES.c.case_id == case, ENTITIES.c.kind == "poi", ENTITIES.c.key == str(poi))
            entity = await connection.scalar(select(ENTITIES.c.id).where(there))
            if entity is None:
                return
            named = select(MENTIONS.c.chunk_id).where(MENTIONS.c.entity_id == entity).limit(1)
            if await connection.scalar(named) is None:
                await connection.execute(delete(ENTITIES).where(there))
            else:
                await connection.execute(update(ENTITIES).where(there).values(name=name))

    async def titles(self, evidence: Iterable[int]) -> dict[int, str]:
        """The titles of pieces of evidence by id; what is out of sight has none."""
        query = select(EVIDENCE.c.id, EVIDENCE.c.title).where(
            EVIDENCE.c.id.in_(list(evidence)), EVIDENCE.c.hidden_at.is_(None)
        )
        async with self._database.connect() as connection:
            return {row[0]: row[1] for row in await connection.execute(query)}
