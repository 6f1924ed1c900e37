"""The job of one handler: how it is told to stop, and how watchers see it advance."""

from __future__ import annotations

import time

from handlers.job import Cancelled
from server.engine import Engine
from storage.machine_store import OutboxItem
from storage.partials import Partials

PROGRESS_S = 0.25
"""Least time between two reports of progress."""
ASK_S = 0.5
"""Least time between two questions to the store whether the effect is still awaited."""


class RunningJob:
    """Keeps `handlers.job.Job`.

    Args:
        stage: State that awaits the effect, "" where none does and nothing can cancel it.
    """

    def __init__(
        self, item: OutboxItem, engine: Engine, partials: Partials, *, stage: str, attempt: int
    ) -> None:
        self.id = item.effect_id
        self.machine = item.machine
        self.topic = item.topic
        self.attempt = attempt
        self.stage = stage
        self.cancelled = False
        self._engine = engine
        self._partials = partials
        self._asked_at = time.monotonic()
        self._told_at = float("-inf")
        self._text = ""

    async def progress(self, done: int, total: int, unit: str) -> None:
        """See `Job.progress`. The last report, `done == total`, always goes out."""
        await self.check()
        now = time.monotonic()
        if done < total and now - self._told_at < PROGRESS_S:
            return
        self._told_at = now
        data = {"stage": self.stage, "done": done, "total": total, "unit": unit}
        await self._engine.publish(self.topic, self.machine, "progress", data)

    async def token(self, text: str, position: int) -> None:
        """See `Job.token`. Kept first, so that a page which reads the text misses no later token.

        Raises:
            ValueError: `position` lies behind the end of the text so far.
        """
        await self.check()
        if position > len(self._text):
            raise ValueError(f"a token at {position} leaves a gap after {len(self._text)} characters")
        self._text = self._text[:position] + text
        await self._partials.write(self.machine, self.attempt, self._text)
        data = {"attempt": self.attempt, "position": position, "text": text}
        await self._engine.publish(self.topic, self.machine, "token", data)

    async def check(self) -> None:
        """See `Job.check`."""
        now = time.monotonic()
        if not self.cancelled and self.stage and now - self._asked_at >= ASK_S:
            self._asked_at = now
            await self.ask()
        if self.cancelled:
            raise Cancelled

    async def ask(self) -> None:
        """Find out now whether the effect is still awaited."""
        if not await self._engine.store.is_pending(self.id):
            self.cancelled = True
