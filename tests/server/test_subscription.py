"""A subscription's bounded queue: what waits gives way to what is newer, and no entry is lost unsaid."""

from __future__ import annotations

from typing import Any

import pytest

from server.published import Published
from server.subscription import Slow, Subscription
from tests.server.conftest import TOPIC


def passing(what: str, machine: str = "m", **data: Any) -> Published:
    message = {"type": "passing", "topic": TOPIC, "machine": machine, "what": what, "data": data}
    return Published(message, 100)


def entry(offset: int, machine: str = "m", size: int = 100) -> Published:
    return Published({"type": "entry", "epoch": "e", "offset": offset, "machine": machine}, size)


def queue_of(*messages: Published, **bounds: int) -> Subscription:
    first = Published({"epoch": "e", "offset": 0}, 0)
    subscription = Subscription(TOPIC, first, on_close=lambda _: None, **bounds)
    for message in messages:
        subscription.offer(message)
    return subscription


async def drained(subscription: Subscription) -> list[Any]:
    found: list[Any] = []
    while subscription.waiting:
        message = await anext(subscription)
        found.append(message["offset"] if message["type"] == "entry" else message["data"])
    return found


async def test_waiting_progress_gives_way_to_newer_progress_of_the_same_machine() -> None:
    subscription = queue_of(
        passing("progress", done=1), passing("progress", "n", done=5), passing("progress", done=2)
    )
    assert await drained(subscription) == [{"done": 2}, {"done": 5}]


async def test_waiting_tokens_are_joined_and_none_is_lost() -> None:
    subscription = queue_of(
        passing("token", attempt=1, position=0, text="The "),
        passing("token", attempt=1, position=4, text="mémo"),
        passing("token", attempt=1, position=8, text="."),
        passing("token", attempt=1, position=12, text="gap"),
    )
    assert await drained(subscription) == [
        {"attempt": 1, "position": 0, "text": "The mémo."},
        {"attempt": 1, "position": 12, "text": "gap"},
    ]
    subscription.offer(passing("token", attempt=1, position=15, text="old"))
    subscription.offer(passing("token", attempt=2, position=0, text="new"))
    assert await drained(subscription) == [{"attempt": 2, "position": 0, "text": "new"}]


async def test_a_passing_message_never_moves_in_front_of_an_entry_of_its_machine() -> None:
    subscription = queue_of(passing("progress", done=1), entry(1), passing("progress", done=2), entry(2, "n"))
    subscription.offer(passing("progress", done=3))
    assert await drained(subscription) == [{"done": 1}, 1, {"done": 3}, 2]


async def test_progress_is_dropped_before_an_entry_is() -> None:
    crowd = [passing("progress", f"m{n}", done=n) for n in range(5)]
    subscription = queue_of(*crowd, entry(1), queue_messages=5)
    assert await drained(subscription) == [1]


@pytest.mark.parametrize("bounds", [{"queue_messages": 5}, {"queue_bytes": 500}])
async def test_a_subscriber_that_cannot_keep_up_is_told_and_can_resume(bounds: dict[str, int]) -> None:
    subscription = queue_of(*(entry(n) for n in range(1, 7)), **bounds)
    with pytest.raises(Slow):
        await anext(subscription)
    subscription.offer(entry(7))
    with pytest.raises(Slow):
        await anext(subscription)
    assert subscription.waiting == 0


async def test_one_message_may_be_larger_than_the_whole_queue() -> None:
    subscription = queue_of(entry(1, size=10**9), queue_bytes=500)
    assert await drained(subscription) == [1]
