"""Blocking work in a thread beside a server of the same test, of which nothing outlives the server.

pytest's own clock raises in whatever runs just then. That is a task of the server, which then answers
with an error or not at all; or it is the waiting loop, and then the test is over, its server is gone, and
the thread goes on asking until every connection is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Event
from typing import TypeVar

T = TypeVar("T")


class Over(BaseException):
    """Nobody waits for the work any more."""


async def beside(work: Callable[[Callable[[], None]], T], *, within_s: float) -> T:
    """What `work` returns.

    Args:
        work: Given a look, which it takes before each request: it raises `Over` once the time is up.

    Raises:
        TimeoutError: It took longer; by then it has ended.
    """
    over = Event()

    def look() -> None:
        if over.is_set():
            raise Over

    doing = asyncio.create_task(asyncio.to_thread(work, look))
    try:
        async with asyncio.timeout(within_s):
            return await asyncio.shield(doing)
    finally:
        over.set()
        await asyncio.gather(doing, return_exceptions=True)
