"""Cases with their members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    RowMapping,
    Select,
    Table,
    any_,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from machines.event import Role
from storage import hidden
from storage.batch import Batch
from storage.database import texts
from storage.people import USERS, Person, normal_email
from storage.request_keys import Once, once
from storage.schema import Case

_tables = Case.metadata.tables
CASES: Table = _tables["cases"]
MEMBERS: Table = _tables["members"]
EVIDENCE: Table = _tables["evidence"]


_COUNTS = text(
    f"""
    SELECT (SELECT count(*) FROM evidence WHERE case_id = :case AND hidden_at IS NULL),
           (SELECT count(*) FROM chunks WHERE case_id = :case AND evidence_id NOT IN {hidden.EVIDENCE}),
           (SELECT count(*) FROM entities
            WHERE case_id = :case AND status <> 'rejected' AND id NOT IN {hidden.ENTITIES})
    """
)


class UnknownPerson(Exception):
    """Nobody has an account of that address."""

    def __init__(self, email: str) -> None:
        super().__init__("nobody has registered with this e-mail address")
        self.email = email


class NotAMember(Exception):
    """The person has no role in the case."""

    def __init__(self) -> None:
        super().__init__("this person is not a member of the case")


class LastOwner(Exception):
    """A case always has an owner, so the last one can neither leave nor become less."""

    def __init__(self) -> None:
        super().__init__("a case needs an owner: make somebody else owner first")


@dataclass(frozen=True)
class CaseRow:
    """A case as its table knows it, seen by one of its members.

    Attributes:
        machine: Id of its machine, chosen before the machine exists.
        evidence: How many pieces of evidence it holds.
    """

    id: str
    title: str
    description: str
    machine: str
    created_at: datetime
    role: Role
    evidence: int


@dataclass(frozen=True)
class MemberRow:
    """A person with a role in one case."""

    user: Person
    role: Role


class Cases:
    """Cases and members in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._roles = Batch(self._roles_of_all)

    async def create(
        self,
        case: str,
        title: str,
        description: str,
        machine: str,
        owner: str,
        *,
        request: Once | None = None,
    ) -> CaseRow:
        """Store a case with its first owner, both or neither; the case as it was made.

        A repeated `request` stores nothing, and gets the case of the first one.

        Raises:
            KeyReused: The key of `request` stands for another one.
        """
        async with self._database.begin() as connection:

            async def make() -> dict[str, Any]:
                made = await connection.execute(
                    insert(CASES)
                    .values(id=case, title=title, description=description, machine=machine)
                    .returning(CASES.c.created_at)
                )
                await connection.execute(insert(MEMBERS).values(case_id=case, user_id=owner, role="owner"))
                row = CaseRow(case, title, description, machine, made.scalar_one(), "owner", 0)
                return asdict(row) | {"created_at": row.created_at.isoformat()}

            row, _ = await once(connection, request, make)
        return CaseRow(**row | {"created_at": datetime.fromisoformat(row["created_at"])})

    async def of_user(self, user: str, *, hidden: bool = False) -> list[CaseRow]:
        """Every case in which the user has a role, newest first; or those that wait to be deleted."""
        seen = CASES.c.hidden_at.is_not(None) if hidden else CASES.c.hidden_at.is_(None)
        async with self._database.connect() as connection:
            query = _cases_of(user).where(seen).order_by(CASES.c.created_at.desc(), CASES.c.id)
            rows = await connection.execute(query)
            return [_case(row) for row in rows.mappings()]

    async def titles_of(self, user: str) -> dict[str, str]:
        """The cases in which the user has a role and that do not wait to be deleted: id → title."""
        query = (
            select(CASES.c.id, CASES.c.title)
            .join(MEMBERS, MEMBERS.c.case_id == CASES.c.id)
            .where(MEMBERS.c.user_id == user, CASES.c.hidden_at.is_(None))
        )
        async with self._database.connect() as connection:
            return {row.id: row.title for row in await connection.execute(query)}

    async def get(self, case: str, user: str) -> CaseRow | None:
        """One case; None where it does not exist or the user has no role in it."""
        async with self._database.connect() as connection:
            rows = await connection.execute(_cases_of(user).where(CASES.c.id == case))
            row = rows.mappings().one_or_none()
        return None if row is None else _case(row)

    async def role(self, case: str, user: str) -> Role | None:
        """The user's role in the case."""
        return await self._roles.get((case, user))

    async def roles(self, case: str, users: Sequence[str]) -> dict[str, Role]:
        """The roles of those among the users who have one in the case."""
        query = select(MEMBERS.c.user_id, MEMBERS.c.role)
        async with self._database.connect() as connection:
            rows = await connection.execute(
                query.where(MEMBERS.c.case_id == case, MEMBERS.c.user_id == any_(texts(users)))
            )
            return {row.user_id: row.role for row in rows}

    async def _roles_of_all(self, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], Role]:
        asked = (
            func.unnest(texts([case for case, _ in pairs]), texts([user for _, user in pairs]))
            .table_valued("case_id", "user_id")
            .render_derived()
        )
        query = select(MEMBERS.c.case_id, MEMBERS.c.user_id, MEMBERS.c.role).join(
            asked, (asked.c.case_id == MEMBERS.c.case_id) & (asked.c.user_id == MEMBERS.c.user_id)
        )
        async with self._database.connect() as connection:
            rows = await connection.execute(query)
            return {(row.case_id, row.user_id): row.role for row in rows}

    async def machine(self, case: str) -> str:
        """Id of the machine of a case that is known to exist."""
        found = await self.find_machine(case)
        assert found is not None
        return found

    async def find_machine(self, case: str) -> str | None:
        """Id of the machine of a case; None where the case is gone."""
        async with self._database.connect() as connection:
            found: str | None = await connection.scalar(select(CASES.c.machine).where(CASES.c.id == case))
            return found

    async def hide(self, case: str, *, hidden: bool) -> None:
        """Take a case out of everybody's list, or bring it back."""
        at = func.coalesce(CASES.c.hidden_at, func.now()) if hidden else None
        async with self._database.begin() as connection:
            await connection.execute(update(CASES).where(CASES.c.id == case).values(hidden_at=at))

    async def is_hidden(self, case: str) -> bool:
        """Whether a case waits to be deleted."""
        async with self._database.connect() as connection:
            return await connection.scalar(select(CASES.c.hidden_at).where(CASES.c.id == case)) is not None

    async def counts(self, case: str) -> dict[str, int]:
        """How many pieces of evidence, chunks and entities a case has; hidden and rejected ones aside."""
        async with self._database.connect() as connection:
            row = (await connection.execute(_COUNTS, {"case": case})).one()
        return {"evidence": row[0], "chunks": row[1], "entities": row[2]}

    async def members(self, case: str) -> list[MemberRow]:
        """Everyone with a role in the case, by name."""
        query = (
            select(USERS.c.id, USERS.c.email, USERS.c.name, USERS.c.is_admin, MEMBERS.c.role)
            .join(MEMBERS, MEMBERS.c.user_id == USERS.c.id)
            .where(MEMBERS.c.case_id == case)
            .order_by(USERS.c.name, USERS.c.id)
        )
        async with self._database.connect() as connection:
            return [MemberRow(Person(*row[:4]), row[4]) for row in await connection.execute(query)]

    async def set_member(self, case: str, email: str, role: Role) -> tuple[Person, Role | None]:
        """Give a person a role; returns the person and the role that it takes the place of.

        Raises:
            UnknownPerson: Nobody has that address.
            LastOwner: They are the only owner and would be less.
        """
        columns = (USERS.c.id, USERS.c.email, USERS.c.name, USERS.c.is_admin)
        async with self._database.begin() as connection:
            found = await connection.execute(select(*columns).where(USERS.c.email == normal_email(email)))
            row = found.one_or_none()
            if row is None:
                raise UnknownPerson(email)
            person = Person(*row)
            before = await connection.scalar(_role_of(case, person.id))
            if role != "owner":
                await _check_owner_stays(connection, case, person.id)
            await connection.execute(
                upsert(MEMBERS)
                .values(case_id=case, user_id=person.id, role=role)
                .on_conflict_do_update(index_elements=["case_id", "user_id"], set_={"role": role})
            )
        return person, before

    async def remove_member(self, case: str, user: str) -> None:
        """End a person's role.

        Raises:
            NotAMember: They had none.
            LastOwner: They are the only owner.
        """
        async with self._database.begin() as connection:
            await _check_owner_stays(connection, case, user)
            result = await connection.execute(
                delete(MEMBERS).where(MEMBERS.c.case_id == case, MEMBERS.c.user_id == user)
            )
            if not result.rowcount:
                raise NotAMember


def _cases_of(user: str) -> Any:
    evidence = (
        select(func.count())
        .where(EVIDENCE.c.case_id == CASES.c.id, EVIDENCE.c.hidden_at.is_(None))
        .scalar_subquery()
    )
    return (
        select(CASES, MEMBERS.c.role, evidence.label("evidence"))
        .join(MEMBERS, MEMBERS.c.case_id == CASES.c.id)
        .where(MEMBERS.c.user_id == user)
    )


def _case(row: RowMapping) -> CaseRow:
    names = ("id", "title", "description", "machine", "created_at", "role", "evidence")
    return CaseRow(**{name: row[name] for name in names})


def _role_of(case: str, user: str) -> Select[Role]:
    return select(MEMBERS.c.role).where(MEMBERS.c.case_id == case, MEMBERS.c.user_id == user)


async def _check_owner_stays(connection: AsyncConnection, case: str, leaving: str) -> None:
    # The case's row is the lock: two owners who remove each other come one after the other.
    await connection.execute(select(CASES.c.id).where(CASES.c.id == case).with_for_update())
    query = select(MEMBERS.c.user_id).where(MEMBERS.c.case_id == case, MEMBERS.c.role == "owner")
    owners: Sequence[str] = (await connection.scalars(query)).all()
    if list(owners) == [leaving]:
        raise LastOwner
