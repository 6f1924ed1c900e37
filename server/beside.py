"""The one place that chooses which stores stand beside PostgreSQL, by the settings.

What reads from such a store is made here for a process, and so is what keeps the store equal to
PostgreSQL. Their clients are imported where they are configured alone: they take a second to load.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncEngine

from server.settings import Settings
from storage.follow import Follower
from storage.instance import instance_of
from storage.vectors import Vectors
from storage.vectors_pgvector import PgVectors

if TYPE_CHECKING:
    from storage.qdrant_place import QdrantPlace

SETTING_OF: Mapping[str, str] = {"vectors": "QDRANT_URL", "graph": "NEO4J_URI"}
"""What has to be set so that there is such a follower."""


def follower_names(settings: Settings) -> list[str]:
    """The followers that are configured."""
    return [name for name, url in (("vectors", settings.qdrant_url),) if url is not None]


@asynccontextmanager
async def followers_of(settings: Settings, database: AsyncEngine) -> AsyncIterator[Sequence[Follower]]:
    """The configured followers, closed in the end. Asks them nothing."""
    async with AsyncExitStack() as stack:
        followers: list[Follower] = []
        if settings.qdrant_url is not None:
            from storage.follow_qdrant import QdrantFollower

            followers.append(QdrantFollower(await _qdrant(settings, database), database))
        for follower in followers:
            stack.push_async_callback(follower.aclose)
        yield followers


@asynccontextmanager
async def vectors_of(settings: Settings, database: AsyncEngine) -> AsyncIterator[Vectors]:
    """The vectors of chunks: searched in Qdrant where one is configured, else in PostgreSQL."""
    if settings.qdrant_url is None:
        yield PgVectors(database)
        return
    from storage.vectors_qdrant import QdrantVectors

    place = await _qdrant(settings, database)
    try:
        yield QdrantVectors(place, database)
    finally:
        await place.client.close()


async def _qdrant(settings: Settings, database: AsyncEngine) -> QdrantPlace:
    from storage.qdrant_place import QdrantPlace, client_of, collection_of, shown

    assert settings.qdrant_url is not None
    client = client_of(settings.qdrant_url, settings.qdrant_api_key)
    return QdrantPlace(client, collection_of(await instance_of(database)), shown(settings.qdrant_url))
