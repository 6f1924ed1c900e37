"""Who waits behind how many: told to the pages of waiting machines every two seconds."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from server.by_turns import by_turns
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
        await by_turns(self._engine.store, _TURN, self._holder, self._tell, every_s=EVERY_S, missed=3)

    async def _tell(self) -> None:
        for machine, (topic, places) in (await asyncio.to_thread(self._places)).items():
            await self._engine.publish(topic, machine, "position", places)

    def _places(self) -> dict[str, tuple[str, dict[str, int]]]:
        found: dict[str, tuple[str, dict[str, int]]] = {}
        places: dict[str, dict[str, int]] = defaultdict(dict)
        for queue in JOB_QUEUES:
            for ahead, item in enumerate(self._queues.items(queue, MOST)):
                if item is not None:
                    places[item.machine][item.effect_id] = ahead
                    found[item.machine] = (item.topic, places[item.machine])
        return found
