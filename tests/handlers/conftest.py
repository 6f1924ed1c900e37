"""A small case for the tests of retrieval, with the real encoder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.embedder import Embedder
from handlers.minilm import MiniLM
from storage.database import create_engine
from tests.handlers.small_case import SmallCase, small_case


class Remembering:
    """The real encoder, asked once for each text."""

    name, dimensions, host = MiniLM.name, MiniLM.dimensions, ""

    def __init__(self) -> None:
        self._model = MiniLM("cpu")
        self._known: dict[str, NDArray[np.float32]] = {}

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known |= zip(new, self._model.encode(new), strict=True)
        return np.array([self._known[text] for text in texts])

    def required_bytes(self, texts: int) -> int:
        return self._model.required_bytes(texts)


@pytest.fixture(scope="session")
def encoder() -> Embedder:
    return Remembering()


@pytest_asyncio.fixture(loop_scope="session")
async def rows(database: str) -> AsyncIterator[AsyncEngine]:
    """A pool on the emptied database."""
    engine = create_engine(database)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture(loop_scope="session")
async def quarry(rows: AsyncEngine, redis_client: Redis, encoder: Embedder) -> SmallCase:
    return await small_case(rows, redis_client, encoder)
