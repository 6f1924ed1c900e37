"""What the owners of cases have agreed to: hosts beyond this machine that may get a case's text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Table, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.schema import Consent

CONSENTS: Table = Consent.metadata.tables["consents"]


@dataclass(frozen=True)
class ConsentRow:
    """A host that a user let a case's text go to, since when."""

    host: str
    user_id: str
    at: datetime


class CaseConsents:
    """`handlers.models.Consents` in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def given(self, case: str, host: str) -> bool:
        """Whether text of the case may go to the host."""
        query = select(CONSENTS.c.host).where(CONSENTS.c.case_id == case, CONSENTS.c.host == host)
        async with self._database.connect() as connection:
            return await connection.scalar(query) is not None

    async def of_case(self, case: str) -> list[ConsentRow]:
        """All that was agreed to, by host."""
        query = (
            select(CONSENTS.c.host, CONSENTS.c.user_id, CONSENTS.c.at)
            .where(CONSENTS.c.case_id == case)
            .order_by(CONSENTS.c.host)
        )
        async with self._database.connect() as connection:
            return [ConsentRow(*row) for row in await connection.execute(query)]

    async def give(self, case: str, host: str, user: str) -> None:
        """Let the case's text go to the host; whoever agreed first stays named.

        Raises:
            sqlalchemy.exc.IntegrityError: There is no such case.
        """
        values = {"case_id": case, "host": host, "user_id": user}
        async with self._database.begin() as connection:
            await connection.execute(insert(CONSENTS).values(values).on_conflict_do_nothing())

    async def take_back(self, case: str, host: str) -> None:
        """Let nothing more go there; what has gone has gone."""
        async with self._database.begin() as connection:
            await connection.execute(
                delete(CONSENTS).where(CONSENTS.c.case_id == case, CONSENTS.c.host == host)
            )
