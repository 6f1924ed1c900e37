"""The part of an answer that has been streamed so far, kept beside its machine for an hour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from storage.machine_store import shard_of_machine

_KEEP_S = 3600


@dataclass(frozen=True)
class Partial:
    """Text as of its attempt; `position` counts its characters, where the next token begins."""

    attempt: int
    position: int
    text: str


class Partials:
    """One text a machine; a later attempt replaces an earlier one's."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis  # its replies are typed for every option at once; these are bytes

    async def write(self, machine: str, attempt: int, text: str) -> None:
        """Replace the text."""
        key = _key(machine)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(key, mapping={"attempt": attempt, "text": text.encode()})
            pipeline.expire(key, _KEEP_S)
            await pipeline.execute()

    async def read(self, machine: str) -> Partial | None:
        """The text so far; None when none has been streamed in the last hour."""
        found = await self._redis.hgetall(_key(machine))
        if not found:
            return None
        text = found[b"text"].decode()
        return Partial(int(found[b"attempt"]), len(text), text)

    async def forget(self, machine: str) -> None:
        """Drop the text."""
        await self._redis.delete(_key(machine))


def _key(machine: str) -> str:
    return f"{{{shard_of_machine(machine)}}}:partial:{machine}"
