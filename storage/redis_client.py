"""The client of the machines' Redis, which may be one server or a cluster.

Commands, pipelines, transactions on one key and scripts are called alike in both; what differs is
asked for here.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    RedisClusterException,
    SlotNotCoveredError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import TimeoutError as NoAnswer

from storage.batches_redis import Batches, Part

CONNECTIONS = 50
"""The most at once, to each server."""

_NAMED = DriverInfo()
"""What connections call themselves; each would read its version from the files of the package."""

ELSEWHERE = (
    MovedError,
    AskError,
    ClusterDownError,
    TryAgainError,
    SlotNotCoveredError,
    LostConnection,
    NoAnswer,
)


async def connect(url: str, **options: Any) -> Redis:
    """A client of what is found at `url`; replies are bytes. End it by `aclose`.

    A cluster's client is typed as a server's, whose commands it takes: `cluster_of` tells.

    Args:
        options: For redis-py's connections, such as `socket_timeout`.

    Raises:
        redis.RedisError, OSError: Nothing answers there.
    """
    options = {"max_connections": CONNECTIONS, "driver_info": _NAMED, **options}
    pool = BlockingConnectionPool.from_url(url, **options)
    client = Redis.from_pool(pool)
    try:
        if not await found_cluster(client):
            return client
    except BaseException:
        await client.aclose()
        raise
    await client.aclose()
    cluster = RedisCluster.from_url(url, **options)
    try:
        await cluster.initialize()
    except RedisClusterException as error:
        raise LostConnection(f"the cluster cannot be used: {error}") from error
    return cast(Redis, cluster)


async def found_cluster(client: Redis) -> bool:
    """Whether the server that answers is one of a cluster."""
    return bool((await client.info("cluster")).get("cluster_enabled"))


def cluster_of(redis: Redis) -> RedisCluster | None:
    """The client as a cluster's; None where it is one server's."""
    client: object = redis
    return client if isinstance(client, RedisCluster) else None


async def servers(redis: Redis, section: str = "everything") -> list[dict[str, Any]]:
    """INFO of every server that takes writes, in a fixed order."""
    cluster = cluster_of(redis)
    if cluster is None:
        return [await redis.info(section)]
    await cluster.initialize()
    found = await cluster.info(section, target_nodes=RedisCluster.PRIMARIES)
    return [found[name] for name in sorted(found)]


async def to_any(redis: Redis) -> tuple[type[AbstractConnection], dict[str, Any]]:
    """Class and arguments of a connection to the server, or to any of the cluster.

    Each of a cluster hears what is published on any of them.
    """
    cluster = cluster_of(redis)
    if cluster is None:
        return redis.connection_pool.connection_class, redis.connection_pool.connection_kwargs
    await cluster.initialize()
    node = random.choice(cluster.get_primaries())
    return node.connection_class, node.connection_kwargs


class Calls:
    """Single commands on one key each, sent in batches."""

    def __init__(self, redis: Redis) -> None:
        self._cluster = cluster_of(redis)
        self._nodes: dict[str, tuple[ClusterNode, Batches]] = {}
        if self._cluster is None:
            retry = redis.get_retry() or Retry(ExponentialWithJitterBackoff(base=0.01, cap=1.0), 10)
            self._batches = Batches(redis.connection_pool, retry)

    def call(self, key: str, *command: Part) -> Awaitable[Any]:
        """See `Batches.call`; `key` tells the server, and is one of those in the command."""
        if self._cluster is None:
            return self._batches.call(*command)
        return self._route(self._cluster, key, command)

    async def _route(self, cluster: RedisCluster, key: str, command: tuple[Part, ...]) -> Any:
        await cluster.initialize()
        try:
            return await self._on(cluster.get_node_from_key(key)).call(*command)
        except ELSEWHERE:
            # The slot has moved or its server is away: redis-py finds it again, with its retries.
            return await cluster.execute_command(*command)

    def _on(self, node: ClusterNode | None) -> Batches:
        if node is None:
            raise ClusterDownError("a slot is not covered")
        known = self._nodes.get(node.name)
        if known is None or known[0] is not node:
            known = self._nodes[node.name] = (node, Batches(_NodeConnections(node), Retry(NoBackoff(), 0)))
        return known[1]


class _NodeConnections:
    """The connections of one server of a cluster, to borrow and give back."""

    def __init__(self, node: ClusterNode) -> None:
        self._node = node

    async def get_connection(self) -> AbstractConnection:
        connection = self._node.acquire_connection()
        try:
            await self._node.disconnect_if_needed(connection)
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            self._node.release(connection)
            raise
        return connection

    async def release(self, connection: Any) -> None:
        self._node.release(connection)
