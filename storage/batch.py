"""Questions asked at the same moment, answered by one look instead of many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

MOST = 500
"""Keys of one look, so that the answers of a crowd come in portions."""


class Batch(Generic[K, V]):
    """Collects keys while a look is under way, and asks for all of them in the next.

    The first question of a quiet moment waits for the others of the same turn of the event loop, and
    for nothing else. An answer is as fresh as if it had been asked for alone, since a look serves only
    those who came before it began.

    Args:
        look: Keys in, the values of those that have one out; whoever asks for another gets None.
    """

    def __init__(self, look: Callable[[list[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._look = look
        self._waiting: dict[K, asyncio.Future[V | None]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        """The value of a key; what the look raises is raised to everybody whom it served."""
        found = self._waiting.get(key)
        if found is None:
            found = self._waiting[key] = asyncio.get_running_loop().create_future()
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(found)

    async def _ask(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(0)
                keys = list(self._waiting)[:MOST]
                asked = {key: self._waiting.pop(key) for key in keys}
                try:
                    values = await self._look(keys)
                except Exception as error:  # noqa: BLE001 - it belongs to those who asked
                    for answer in asked.values():
                        answer.set_exception(error)
                        answer.exception()  # they may all have given up
                except BaseException:
                    for answer in asked.values():
                        answer.cancel()
                    raise
                else:
                    for key, answer in asked.items():
                        answer.set_result(values.get(key))
        finally:
            self._asking = None
