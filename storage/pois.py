"""Persons of interest: names, and the other names they go by, entered by people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Table, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.findings import forget_node
from storage.locks import lock_mentions
from storage.request_keys import Once, once
from storage.schema import Poi

_tables = Poi.metadata.tables
POIS: Table = _tables["pois"]
ENTITIES: Table = _tables["entities"]

_COLUMNS = (POIS.c.id, POIS.c.name, POIS.c.aliases, POIS.c.note, POIS.c.machine, POIS.c.created_at)


class UnknownPoi(Exception):
    """The case has no such person of interest."""

    def __init__(self) -> None:
        super().__init__("the case has no such person of interest")


@dataclass(frozen=True)
class PoiRow:
    """A person of interest of one case; `id` names a node of its graph.

    Attributes:
        machine: Id of the machine that looks for the person; "" until it was looked for.
    """

    id: int
    name: str
    aliases: list[str]
    note: str
    machine: str
    created_at: datetime


class Pois:
    """Persons of interest in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def of_case(self, case: str) -> list[PoiRow]:
        """All of a case, by name."""
        query = select(*_COLUMNS).where(POIS.c.case_id == case).order_by(POIS.c.name, POIS.c.id)
        async with self._database.connect() as connection:
            return [PoiRow(*row) for row in await connection.execute(query)]

    async def add(
        self,
        case: str,
        name: str,
        aliases: Sequence[str],
        note: str,
        *,
        machine: str = "",
        request: Once | None = None,
    ) -> PoiRow:
        """Enter a person; a repeated `request` enters none and gets the row of the first one.

        Raises:
            KeyReused: The key of `request` stands for another one.
        """
        values = {"case_id": case, "name": name, "aliases": list(aliases), "note": note}
        values["machine"] = machine
        async with self._database.begin() as connection:

            async def make() -> dict[str, Any]:
                row = (await connection.execute(insert(POIS).values(values).returning(*_COLUMNS))).one()
                return asdict(PoiRow(*row)) | {"created_at": row.created_at.isoformat()}

            made, _ = await once(connection, request, make)
        return PoiRow(**{"machine": ""} | made | {"created_at": datetime.fromisoformat(made["created_at"])})

    async def change(self, case: str, poi: int, name: str, aliases: Sequence[str], note: str) -> PoiRow:
        """Replace what is known of a person.

        Raises:
            UnknownPoi: The case has no such person.
        """
        query = (
            update(POIS)
            .where(POIS.c.id == poi, POIS.c.case_id == case)
            .values(name=name, aliases=list(aliases), note=note)
            .returning(*_COLUMNS)
        )
        async with self._database.begin() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise UnknownPoi
        return PoiRow(*row)

    async def assign(self, case: str, poi: int, machine: str) -> str:
        """Note the machine that looks for a person, unless there is one; returns which one it is.

        Raises:
            UnknownPoi: The case has no such person.
        """
        mine = and_(POIS.c.id == poi, POIS.c.case_id == case)
        async with self._database.begin() as connection:
            await connection.execute(update(POIS).where(mine, POIS.c.machine == "").values(machine=machine))
            assigned: str | None = await connection.scalar(select(POIS.c.machine).where(mine))
        if assigned is None:
            raise UnknownPoi
        return assigned

    async def remove(self, case: str, poi: int) -> str:
        """Forget a person and where it is named; returns the id of the machine that looked for it.

        Raises:
            UnknownPoi: The case has no such person.
        """
        entity = and_(ENTITIES.c.case_id == case, ENTITIES.c.kind == "poi", ENTITIES.c.key == str(poi))
        async with self._database.begin() as connection:
            await lock_mentions(connection, case)
            gone = await connection.execute(
                delete(POIS).where(POIS.c.id == poi, POIS.c.case_id == case).returning(POIS.c.machine)
            )
            machine: str | None = gone.scalar_one_or_none()
            if machine is None:
                raise UnknownPoi
            await connection.execute(delete(ENTITIES).where(entity))
            await forget_node(connection, poi)
        return machine
