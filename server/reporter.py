"""Carries what this process counts to the instance's sums."""

from __future__ import annotations

import asyncio
import logging

from redis.asyncio import Redis
from redis.exceptions import RedisError

from server.metrics import Tally, tally
from storage.metric_sums import MetricSums

logger = logging.getLogger(__name__)

EVERY_S = 1.0


async def carry(sums: MetricSums, counted: Tally = tally) -> None:
    """Add what is new to the instance's sums; one call at a time in each process.

    Raises:
        RedisError: It is added with the next call instead.
    """
    await sums.add(counted.unreported())
    counted.reported()


class Reporter:
    """Reports for one server process, every second."""

    def __init__(self, redis: Redis) -> None:
        self._sums = MetricSums(redis)
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Report until cancelled; once more at the end."""
        try:
            while True:
                try:
                    await self.report()
                except RedisError as error:
                    logger.warning(
                        "The metrics of this server wait until Redis answers.",
                        extra={"action": "metrics.late", "error": type(error).__name__},
                    )
                await asyncio.sleep(EVERY_S)
        finally:
            try:
                await self.report()
            except RedisError as error:
                logger.warning(
                    "The last metrics of this server are lost.",
                    extra={"action": "metrics.lost", "error": type(error).__name__},
                )

    async def report(self) -> None:
        """Once.

        Raises:
            RedisError: Redis does not answer.
        """
        async with self._turn:
            await carry(self._sums)
