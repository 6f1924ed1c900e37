"""API tokens in PostgreSQL: what each may do, and the hash by which its secret is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Table, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.people import USERS
from storage.schema import ApiToken

TOKENS: Table = ApiToken.metadata.tables["api_tokens"]

Scope = Literal["read", "write", "admin"]

_COLUMNS = tuple(column for column in TOKENS.c if column.name != "secret_hash")


class UnknownToken(Exception):
    """The person has no such token."""

    def __init__(self) -> None:
        super().__init__("there is no such token")


class TooManyTokens(Exception):
    """The person has as many as one may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"there are {limit} tokens already: revoke one first")


@dataclass(frozen=True)
class TokenRow:
    """A token without its secret.

    Attributes:
        cases: The only cases that it reaches; None for everything its person reaches.
        used_at: Of its last use, perhaps a minute older; None before the first.
    """

    id: str
    user_id: str
    name: str
    scopes: list[Scope]
    cases: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None


class ApiTokens:
    """Tokens of all people."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def add(
        self,
        token: str,
        user: str,
        name: str,
        *,
        secret_hash: str,
        scopes: Sequence[Scope],
        cases: Sequence[str] | None,
        expires_at: datetime | None,
        limit: int,
    ) -> TokenRow:
        """Store a new token.

        Raises:
            TooManyTokens: The person has `limit` of them.
        """
        values = {
            "id": token,
            "user_id": user,
            "name": name,
            "secret_hash": secret_hash,
            "scopes": list(scopes),
            "cases": None if cases is None else list(cases),
            "expires_at": expires_at,
        }
        async with self._database.begin() as connection:
            # The person's row is the lock: two requests at once cannot both be the last that fits.
            await connection.execute(select(USERS.c.id).where(USERS.c.id == user).with_for_update())
            count = select(func.count()).select_from(TOKENS).where(TOKENS.c.user_id == user)
            if (await connection.execute(count)).scalar_one() >= limit:
                raise TooManyTokens(limit)
            row = (await connection.execute(insert(TOKENS).values(values).returning(*_COLUMNS))).one()
        return TokenRow(*row)

    async def of_user(self, user: str) -> list[TokenRow]:
        """A person's tokens, newest first, expired ones too."""
        query = select(*_COLUMNS).where(TOKENS.c.user_id == user)
        query = query.order_by(TOKENS.c.created_at.desc(), TOKENS.c.id)
        async with self._database.connect() as connection:
            return [TokenRow(*row) for row in await connection.execute(query)]

    async def revoke(self, user: str, token: str) -> None:
        """Forget a token.

        Raises:
            UnknownToken: The person has no such token (any more).
        """
        query = delete(TOKENS).where(TOKENS.c.id == token, TOKENS.c.user_id == user)
        async with self._database.begin() as connection:
            if not (await connection.execute(query)).rowcount:
                raise UnknownToken

    async def find(self, token: str) -> tuple[TokenRow, str] | None:
        """A token that has not expired, with the hash of its secret."""
        query = select(*_COLUMNS, TOKENS.c.secret_hash).where(TOKENS.c.id == token, _unexpired())
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else (TokenRow(*row[:-1]), row[-1])

    async def lasts(self, token: str) -> bool:
        """Whether a token is neither revoked nor expired."""
        query = select(select(TOKENS.c.id).where(TOKENS.c.id == token, _unexpired()).exists())
        async with self._database.connect() as connection:
            return bool(await connection.scalar(query))

    async def note_use(self, token: str) -> None:
        """Remember that a token was used now."""
        query = TOKENS.update().where(TOKENS.c.id == token).values(used_at=func.now())
        async with self._database.begin() as connection:
            await connection.execute(query)


def _unexpired() -> Any:
    return or_(TOKENS.c.expires_at.is_(None), TOKENS.c.expires_at > func.now())
