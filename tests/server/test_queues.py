"""What somebody waits for comes before the work of a folder, in its own order, and starves nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from server.queues import JobQueues
from server.services import Services
from storage.machine_store import OutboxItem


@pytest.fixture
def queues(services: Services, redis_client: Redis) -> Iterator[JobQueues]:
    made = JobQueues(services.queue_url)
    yield made
    made.close()


def item(kind: str, number: int) -> OutboxItem:
    machine = f"{kind}-0-{number}"
    return OutboxItem(
        shard=0,
        entry=f"0-{number}",
        effect_id=f"{machine}:1:0",
        name="EmbedChunks",
        args={"evidence": number},
        queue="gpu",
        machine=machine,
        topic="case:c",
        trace="",
    )


def waiting(queues: JobQueues) -> list[str]:
    return [effect.partition(":")[0] for effect in queues.waiting("gpu")]


async def test_questions_come_first_in_the_order_they_were_asked(queues: JobQueues) -> None:
    for kind, number in (("upload", 1), ("query", 2), ("upload", 3), ("query", 4), ("query", 5)):
        assert queues.enqueue(item(kind, number))
    assert waiting(queues) == ["query-0-2", "query-0-4", "query-0-5", "upload-0-1", "upload-0-3"]


async def test_what_gave_way_goes_on_next_behind_the_questions(queues: JobQueues) -> None:
    queues.enqueue(item("upload", 1))
    assert not queues.urgent_waits("gpu")
    queues.enqueue(item("query", 2))
    assert queues.urgent_waits("gpu")
    assert not queues.urgent_waits("cpu")
    queues.enqueue(item("upload", 3), place="front")
    assert waiting(queues) == ["query-0-2", "upload-0-3", "upload-0-1"]


async def test_an_item_waits_once_wherever_it_stands(queues: JobQueues) -> None:
    for _ in range(2):
        queues.enqueue(item("query", 1))
        queues.enqueue(item("upload", 2), place="front")
    assert waiting(queues) == ["query-0-1", "upload-0-2"]


async def test_more_questions_than_one_look_takes_in_keep_their_order(queues: JobQueues) -> None:
    queues.enqueue(item("upload", 0))
    for number in range(1, 231):
        queues.enqueue(item("query", number))
    assert waiting(queues) == [*(f"query-0-{number}" for number in range(1, 231)), "upload-0-0"]


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    steps=st.lists(st.tuples(st.sampled_from(["query", "upload"]), st.booleans()), min_size=1, max_size=12)
)
def test_nothing_is_lost_and_questions_stay_in_front(
    queues: JobQueues, steps: list[tuple[str, bool]]
) -> None:
    queues._redis.flushdb()
    for number, (kind, had_its_turn) in enumerate(steps):
        queues.enqueue(item(kind, number), place="front" if had_its_turn else "turn")
    found = waiting(queues)
    assert sorted(found) == sorted(f"{kind}-0-{number}" for number, (kind, _) in enumerate(steps))
    urgent = [name for name in found if name.startswith("query-")]
    assert found[: len(urgent)] == urgent
    asked = [(f"query-0-{n}", first) for n, (kind, first) in enumerate(steps) if kind == "query"]
    assert urgent == [*(n for n, first in asked[::-1] if first), *(n for n, first in asked if not first)]
