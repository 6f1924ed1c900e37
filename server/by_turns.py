"""Rounds of work that one of many servers does at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from server.ending import pass_on_cancellation
from storage.machine_store import MachineStore

Rest = Callable[[float], Awaitable[float]]


async def by_turns(
    store: MachineStore,
    turn: str,
    holder: str,
    work: Callable[[], Awaitable[object]],
    *,
    every_s: float,
    missed: int,
    rest: Rest | None = None,
) -> None:
    """Work a round every `every_s`, until cancelled, while the turn is this holder's.

    Args:
        turn: A lease by which the servers agree, in the shape of an effect id of shard 0.
        holder: Unique to this life of this process.
        missed: So many rounds without a sign of its holder, and another server takes the turn.
        rest: For work that nobody waits for: how much longer to pause after a round that took so long,
            in seconds; no longer than the turn is kept.

    Raises:
        Unavailable: Redis does not answer.
        Exception: What `work` raises.
    """
    while True:
        pass_on_cancellation()
        pause_s = every_s
        if await store.take_lease(turn, holder, ttl_s=missed * every_s):
            began = time.monotonic()
            await work()
            if rest is not None:
                took_s = time.monotonic() - began
                pause_s += min(await rest(took_s), max(0, missed - 2) * every_s)
        await asyncio.sleep(pause_s)
