"""What the evidence of a case names, as people see it and judge it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Table, and_, func, or_, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncEngine

from storage import hidden
from storage.schema import Entity

ENTITIES: Table = Entity.metadata.tables["entities"]
MENTIONS: Table = Entity.metadata.tables["mentions"]

Judgement = Literal["suggested", "accepted", "rejected"]


class UnknownEntity(Exception):
    """There is no such entity."""

    def __init__(self) -> None:
        super().__init__("there is no such entity")


@dataclass(frozen=True)
class EntityRow:
    """An entity; `mentions` counts its places, `poi` is the person of interest that it is."""

    id: int
    kind: str
    name: str
    status: Judgement
    mentions: int
    poi: int | None


class Judgements:
    """Entities with what people think of them, in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def of_case(
        self,
        case: str,
        *,
        status: Judgement | None = None,
        kind: str | None = None,
        after: tuple[int, str, int] | None = None,
        limit: int | None = None,
    ) -> list[EntityRow]:
        """The entities of a case: the most often mentioned first, ties by name and id.

        Mere names, of which capital letters are all that is known, are listed where their kind is
        asked for; otherwise only those that somebody has judged.

        Args:
            after: Mentions, name and id of a row; only what comes behind it.
        """
        places = func.count(MENTIONS.c.chunk_id)
        query = _entities(case).where(
            ENTITIES.c.case_id == case, text(f"entities.id NOT IN {hidden.ENTITIES}").bindparams(case=case)
        )
        if status is not None:
            query = query.where(ENTITIES.c.status == status)
        if kind is not None:
            query = query.where(ENTITIES.c.kind == kind)
        else:
            query = query.where(or_(ENTITIES.c.kind != "name", ENTITIES.c.status != "suggested"))
        if after is not None:
            mentions, name, entity = after
            ties = and_(places == mentions, tuple_(ENTITIES.c.name, ENTITIES.c.id) > tuple_(name, entity))
            query = query.having(or_(places < mentions, ties))
        query = query.order_by(places.desc(), ENTITIES.c.name, ENTITIES.c.id).limit(limit)
        async with self._database.connect() as connection:
            return [EntityRow(*row) for row in await connection.execute(query)]

    async def case_of(self, entity: int) -> str:
        """The case that an entity belongs to.

        Raises:
            UnknownEntity: There is none of that id.
        """
        async with self._database.connect() as connection:
            case: str | None = await connection.scalar(
                select(ENTITIES.c.case_id).where(ENTITIES.c.id == entity)
            )
        if case is None:
            raise UnknownEntity
        return case

    async def judge(self, entity: int, status: Judgement) -> EntityRow:
        """Accept or reject an entity, or take that back.

        Raises:
            UnknownEntity: There is none of that id.
        """
        async with self._database.begin() as connection:
            await connection.execute(update(ENTITIES).where(ENTITIES.c.id == entity).values(status=status))
            case = await connection.scalar(select(ENTITIES.c.case_id).where(ENTITIES.c.id == entity))
            if case is None:
                raise UnknownEntity
            row = (await connection.execute(_entities(case).where(ENTITIES.c.id == entity))).one()
        return EntityRow(*row)


def _entities(case: str) -> Any:
    shown = text(f"mentions.chunk_id NOT IN {hidden.CHUNKS}").bindparams(case=case)
    return (
        select(
            ENTITIES.c.id,
            ENTITIES.c.kind,
            ENTITIES.c.name,
            ENTITIES.c.status,
            func.count(MENTIONS.c.chunk_id),
            ENTITIES.c.poi_id,
        )
        .outerjoin(MENTIONS, and_(MENTIONS.c.entity_id == ENTITIES.c.id, shown))
        .group_by(ENTITIES.c.id)
    )
