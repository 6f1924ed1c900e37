"""The people who can log in."""

from __future__ import annotations

from dataclasses import dataclass
from secrets import token_hex

from sqlalchemy import Table, any_, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.batch import Batch
from storage.database import texts
from storage.schema import User

USERS: Table = User.metadata.tables["users"]

_FIRST_USER_LOCK = 0x7573_6572
"""Advisory lock: of two people who register at the same moment only one is the first."""


class EmailTaken(Exception):
    """Somebody has an account of that address."""

    def __init__(self, email: str) -> None:
        super().__init__("there is an account with this e-mail address already")
        self.email = email


class RegistrationClosed(Exception):
    """Accounts exist, and no further ones may be made."""

    def __init__(self) -> None:
        super().__init__("registration is closed on this server")


@dataclass(frozen=True)
class Person:
    """An account without its secret."""

    id: str
    email: str
    name: str
    is_admin: bool


def normal_email(email: str) -> str:
    """The form in which addresses are stored and compared: trimmed, in lower case."""
    return email.strip().lower()


class People:
    """Accounts in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._accounts = Batch(self._get_all)

    async def register(self, email: str, name: str, password_hash: str, *, open_to_all: bool) -> Person:
        """Create an account; the first one of an instance administers it.

        Raises:
            EmailTaken: Nothing was created.
            RegistrationClosed: Not `open_to_all`, and this would not be the first account.
        """
        email = normal_email(email)
        async with self._database.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _FIRST_USER_LOCK})
            first = not await connection.scalar(select(select(USERS.c.id).exists()))
            if not first and not open_to_all:
                raise RegistrationClosed
            person = Person(id=token_hex(10), email=email, name=name.strip(), is_admin=first)
            try:
                await connection.execute(
                    insert(USERS).values(
                        id=person.id,
                        email=email,
                        name=person.name,
                        password_hash=password_hash,
                        is_admin=first,
                    )
                )
            except IntegrityError as error:
                raise EmailTaken(email) from error
        return person

    async def get(self, user: str) -> Person | None:
        """The account of an id."""
        return await self._accounts.get(user)

    async def _get_all(self, users: list[str]) -> dict[str, Person]:
        query = select(USERS.c.id, USERS.c.email, USERS.c.name, USERS.c.is_admin)
        async with self._database.connect() as connection:
            rows = await connection.execute(query.where(USERS.c.id == any_(texts(users))))
            return {row[0]: Person(*row) for row in rows}

    async def by_email(self, email: str) -> tuple[Person, str] | None:
        """The account of an address with its password hash."""
        columns = (USERS.c.id, USERS.c.email, USERS.c.name, USERS.c.is_admin, USERS.c.password_hash)
        query = select(*columns).where(USERS.c.email == normal_email(email))
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else (Person(*row[:4]), row[4])

    async def replace_hash(self, user: str, password_hash: str) -> None:
        """Store a hash of the same password made with stronger parameters."""
        async with self._database.begin() as connection:
            await connection.execute(
                USERS.update().where(USERS.c.id == user).values(password_hash=password_hash)
            )

    async def any(self) -> bool:
        """Whether there is an account at all."""
        async with self._database.connect() as connection:
            return bool(await connection.scalar(select(select(USERS.c.id).exists())))
