"""Carries what this process counts to the instance's sums, and says what it has open."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from secrets import token_hex

import psutil
from redis.asyncio import Redis
from redis.exceptions import RedisError

from server.hub import Hub
from server.metrics import Tally, tally
from server.sockets import Sockets
from storage.metric_sums import MetricSums, OpenNow

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

    def __init__(self, redis: Redis, *, hub: Hub, sockets: Sockets) -> None:
        self._sums = MetricSums(redis)
        self._hub = hub
        self._sockets = sockets
        self._turn = asyncio.Lock()
        self._name = f"{socket.gethostname()}-{os.getpid()}-{token_hex(4)}"

    async def run(self) -> None:
        """Report until cancelled; the last report takes this server out."""
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
                async with self._turn:
                    await carry(self._sums)
                await self._sums.forget(self._name)
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
        followed = self._hub.topics
        await self._sums.report(
            OpenNow(
                name=self._name,
                pid=os.getpid(),
                sockets=len(self._sockets),
                topics=len(followed),
                subscribers=sum(followed.values()),
                rss_bytes=psutil.Process().memory_info().rss,
                at=time.time(),
            )
        )
