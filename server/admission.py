"""Whether the proof by which somebody was let in, a login or an API token, still counts."""

from __future__ import annotations

from dataclasses import dataclass

from server.sessions import Login, Sessions
from server.tokens import UNLIMITED, Limits, Tokens
from storage.people import Person
from storage.tokens import TokenRow


@dataclass(frozen=True)
class Visitor:
    """A person, the proof that it is them, and what that proof leaves of their rights."""

    person: Person
    proof: Login | TokenRow
    limits: Limits = UNLIMITED

    @property
    def login(self) -> Login | None:
        """The browser's login; None for an API token."""
        return self.proof if isinstance(self.proof, Login) else None

    @property
    def administers(self) -> bool:
        """Whether an administrator's rights may be used."""
        return self.person.is_admin and self.limits.reach("system")


class Admission:
    """Logins and tokens alike, for what outlives a request: sockets and streams."""

    def __init__(self, sessions: Sessions, tokens: Tokens) -> None:
        self._sessions = sessions
        self._tokens = tokens

    async def lasts(self, visitor: Visitor) -> bool:
        """Whether the proof still counts; does not renew it."""
        if isinstance(visitor.proof, Login):
            return await self._sessions.lasts(visitor.proof)
        return await self._tokens.store.lasts(visitor.proof.id)

    async def renew(self, visitor: Visitor) -> None:
        """Count the proof as used."""
        if isinstance(visitor.proof, Login):
            await self._sessions.renew(visitor.proof)
        else:
            await self._tokens.store.note_use(visitor.proof.id)
