"""What `/metrics` tells of event streams and webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from server.services import Services
from server.settings import Settings
from tests.server.live import Live, running
from tests.server.sse_reader import stream
from tests.server.test_metrics import of, read
from tests.server.webhooks.receiver import receiving


@pytest_asyncio.fixture(loop_scope="session")
async def live(
    settings: Settings, services: Services, redis_client: Any, database: str
) -> AsyncIterator[Live]:
    async with running(settings.model_copy(update={"webhook_hosts": "127.0.0.1"}), services) as started:
        yield started


async def test_requests_to_webhooks_are_counted_by_how_they_ended(live: Live) -> None:
    async with live.person() as ann:
        topic = f"case:{(await ann.case())['id']}"
        before = await read(ann)
        async with receiving() as receiver:
            made = await ann.call("POST", "/api/webhooks", {"topic": topic, "url": receiver.url})
            path = f"/api/webhooks/{made.json()['id']}/ping"
            await ann.call("POST", path)
            receiver.plan = [500]
            await ann.call("POST", path)
        await ann.call("POST", path)
        after = await read(ann)

    def grown(name: str, **labels: str) -> float:
        return after.get(of(name, **labels), 0.0) - before.get(of(name, **labels), 0.0)

    ended = ("delivered", "refused", "unanswered")
    assert [grown("casewire_webhook_requests_total", result=each) for each in ended] == [1, 1, 1]
    assert grown("casewire_webhook_seconds_count") == 3


async def test_open_streams_are_counted(live: Live) -> None:
    async with live.person() as ann:
        topic = f"case:{(await ann.case())['id']}"
        assert (await read(ann))[of("casewire_streams")] == 0
        async with stream(ann, topic) as one, stream(ann, topic) as other:
            assert await one.next()
            assert await other.next()
            assert (await read(ann))[of("casewire_streams")] == 2
