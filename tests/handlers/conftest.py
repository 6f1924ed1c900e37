"""A small case for the tests of retrieval, with the real encoder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.minilm import MiniLM
from storage.database import create_engine
from tests.handlers.small_case import SmallCase, small_case


@pytest.fixture(scope="session")
def encoder() -> MiniLM:
    return MiniLM("cpu")


@pytest_asyncio.fixture(loop_scope="session")
async def rows(database: str) -> AsyncIterator[AsyncEngine]:
    """A pool on the emptied database."""
    engine = create_engine(database)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture(loop_scope="session")
async def quarry(rows: AsyncEngine, redis_client: Redis, encoder: MiniLM) -> SmallCase:
    return await small_case(rows, redis_client, encoder)
