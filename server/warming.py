"""A case that is opened has its prompts' unchanging front evaluated before somebody asks."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from handlers.job import JobError
from handlers.language_model import LanguageModel
from handlers.models import Models
from handlers.prompt import stable_front
from server.by_turns import Rest

logger = logging.getLogger(__name__)

AGAIN_S = 600
"""How long a case counts as warm: a good deal less than model servers keep a model loaded."""
TAKES_S = 2.0
"""What warming a case takes, about."""


class Warming:
    """Of one server process; all of an instance warm a case once.

    Args:
        models: With the language model, or with none: then nothing happens.
        rest: How long work that nobody waits for, and that takes so many seconds, is put off now.
    """

    def __init__(self, models: Models, redis: Redis, *, rest: Rest | None = None) -> None:
        self._models = models
        self._redis: Any = redis
        self._rest = rest
        self._tasks: set[asyncio.Task[None]] = set()

    def opened(self, case: str, title: str) -> None:
        """Somebody looks at the case; returns at once."""
        if self._models.language is None:
            return
        task = asyncio.create_task(self._warm(case, title))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Leave what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def settled(self) -> None:
        """Return once nothing is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def _warm(self, case: str, title: str) -> None:
        try:
            if not await self._redis.set(f"runtime:warm:{case}", 1, nx=True, ex=AGAIN_S):
                return
            if self._rest is not None:
                await asyncio.sleep(await self._rest(TAKES_S))
            model: LanguageModel | None = (await self._models.of_case(case)).model
            if model is not None:
                await model.warm(*stable_front(title, [], num_ctx=model.num_ctx))
        except (JobError, RedisError, SQLAlchemyError, OSError) as error:
            # Whoever asks meets the same and is told; here nobody waits.
            logger.info(
                "A language model was not warmed.",
                extra={"action": "model.not_warmed", "error": type(error).__name__},
            )
