"""Waiting for somebody else's work without losing sight of whether anybody waits for one's own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from handlers.job import Job

LOOK_S = 1.0
"""Between two looks; whoever does not look for ten seconds loses its worker."""

Result = TypeVar("Result")


async def while_awaited(job: Job, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of the work, which may be silent for long; it is ended when nobody awaits the job any more.

    Raises:
        Cancelled: Nobody does.
    """
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=LOOK_S))[0]:
            await job.check()
    except BaseException:
        task.cancel()
        await asyncio.wait({task})
        raise
    return task.result()
