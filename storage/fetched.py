"""What was read at addresses outside, in Redis for a day, so that a site is not asked again and again."""

from __future__ import annotations

import hashlib
from typing import Any

from redis.asyncio import Redis

KEEP_S = 24 * 3600


class FetchedPages:
    """Fields of a page as bytes, by address; whoever keeps pages says what the fields are."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis  # its replies are typed for every option at once; these are bytes

    async def get(self, url: str) -> dict[str, bytes]:
        """The fields kept for an address; none where it is not kept."""
        found = await self._redis.hgetall(_key(url))
        return {name.decode(): value for name, value in found.items()}

    async def put(self, url: str, fields: dict[str, bytes]) -> None:
        """Keep the fields in place of any that were kept for the address."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.delete(_key(url))
            pipeline.hset(_key(url), mapping=fields)
            pipeline.expire(_key(url), KEEP_S)
            await pipeline.execute()


def _key(url: str) -> str:
    return f"fetched:{{{hashlib.sha256(url.encode()).hexdigest()}}}"
