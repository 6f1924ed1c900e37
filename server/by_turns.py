"""Rounds of work that one of many servers does at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from server.ending import pass_on_cancellation
from storage.machine_store import MachineStore


async def by_turns(
    store: MachineStore,
    turn: str,
    holder: str,
    work: Callable[[], Awaitable[object]],
    *,
    every_s: float,
    missed: int,
) -> None:
    """Work a round every `every_s`, until cancelled, while the turn is this holder's.

    Args:
        turn: A lease by which the servers agree, in the shape of an effect id of shard 0.
        holder: Unique to this life of this process.
        missed: So many rounds without a sign of its holder, and another server takes the turn.

    Raises:
        Unavailable: Redis does not answer.
        Exception: What `work` raises.
    """
    while True:
        pass_on_cancellation()
        if await store.take_lease(turn, holder, ttl_s=missed * every_s):
            await work()
        await asyncio.sleep(every_s)
