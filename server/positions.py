"""Who waits behind how many: told to the pages of waiting machines every two seconds."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from server.engine import Engine
from server.queues import JOB_QUEUES, JobQueues

EVERY_S = 2.0
MOST = 200
"""Places told in each queue; whoever waits further back reads only that it is queued."""


class Positions:
    """Reads the queues and publishes passing messages `position`: effect id → number ahead."""

    def __init__(self, engine: Engine, queues: JobQueues) -> None:
        self._engine = engine
        self._queues = queues

    async def run(self) -> None:
        """Tell until cancelled.

        Raises:
            redis.RedisError: The queues' Redis does not answer.
            Unavailable: The machines' Redis does not answer.
        """
        while True:
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
