"""A running server for the tests of the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from redis.asyncio import Redis

from server.services import Services
from server.settings import Settings
from tests.server.live import Live, running


@pytest_asyncio.fixture(loop_scope="session")
async def live(
    settings: Settings, services: Services, redis_client: Redis, database: str
) -> AsyncIterator[Live]:
    """A server on emptied stores."""
    async with running(settings, services) as started:
        yield started
