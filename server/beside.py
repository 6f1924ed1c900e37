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
from storage.graph import Graph
from storage.graph_postgres import GraphPostgres
from storage.instance import instance_of
from storage.vectors import Vectors
from storage.vectors_pgvector import PgVectors

if TYPE_CHECKING:
    from storage.neo4j_place import Neo4jPlace
    from storage.qdrant_place import QdrantPlace

SETTING_OF: Mapping[str, str] = {"vectors": "QDRANT_URL", "graph": "NEO4J_URI"}
"""What has to be set so that there is such a follower."""


def follower_names(settings: Settings) -> list[str]:
    """The followers that are configured."""
    configured = (("vectors", settings.qdrant_url), ("graph", settings.neo4j_uri))
    return [name for name, url in configured if url is not None]


@asynccontextmanager
async def followers_of(settings: Settings, database: AsyncEngine) -> AsyncIterator[Sequence[Follower]]:
    """The configured followers, closed in the end. Asks them nothing."""
    async with AsyncExitStack() as stack:
        followers: list[Follower] = []
        if settings.qdrant_url is not None:
            from storage.follow_qdrant import QdrantFollower

            followers.append(QdrantFollower(await _qdrant(settings, database), database))
        if settings.neo4j_uri is not None:
            from storage.follow_neo4j import Neo4jFollower

            followers.append(Neo4jFollower(await _neo4j(settings, database), database))
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


@asynccontextmanager
async def graph_of(settings: Settings, database: AsyncEngine) -> AsyncIterator[Graph]:
    """The graph of cases: its edges walked in Neo4j where one is configured, else in PostgreSQL."""
    if settings.neo4j_uri is None:
        yield GraphPostgres(database)
        return
    from storage.graph_neo4j import GraphNeo4j

    place = await _neo4j(settings, database)
    try:
        yield GraphNeo4j(place, database)
    finally:
        await place.driver.close()


async def _qdrant(settings: Settings, database: AsyncEngine) -> QdrantPlace:
    from storage.qdrant_place import QdrantPlace, client_of, collection_of, shown

    assert settings.qdrant_url is not None
    client = client_of(settings.qdrant_url, settings.qdrant_api_key)
    return QdrantPlace(client, collection_of(await instance_of(database)), shown(settings.qdrant_url))


async def _neo4j(settings: Settings, database: AsyncEngine) -> Neo4jPlace:
    from storage.neo4j_place import Neo4jPlace, driver_of, shown

    assert settings.neo4j_uri is not None
    driver = driver_of(settings.neo4j_uri, settings.neo4j_user, settings.neo4j_password)
    return Neo4jPlace(
        driver, await instance_of(database), shown(settings.neo4j_uri), database=settings.neo4j_database
    )
