"""Passwords on their way from a person to a worker: in Redis, for minutes, under an unguessable name.

Machines, logs and the custody chain carry only the name.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis


class Secrets:
    """Short-lived secrets in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis  # its replies are typed for every option at once; these are bytes

    async def put(self, name: str, secret: str, *, keep_s: int) -> None:
        """Keep a secret for `keep_s` seconds."""
        await self._redis.set(f"secret:{name}", secret.encode(), ex=keep_s)

    async def get(self, name: str) -> str:
        """The secret; "" when its time is over."""
        value: bytes | None = await self._redis.get(f"secret:{name}")
        return "" if value is None else value.decode()
