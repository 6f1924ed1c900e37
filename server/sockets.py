"""The open websockets of this process, so that a shutdown can send every one of them elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from server.errors import Close


class Sockets:
    """Each socket waits for its own end beside its work."""

    def __init__(self) -> None:
        self._ends: dict[object, asyncio.Future[Close]] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._ends)

    @contextmanager
    def open(self) -> Iterator[asyncio.Future[Close]]:
        """Count a socket; the future tells when and how it has to close."""
        end: asyncio.Future[Close] = asyncio.get_running_loop().create_future()
        token = object()
        self._ends[token] = end
        self._empty.clear()
        try:
            yield end
        finally:
            del self._ends[token]
            if not self._ends:
                self._empty.set()

    async def close_all(self, code: Close, *, within_s: float) -> None:
        """Have every socket close, and wait until they have or the time is over."""
        for end in self._ends.values():
            if not end.done():
                end.set_result(code)
        try:
            async with asyncio.timeout(within_s):
                await self._empty.wait()
        except TimeoutError:
            return
