"""Who waits behind how many: told to the pages of waiting machines every two seconds."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from server.ending import pass_on_cancellation
from server.engine import Engine
from server.queues import JOB_QUEUES, JobQueues

EVERY_S = 2.0
MOST = 200
"""Places told in each queue; whoever waits further back reads only that it is queued."""

_TURN = "positions-0-turn"
"""A lease by which the servers agree on who tells, in the shape of an effect id of shard 0."""


class Positions:
    """Reads the queues and publishes passing messages `position`: effect id → number ahead.

    Args:
        holder: Unique to this life of this process; of many servers one tells.
    """

    def __init__(self, engine: Engine, queues: JobQueues, *, holder: str) -> None:
        self._engine = engine
        self._queues = queues
        self._holder = holder

    async def run(self) -> None:
        """Tell until cancelled.

        Raises:
            redis.RedisError: The queues' Redis does not answer.
            Unavailable: The machines' Redis does not answer.
        """
        while True:
            pass_on_cancellation()
            if not await self._engine.store.take_lease(_TURN, self._holder, ttl_s=3 * EVERY_S):
                await asyncio.sleep(EVERY_S)
                continue
            for machine, (topic, places) in (await asyncio.to_thread(self._places)).items():
                await self._engine.publish(topic, machine, "position", places)
            await asyncio.sleep(EVERY_S)

    def _places(self) -> dict[str, tuple[str, dict[str, int]]]:
        found: dict[str, tuple[str, dict[str, int]]] = {}
        places: dict[str, dict[str, int]] = defaultdict(dict)
        for queue in JOB_QUEUES:
            for ahead, item in enumerate(self._queues.items(queue, MOST)):
                if item is not None:
                    places[item.machine][item.effect_id] = ahead
                    found[item.machine] = (item.topic, places[item.machine])
        return found
