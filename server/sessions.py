"""Logins in Redis: a random token in the browser, its hash here, forgotten after a time without use."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from secrets import token_urlsafe

import orjson
from redis.asyncio import Redis

from storage.batch import Batch


@dataclass(frozen=True)
class Login:
    """One browser's login.

    Attributes:
        key: Where it is kept; derived from the token by SHA-256, so a reader of Redis cannot log in.
        user: Id of who logged in.
        csrf: What unsafe requests must carry in a header.
    """

    key: str
    user: str
    csrf: str


class Sessions:
    """Each look at a login renews it for `idle_s` seconds."""

    def __init__(self, redis: Redis, *, idle_s: float) -> None:
        self._redis = redis
        self._idle_s = int(idle_s)
        self._found = Batch(self._find_all)
        self._lasting = Batch(self._last_all)

    async def begin(self, user: str) -> tuple[str, Login]:
        """A new login and the token (32 random bytes) to give to the browser."""
        token = token_urlsafe(32)
        login = Login(key=_key(token), user=user, csrf=token_urlsafe(24))
        value = orjson.dumps({"user": login.user, "csrf": login.csrf})
        await self._redis.set(login.key, value, ex=self._idle_s)
        return token, login

    async def find(self, token: str) -> Login | None:
        """The login of a token, renewed; None when it has ended."""
        key = _key(token)
        value = await self._found.get(key)
        return None if value is None else Login(key=key, **orjson.loads(value))

    async def _find_all(self, keys: list[str]) -> dict[str, bytes | None]:
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            pipeline.getex(key, ex=self._idle_s)
        return dict(zip(keys, await pipeline.execute(), strict=True))

    async def lasts(self, login: Login) -> bool:
        """Whether a login still counts; does not renew it."""
        return bool(await self._lasting.get(login.key))

    async def _last_all(self, keys: list[str]) -> dict[str, int]:
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            pipeline.exists(key)
        return dict(zip(keys, await pipeline.execute(), strict=True))

    async def renew(self, login: Login) -> None:
        """Count as used."""
        await self._redis.expire(login.key, self._idle_s)

    async def end(self, login: Login) -> None:
        """Forget the login."""
        await self._redis.delete(login.key)


def _key(token: str) -> str:
    return f"session:{sha256(token.encode()).hexdigest()}"
