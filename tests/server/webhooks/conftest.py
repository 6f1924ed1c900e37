"""A server that calls webhooks in a hurry, a receiver, and a person with a case."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from server import webhooks, webhooks_sending
from server.services import Services
from server.settings import Settings
from tests.server.live import Live, running
from tests.server.webhooks import webhook_server
from tests.server.webhooks.owner import Owner
from tests.server.webhooks.receiver import Receiver, receiving

TRIES = 4


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter times, for as long as the test lasts."""
    for module, names in (
        (webhooks, ("LEASE_S", "LOOK_S", "FIRST_WAIT_S", "LONGEST_WAIT_S")),
        (webhooks_sending, ("TIMEOUT_S",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))
    webhook_server.hurry()


@pytest.fixture
def calling(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """Settings that allow webhooks; a parameter is how often a delivery is tried."""
    tries = getattr(request, "param", TRIES)
    return settings.model_copy(update={"webhook_hosts": "127.0.0.1", "webhook_attempts": tries})


@pytest_asyncio.fixture(loop_scope="session")
async def live(
    hurried: None, calling: Settings, services: Services, redis_client: Any, database: str
) -> AsyncIterator[Live]:
    """A server on emptied stores, which may call webhooks."""
    async with running(calling, services) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def ann(live: Live) -> AsyncIterator[Owner]:
    async with live.person() as person:
        yield Owner(live, person, await person.case())
