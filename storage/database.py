"""The connection pool to PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import orjson
from sqlalchemy import ARRAY, BindParameter, Text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


IDLE_S = 10.0
"""A process that is stopped within a transaction keeps its locks no longer than this."""


def create_engine(database_url: str, *, pool_size: int = 5, idle_s: float = IDLE_S) -> AsyncEngine:
    """A pool for one process and one event loop; dispose of it with `await engine.dispose()`.

    Args:
        database_url: `postgresql://…`; the asyncpg driver is added where no driver is named.
        pool_size: Connections kept open; as many again may be opened under load.
        idle_s: Seconds after which the server ends a transaction that asks nothing of it any more.
    """
    return create_async_engine(
        with_driver(database_url),
        connect_args={
            "async_creator_fn": _connect,
            "server_settings": {"idle_in_transaction_session_timeout": f"{idle_s * 1000:.0f}"},
        },
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        json_serializer=_dumps,
        json_deserializer=orjson.loads,
    )


async def _connect(*args: Any, **options: Any) -> Any:
    """As asyncpg, but a server that is away is a `ConnectionError`, even where its socket file is gone."""
    try:
        return await asyncpg.connect(*args, **options)
    except OSError as error:
        raise ConnectionError(f"the database does not answer: {error}") from error


def texts(values: Sequence[str]) -> BindParameter[Any]:
    """One parameter for however many texts, so that the statement, and its plan, stays the same."""
    return BindParameter(None, list(values), ARRAY(Text), unique=True)


def with_driver(database_url: str) -> str:
    """The URL with its scheme naming asyncpg."""
    scheme, separator, rest = database_url.partition("://")
    if separator and scheme in ("postgres", "postgresql"):
        return f"postgresql+asyncpg://{rest}"
    return database_url
