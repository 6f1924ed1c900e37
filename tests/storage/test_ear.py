"""A connection of redis-py's whose transport is heard directly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import InvalidResponse

from server.services import Services
from storage.ear_redis import Ear
from tests.patience import PATIENCE_S


def connection_to(url: str) -> AbstractConnection:
    pool = Redis.from_url(url).connection_pool
    connection: AbstractConnection = pool.connection_class(**pool.connection_kwargs | {"protocol": 2})
    return connection


class Heard(asyncio.Queue[Any]):
    """What was heard."""

    async def some(self, count: int) -> list[Any]:
        return [await asyncio.wait_for(self.get(), PATIENCE_S) for _ in range(count)]


async def ear_to(url: str, heard: Heard) -> Ear:
    return await Ear.connected(connection_to(url), heard.put_nowait)


async def test_replies_are_heard_in_order_and_whole(services: Services) -> None:
    heard = Heard()
    ear = await ear_to(services.redis_url, heard)
    for number in range(200):
        ear.ask("ECHO", f"{number}" * 1000)
    assert await heard.some(200) == [f"{number}".encode() * 1000 for number in range(200)]
    assert not await ear.lost_within(0.01)
    await ear.aclose()
    assert await ear.lost_within(PATIENCE_S)


async def test_what_is_published_is_heard_until_the_connection_is_killed(services: Services) -> None:
    heard = Heard()
    ear = await ear_to(services.redis_url, heard)
    ear.ask("SUBSCRIBE", "news")
    await heard.some(1)
    async with Redis.from_url(services.redis_url) as client:
        await client.publish("news", b"one")
        assert await heard.some(1) == [[b"message", b"news", b"one"]]
        assert await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub") == 1
    with pytest.raises(LostConnection):
        await ear.lost_within(PATIENCE_S)
    ear.ask("PING")  # in vain, and without harm
    await ear.aclose()


async def test_a_refusal_ends_the_connection(services: Services) -> None:
    ear = await ear_to(services.redis_url, Heard())
    ear.ask("NONSENSE")
    with pytest.raises(LostConnection, match="NONSENSE"):
        await ear.lost_within(PATIENCE_S)
    await ear.aclose()


async def test_whoever_hears_may_end_it_by_raising(services: Services) -> None:
    def refuse(reply: Any) -> None:
        raise ValueError(reply)

    ear = await Ear.connected(connection_to(services.redis_url), refuse)
    ear.ask("ECHO", "a")
    ear.ask("ECHO", "b")
    with pytest.raises(ValueError, match="b'a'"):
        await ear.lost_within(PATIENCE_S)
    await ear.aclose()


@pytest.fixture
async def babbling(tmp_path: Path) -> AsyncIterator[str]:
    """A server that greets as Redis does, and then says what is no reply."""

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(b"?\r\n" if b"ECHO" in data else b"+OK\r\n" * data.count(b"*"))
        writer.close()

    server = await asyncio.start_unix_server(babble, tmp_path / "babble.sock")
    yield f"unix://{tmp_path / 'babble.sock'}"
    server.close()


async def test_bytes_that_are_no_reply_end_the_connection(babbling: str) -> None:
    ear = await ear_to(babbling, Heard())
    ear.ask("ECHO", "a")
    with pytest.raises(InvalidResponse):
        await ear.lost_within(PATIENCE_S)
    await ear.aclose()
