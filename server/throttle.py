"""Failures counted in Redis, so that guessing slows down whichever process is asked."""

from __future__ import annotations

from hashlib import sha256

from redis.asyncio import Redis

from server.errors import TooMany

WINDOW_S = 900


_TAKE_BACK = "if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('DECR', KEYS[1]) end"
"""A window that has ended meanwhile must not begin anew, without an end, at minus one."""


class Throttle:
    """At most `limit` failures of one subject within a quarter of an hour.

    A try counts as a failure from its beginning until `succeeded` takes it back, so that many
    tries at the same moment are not all let through.
    """

    def __init__(self, redis: Redis, action: str, *, limit: int) -> None:
        self._redis = redis
        self._action = action
        self._limit = limit

    async def begin(self, *subject: str) -> None:
        """Count a try.

        Raises:
            TooMany: The limit is reached; the try must not be made.
        """
        key = self._key(subject)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.set(key, 0, ex=WINDOW_S, nx=True)
            pipeline.incr(key)
            pipeline.ttl(key)
            _, count, left_s = await pipeline.execute()
        if count > self._limit:
            raise TooMany(
                "too many failed tries; wait before the next one", retry_after_s=max(1, int(left_s))
            )

    async def succeeded(self, *subject: str) -> None:
        """Take this try back."""
        await self._redis.eval(_TAKE_BACK, 1, self._key(subject))

    def _key(self, subject: tuple[str, ...]) -> str:
        # Hashed: addresses of people and machines stay out of Redis.
        return f"throttle:{self._action}:{sha256(chr(0).join(subject).encode()).hexdigest()[:32]}"
