"""Commands that go together and are answered apart."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as NoAnswer

from server.services import Services
from storage.batches_redis import MOST_COMMANDS, MOST_LANES, Batches
from storage.redis_client import connect
from tests.cutting import cutting_proxy
from tests.patience import PATIENCE_S


def batches_of(client: Redis, retries: int = 0) -> Batches:
    return Batches(client.connection_pool, Retry(NoBackoff(), retries))


async def test_each_caller_gets_the_reply_to_its_own_command(services: Services) -> None:
    client = await connect(services.redis_url)
    batches = batches_of(client)
    replies = await asyncio.gather(*(batches.call("ECHO", f"{n}") for n in range(1000)))
    assert replies == [f"{n}".encode() for n in range(1000)]
    listed = await client.client_list()
    mine = [each for each in listed if each["cmd"] in ("echo", "client", "client|list")]
    assert len(mine) <= MOST_LANES + 1
    await client.aclose()


async def test_what_redis_refuses_is_told_to_the_one_who_asked(services: Services) -> None:
    client = await connect(services.redis_url)
    batches = batches_of(client)
    told = await asyncio.gather(
        *(batches.call("ECHO" if n % 3 else "NONSENSE", f"{n}") for n in range(60)), return_exceptions=True
    )
    assert [isinstance(reply, ResponseError) for reply in told] == [n % 3 == 0 for n in range(60)]
    with pytest.raises(TypeError):
        batches.call("ECHO", None)  # type: ignore[arg-type]
    assert await batches.call("ECHO", "after") == b"after"
    await client.aclose()


async def test_a_caller_that_is_cancelled_harms_nobody(services: Services) -> None:
    client = await connect(services.redis_url)
    batches = batches_of(client)
    for pause_s in (0, 0.0005, 0.002):

        async def ask(n: int) -> bytes:
            reply: bytes = await batches.call("ECHO", f"{n}")
            return reply

        tasks = [asyncio.create_task(ask(n)) for n in range(300)]
        await asyncio.sleep(pause_s)
        for task in tasks[::2]:
            task.cancel()
        told = await asyncio.gather(*tasks, return_exceptions=True)
        assert told[1::2] == [f"{n}".encode() for n in range(1, 300, 2)]
    await client.aclose()


async def test_lost_replies_are_asked_for_again_and_no_oftener_than_told(services: Services) -> None:
    async with cutting_proxy(services.redis_url, services.data_dir) as proxy:
        client = await connect(proxy.url)
        left = 3

        def cut(asked: bytes, reply: bytes) -> int | None:
            nonlocal left
            left -= 1
            return None if left < 0 else 0

        proxy.cut = cut
        assert await batches_of(client, 3).call("ECHO", "a") == b"a"
        left = 4
        with pytest.raises(LostConnection):
            await batches_of(client, 3).call("ECHO", "a")
        assert await batches_of(client, 3).call("ECHO", "b") == b"b"
        await client.aclose()


async def test_nothing_is_waited_for_where_all_were_cancelled_whose_replies_are_lost(
    services: Services,
) -> None:
    async with cutting_proxy(services.redis_url, services.data_dir) as proxy:
        # Without a limit, so that waiting for no reply at all would have no end.
        client = await connect(proxy.url, socket_timeout=None)
        batches = batches_of(client, 3)

        def cut(asked: bytes, reply: bytes) -> int | None:
            if b"ECHO" not in asked:
                return None
            asking.cancel()
            return 0

        proxy.cut = cut
        asking = batches.call("ECHO", "a")
        async with asyncio.timeout(PATIENCE_S):
            while proxy.cuts == 0 or batches._lanes:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        await client.aclose()


async def test_whoever_asks_when_all_lanes_are_at_their_end_is_answered(services: Services) -> None:
    client = await connect(services.redis_url)
    batches = batches_of(client)
    for _ in range(50):
        asked = [batches.call("ECHO", f"{n}") for n in range(MOST_LANES * MOST_COMMANDS)]
        for _ in range(5):
            await asyncio.sleep(0)  # all is sent, if the connections are there
        time.sleep(0.02)  # noqa: ASYNC251 - so that all replies are read in one turn
        while not all(lane.done() for lane in batches._lanes):  # noqa: ASYNC110 - turn by turn
            await asyncio.sleep(0)
        assert all(reply.done() for reply in asked)
        if len(batches._lanes) == MOST_LANES:
            break
    else:
        pytest.fail("the lanes never came to their end together")
    async with asyncio.timeout(PATIENCE_S):
        assert await batches.call("ECHO", "a") == b"a"
    await client.aclose()


async def test_a_redis_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    # A connection shakes hands first; the time for one answer bounds that, too.
    server = await asyncio.start_unix_server(silent, tmp_path / "silent.sock")
    client = Redis.from_url(f"unix://{tmp_path / 'silent.sock'}", socket_timeout=0.2)
    batches = batches_of(client)
    told = await asyncio.gather(*(batches.call("PING") for _ in range(200)), return_exceptions=True)
    assert all(isinstance(error, (NoAnswer, LostConnection)) for error in told), told[0]
    await client.aclose()
    server.close()


async def answered(batches: Batches, *command: str) -> object:
    """The reply, once one comes in time: where this process starves, it may take a real one for none."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(NoAnswer):
                return await batches.call(*command)


async def test_a_redis_that_stops_answering_is_given_up(services: Services) -> None:
    client = await connect(services.redis_url, socket_timeout=0.3)
    batches = batches_of(client)
    assert await answered(batches, "ECHO", "a") == b"a"
    with pytest.raises(NoAnswer):
        await batches.call("BLPOP", "nothing:is:pushed:here", 0)
    assert await answered(batches, "ECHO", "b") == b"b"
    await client.aclose()


async def test_a_lane_keeps_its_connection_for_the_next(services: Services) -> None:
    client = await connect(services.redis_url)
    batches = batches_of(client)
    ids = {await batches.call("CLIENT", "ID") for _ in range(20)}
    assert len(ids) == 1
    await asyncio.gather(*(batches.call("ECHO", f"{n}") for n in range(500)))
    assert len({await batches.call("CLIENT", "ID") for _ in range(20)}) <= MOST_LANES
    await client.aclose()
    assert await batches.call("ECHO", "again") == b"again"
    await client.aclose()


async def test_a_kept_connection_that_redis_has_closed_is_made_anew(services: Services) -> None:
    client = await connect(services.redis_url)
    batches = batches_of(client, retries=1)
    for _ in range(3):
        mine = await batches.call("CLIENT", "ID")
        assert await client.client_kill_filter(_id=str(mine)) == 1
        assert await batches.call("CLIENT", "ID") != mine
    await client.aclose()


async def test_whoever_asks_again_at_each_reply_needs_no_further_connection(services: Services) -> None:
    client = await connect(services.redis_url)
    batches = batches_of(client)
    await batches.call("ECHO", "first")
    before = (await client.info("stats"))["total_connections_received"]
    for number in range(50):
        await batches.call("ECHO", f"{number}")
    assert (await client.info("stats"))["total_connections_received"] == before
    await client.aclose()
