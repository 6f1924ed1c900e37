"""What is prepared of a case before anybody asks for it, kept in Redis so that a page reads it at once.

One hash a case. It is dropped as a whole when evidence is hidden, shown or deleted, or a conversation or the
case goes; and what was computed from rows that were read before that is then not stored any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from redis.asyncio import Redis

from storage.case_cache import cache_key

KEEP_S = 24 * 3600
"""How long it stays after it was last written."""

GENERATION, WORDS = "generation", "words"

_WANTED = "{prepared}:wanted"

_PUT = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""
_STAMP = """
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return redis.call('HGET', KEYS[1], ARGV[1])
"""


class Prepared:
    """Bytes by name within a case; all of it can be computed again."""

    def __init__(self, redis: Redis, *, shards: int) -> None:
        self._redis: Any = redis  # its replies are typed for every option at once; these are bytes
        self._shards = shards

    async def get(self, case: str, name: str) -> bytes | None:
        """What is kept under a name; None where nothing is."""
        found: bytes | None = await self._redis.hget(self._key(case), name)
        return found

    async def want(self, case: str) -> None:
        """Have a case prepared soon of which nothing is kept."""
        await self._redis.sadd(_WANTED, case)

    async def wanted(self) -> list[str]:
        """Take the cases that are wanted, each once."""
        found = await self._redis.spop(_WANTED, 100)
        return sorted(case.decode() for case in found)

    async def begin(self, case: str) -> str:
        """The generation of what is kept, to be asked for before anything is read that shall be stored."""
        return await self._stamp(case, GENERATION)

    async def put(self, case: str, generation: str, values: Mapping[str, bytes | str]) -> bool:
        """Keep values by name; False, and nothing is kept, where all was dropped since `generation` began."""
        flat = [part for name, value in values.items() for part in (name, value)]
        stored = await self._redis.eval(
            _PUT, 1, self._key(case), GENERATION, generation, KEEP_S, *flat
        )  # fmt: skip
        return bool(stored)

    async def renew(self, case: str, generation: str, values: Mapping[str, bytes | str]) -> bool:
        """As `put`, and begin a new generation: what others have read before is not stored any more."""
        return await self.put(case, generation, {GENERATION: token_hex(8), **values})

    async def words(self, case: str) -> str:
        """A text that differs whenever words kept by it may not be shown, or are not all, any more."""
        return await self._stamp(case, WORDS)

    async def tell_words_changed(self, case: str) -> None:
        """From now on `words` differs."""
        await self._redis.hdel(self._key(case), WORDS)

    async def drop(self, case: str) -> None:
        """Keep nothing of a case."""
        await self._redis.delete(self._key(case))

    async def _stamp(self, case: str, name: str) -> str:
        stamp: bytes = await self._redis.eval(_STAMP, 1, self._key(case), name, token_hex(8), KEEP_S)
        return stamp.decode()

    def _key(self, case: str) -> str:
        return cache_key("prepared", case, self._shards)
