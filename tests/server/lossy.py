"""A store whose listeners lose or break what a test tells them to; all else is the real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from storage.machine_store import Heard, Listener
from storage.machine_store_redis import RedisMachineStore

Fate = Callable[[Heard], bool]
"""Whether something that was heard is handed on; it may also raise."""


class LossyStore(RedisMachineStore):
    """Everything heard is put before `fate`."""

    def __init__(self, *args: Any, fate: Fate, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fate = fate

    def listen(self) -> Listener:
        return _Lossy(super().listen(), self._fate)


class _Lossy:
    def __init__(self, listener: Listener, fate: Fate) -> None:
        self._listener = listener
        self._fate = fate

    async def join(self, topic: str) -> None:
        await self._listener.join(topic)

    async def leave(self, topic: str) -> None:
        await self._listener.leave(topic)

    async def aclose(self) -> None:
        await self._listener.aclose()

    async def hear(self, take: Callable[[Heard], None]) -> None:
        def put_before_fate(heard: Heard) -> None:
            if self._fate(heard):
                take(heard)

        await self._listener.hear(put_before_fate)
