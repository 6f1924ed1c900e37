"""A follower led through its phases, without the server's loop."""

from __future__ import annotations

import asyncio

from storage.follow import Follower
from storage.marks import Marks
from tests.patience import PATIENCE_S


async def until_known(marks: Marks, name: str) -> None:
    """Other tests' transactions on the same server count, too."""
    async with asyncio.timeout(PATIENCE_S):
        while not await marks.is_known_to_all(name):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.03)


async def mark_all(marks: Marks, follower: Follower, *, at_once: int = 2) -> None:
    """Everything that is there is marked for a follower that was registered."""
    await until_known(marks, follower.name)
    await marks.begin_marking(follower)
    while await marks.phase(follower.name) == "marking":
        await marks.mark_more(follower, at_once=at_once)


async def apply_all(marks: Marks, follower: Follower) -> None:
    """The follower takes every mark."""
    while found := await marks.take(follower.name, 100):
        await follower.apply(found)
        await marks.done(follower.name, found)


async def fill(marks: Marks, follower: Follower) -> None:
    """The follower's store is made, and holds everything."""
    await follower.wipe()
    await mark_all(marks, follower)
    await apply_all(marks, follower)
    assert await marks.settle(follower.name)
