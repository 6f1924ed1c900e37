"""API tokens: secrets for programs, of which only the hash is kept, and the limits that each sets."""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from secrets import token_hex, token_urlsafe

from machines.event import Role
from machines.topics import case_of
from storage.tokens import ApiTokens, Scope, TokenRow

MOST_TOKENS = 100
"""Of one person."""

USE_S = 60.0
"""How exactly the last use is known."""

_PREFIX = "cw"
_LONGEST = 200
"""Characters of a secret that is looked at at all."""


@dataclass(frozen=True)
class Limits:
    """What is left of a person's rights to whoever acts for them.

    Attributes:
        writes: Whether anything may be changed; without it every role counts as viewer.
        administers: Whether an administrator's rights are included.
        cases: The only cases within reach, and then nothing else is; None for no such limit.
        until: Unix seconds at which every right ends.
    """

    writes: bool = True
    administers: bool = True
    cases: frozenset[str] | None = None
    until: float = math.inf

    def reach(self, topic: str) -> bool:
        """Whether a topic may be seen at all."""
        if self.until <= time.time() or (topic == "system" and not self.administers):
            return False
        return self.cases is None or case_of(topic) in self.cases

    def cap(self, role: Role | None, topic: str) -> Role | None:
        """What is left of a role on a topic."""
        if role is None or not self.reach(topic):
            return None
        return role if self.writes else "viewer"


UNLIMITED = Limits()
"""Of a person who has logged in."""


def limits_of(token: TokenRow) -> Limits:
    """The limits that a token sets; `write` and `admin` include `read`."""
    return Limits(
        writes="write" in token.scopes,
        administers="admin" in token.scopes,
        cases=None if token.cases is None else frozenset(token.cases),
        until=math.inf if token.expires_at is None else token.expires_at.timestamp(),
    )


class Tokens:
    """Making tokens, and finding the one that a secret belongs to."""

    def __init__(self, store: ApiTokens) -> None:
        self.store = store

    async def make(
        self,
        user: str,
        name: str,
        *,
        scopes: Sequence[Scope],
        cases: Sequence[str] | None,
        expires_at: datetime | None,
    ) -> tuple[str, TokenRow]:
        """A new token and its secret, `cw_<id>_<32 random bytes>`, which nobody can tell again.

        Raises:
            TooManyTokens: The person has `MOST_TOKENS` of them.
        """
        token = token_hex(8)
        secret = f"{_PREFIX}_{token}_{token_urlsafe(32)}"
        row = await self.store.add(
            token,
            user,
            name,
            secret_hash=_hash(secret),
            scopes=scopes,
            cases=cases,
            expires_at=expires_at,
            limit=MOST_TOKENS,
        )
        return secret, row

    async def find(self, secret: str) -> TokenRow | None:
        """The token of a secret, counted as used; None when it is unknown, wrong, revoked or expired."""
        parts = secret.split("_", 2)
        if len(secret) > _LONGEST or not secret.isascii() or len(parts) != 3 or parts[0] != _PREFIX:
            return None
        if not parts[1].isalnum():
            return None
        found = await self.store.find(parts[1])
        if found is None or not hmac.compare_digest(found[1], _hash(secret)):
            return None
        row = found[0]
        if row.used_at is None or row.used_at.timestamp() < time.time() - USE_S:
            await self.store.note_use(row.id)
        return row


def _hash(secret: str) -> str:
    # A plain hash suffices: 256 random bits cannot be guessed, however fast each guess is.
    return sha256(secret.encode()).hexdigest()
