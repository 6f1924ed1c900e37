"""End background tasks for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

AGAIN_S = 2.0


async def end(tasks: Iterable[asyncio.Future[None]], *, again_s: float = AGAIN_S) -> None:
    """Cancel tasks and wait until all have ended.

    They are cancelled again every `again_s` seconds: where a cancellation meets the end of an
    operation under a time limit, a library may take it for its own and go on.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=again_s)
        await asyncio.gather(*done, return_exceptions=True)
