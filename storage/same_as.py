"""Which names of a case people found to be the same: kept, joined in the graph, taken back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, Table, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.judgements import UnknownEntity
from storage.locks import lock_mentions
from storage.pois import UnknownPoi
from storage.schema import SameAs

_tables = SameAs.metadata.tables
SAME_AS: Table = _tables["same_as"]
ENTITIES: Table = _tables["entities"]
MENTIONS: Table = _tables["mentions"]
CHUNKS: Table = _tables["chunks"]
POIS: Table = _tables["pois"]

Verdict = Literal["same", "unsure", "different"]

MOST_ALIASES = 50
"""As many other names a person of interest may have."""


@dataclass(frozen=True)
class Pair:
    """An entity and what it may be: another entity (`entity` < `other`) or a person of interest."""

    entity: int
    other: int | None = None
    poi: int | None = None

    @classmethod
    def of(cls, entity: int, *, other: int | None = None, poi: int | None = None) -> Pair:
        """The pair in its one order.

        Raises:
            ValueError: Not exactly one of `other` and `poi` is told, or the two are one.
        """
        if (other is None) == (poi is None) or entity == other:
            raise ValueError("a pair is an entity and either another entity or a person of interest")
        if other is not None and other < entity:
            entity, other = other, entity
        return cls(entity, other, poi)


@dataclass(frozen=True)
class VerdictRow:
    """What somebody said of a pair; `reasons` are what spoke for it then."""

    id: int
    pair: Pair
    verdict: Verdict
    reasons: list[float]
    user: str
    at: datetime


@dataclass(frozen=True)
class Judged:
    """A verdict that was kept or taken back; `poi` is to be looked for again, 0 for nobody."""

    id: int
    poi: int


@dataclass(frozen=True)
class _Entity:
    id: int
    name: str
    status: str
    poi: int | None


class AlreadyJudged(Exception):
    """Somebody has judged the pair."""

    def __init__(self) -> None:
        super().__init__("these two names have been judged already; read the list again")


class SomebodyElse(Exception):
    """The entity is another person of interest."""

    def __init__(self) -> None:
        super().__init__("that name is another person of interest already; take that back first")


class UnknownVerdict(Exception):
    """The case has no such verdict."""

    def __init__(self) -> None:
        super().__init__("the case has no such verdict; it may have been taken back")


class SameNames:
    """Verdicts in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def of_case(self, case: str) -> list[VerdictRow]:
        """All verdicts of a case, the oldest first."""
        query = select(SAME_AS).where(SAME_AS.c.case_id == case).order_by(SAME_AS.c.id)
        async with self._database.connect() as connection:
            return [
                VerdictRow(
                    row.id,
                    Pair(row.entity, row.other, row.poi),
                    row.verdict,
                    row.reasons,
                    row.user_id,
                    row.at,
                )
                for row in await connection.execute(query)
            ]

    async def judge(
        self, case: str, pair: Pair, verdict: Verdict, reasons: Sequence[float], user: str
    ) -> Judged:
        """Keep a verdict. `same` makes an entity the person of interest, who gets its name as another one.

        A name of one word becomes no other name: it would be found within everybody's.

        Raises:
            UnknownEntity, UnknownPoi: The case has no such ones.
            AlreadyJudged: There is a verdict, which is not `unsure`.
            SomebodyElse: The entity is another person of interest.
        """
        values = {
            "case_id": case,
            "entity": pair.entity,
            "other": pair.other,
            "poi": pair.poi,
            "verdict": verdict,
            "reasons": list(reasons),
            "user_id": user,
            "status": "",
            "alias": "",
        }
        async with self._database.begin() as connection:
            await lock_mentions(connection, case)
            entity = await _entity(connection, case, pair.entity)
            other = await _entity(connection, case, pair.other) if pair.other is not None else None
            await _clear_unsure(connection, pair)
            if verdict == "same" and pair.poi is not None:
                values |= await _become(connection, case, entity, pair.poi)
            elif pair.poi is not None:
                await _aliases(connection, case, pair.poi)
            elif verdict == "same":
                assert other is not None
                if None not in (entity.poi, other.poi) and entity.poi != other.poi:
                    raise SomebodyElse
            made = await connection.scalar(insert(SAME_AS).values(values).returning(SAME_AS.c.id))
        return Judged(int(made or 0), (pair.poi or 0) if values["alias"] else 0)

    async def take_back(self, case: str, verdict: int) -> Judged:
        """Undo a verdict: all is as it was before it, for what was linked since then as well.

        Raises:
            UnknownVerdict: The case has none of that id.
        """
        gone = delete(SAME_AS).where(SAME_AS.c.id == verdict, SAME_AS.c.case_id == case).returning(*SAME_AS.c)
        async with self._database.begin() as connection:
            await lock_mentions(connection, case)
            row = (await connection.execute(gone)).one_or_none()
            if row is None:
                raise UnknownVerdict
            if row.verdict != "same" or row.poi is None:
                return Judged(row.id, 0)
            mine = ENTITIES.c.id == row.entity
            await connection.execute(update(ENTITIES).where(mine).values(poi_id=None, status=row.status))
            if row.alias:
                aliases = [one for one in await _aliases(connection, case, row.poi) if one != row.alias]
                await connection.execute(update(POIS).where(POIS.c.id == row.poi).values(aliases=aliases))
                await _hand_back(connection, case, row)
        return Judged(row.id, row.poi if row.alias else 0)


def _verdict(row: Row[Any]) -> VerdictRow:
    pair = Pair(row.entity, row.other, row.poi)
    return VerdictRow(row.id, pair, row.verdict, row.reasons, row.user_id, row.at)


async def _entity(connection: AsyncConnection, case: str, entity: int) -> _Entity:
    query = select(ENTITIES.c.id, ENTITIES.c.name, ENTITIES.c.status, ENTITIES.c.poi_id).where(
        ENTITIES.c.id == entity,
        ENTITIES.c.case_id == case,
        ENTITIES.c.kind != "poi",
        ENTITIES.c.status != "rejected",
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise UnknownEntity
    return _Entity(*row)


async def _aliases(connection: AsyncConnection, case: str, poi: int) -> list[str]:
    query = select(POIS.c.aliases).where(POIS.c.id == poi, POIS.c.case_id == case).with_for_update()
    aliases: list[str] | None = await connection.scalar(query)
    if aliases is None:
        raise UnknownPoi
    return aliases


async def _clear_unsure(connection: AsyncConnection, pair: Pair) -> None:
    mine = [
        SAME_AS.c.entity == pair.entity,
        SAME_AS.c.other.is_not_distinct_from(pair.other),
        SAME_AS.c.poi.is_not_distinct_from(pair.poi),
    ]
    await connection.execute(delete(SAME_AS).where(*mine, SAME_AS.c.verdict == "unsure"))
    if await connection.scalar(select(SAME_AS.c.id).where(*mine)) is not None:
        raise AlreadyJudged


async def _become(connection: AsyncConnection, case: str, entity: _Entity, poi: int) -> dict[str, str]:
    """Make the entity the person of interest; returns what is needed to take that back."""
    name = entity.name
    if entity.poi is not None and entity.poi != poi:
        raise SomebodyElse
    aliases = await _aliases(connection, case, poi)
    called = await connection.scalar(select(POIS.c.name).where(POIS.c.id == poi))
    known = {one.casefold() for one in (str(called), *aliases)}
    several = len(name.split()) > 1 or "@" in name
    alias = name if several and name.casefold() not in known and len(aliases) < MOST_ALIASES else ""
    if alias:
        await connection.execute(update(POIS).where(POIS.c.id == poi).values(aliases=[*aliases, alias]))
    # Accepted, so that it stays when later readings of its evidence give its places to the person.
    mine = update(ENTITIES).where(ENTITIES.c.id == entity.id)
    await connection.execute(mine.values(poi_id=poi, status="accepted"))
    return {"status": entity.status, "alias": alias}


async def _hand_back(connection: AsyncConnection, case: str, row: Row[Any]) -> None:
    """Places that the person of interest has only by the name that is gone are the entity's again."""
    length = MENTIONS.c.end - MENTIONS.c.start
    shown = func.substr(CHUNKS.c.text, MENTIONS.c.start - CHUNKS.c.start + 1, length)
    poi = select(ENTITIES.c.id).where(
        ENTITIES.c.case_id == case, ENTITIES.c.kind == "poi", ENTITIES.c.key == str(row.poi)
    )
    there = MENTIONS.alias("there")
    taken = select(there.c.chunk_id).where(
        there.c.chunk_id == MENTIONS.c.chunk_id,
        there.c.start == MENTIONS.c.start,
        there.c.entity_id == row.entity,
    )
    await connection.execute(
        update(MENTIONS)
        .where(
            MENTIONS.c.entity_id.in_(poi),
            MENTIONS.c.chunk_id == CHUNKS.c.id,
            func.lower(shown) == row.alias.lower(),
            ~taken.exists(),
        )
        .values(entity_id=row.entity)
    )


class Joined:
    """Entities that are the same, as groups: each with the least id of its group."""

    def __init__(self, pairs: Iterable[tuple[int, int]]) -> None:
        self._least: dict[int, int] = {}
        for a, b in pairs:
            one, two = sorted((self.of(a), self.of(b)))
            self._least[two] = one
            self._least.setdefault(one, one)
        self.members: Mapping[int, list[int]] = self._members()

    def of(self, entity: int) -> int:
        """The least id of the entity's group; its own where it has none."""
        while (least := self._least.get(entity, entity)) != entity:
            entity = least
        return entity

    def group(self, entity: int) -> list[int]:
        """All that are the entity, itself among them, rising."""
        return self.members.get(self.of(entity), [entity])

    def _members(self) -> Mapping[int, list[int]]:
        found: dict[int, list[int]] = defaultdict(list)
        for entity in sorted(self._least):
            found[self.of(entity)].append(entity)
        return found


__all__ = [
    "AlreadyJudged",
    "Joined",
    "Judged",
    "Pair",
    "SameNames",
    "SomebodyElse",
    "UnknownVerdict",
    "Verdict",
    "VerdictRow",
]
