"""The client and its commands: nothing missed and nothing done twice, whatever becomes of the connection."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import server.client_topics
from server.client import Behind, Client, Refused
from server.errors import Close
from server.services import Services
from storage.keys import shard_keys
from storage.machine_store import shard_of
from tests.bench.serving import PASSWORD, Server
from tests.bench.serving import server as serving
from tests.patience import PATIENCE_S
from tests.server.live import PASSWORD as LIVE_PASSWORD
from tests.server.live import Live

ROOT = Path(__file__).resolve().parents[2]


class Cutting:
    """A proxy that breaks connections, on request just before the next answer is handed on."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.port = 0
        self.cut_next_answer = False
        self.cuts = 0
        self._open: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Break every connection now."""
        self.cuts += 1
        for writer in self._open:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        self._open |= {writer, back}

        async def carry(source: asyncio.StreamReader, to: asyncio.StreamWriter, answers: bool) -> None:
            try:
                while block := await source.read(65536):
                    if answers and self.cut_next_answer:
                        self.cut_next_answer = False
                        self.cut()
                        return
                    to.write(block)
                    await to.drain()
            except OSError:
                pass
            finally:
                to.close()

        await asyncio.gather(carry(reader, back, False), carry(there, writer, True))
        self._open -= {writer, back}


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(live: Live) -> AsyncIterator[Cutting]:
    made = Cutting(live.parts.settings.port)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    made.cut()


@asynccontextmanager
async def client_of(live: Live, port: int | None = None) -> AsyncIterator[tuple[Client, dict[str, Any], str]]:
    """A connected client, its case, and the case's topic."""
    async with live.person() as ann:
        case = await ann.case()
        async with Client(live.url, timeout_s=PATIENCE_S) as client:
            await client.login(ann.email, LIVE_PASSWORD)
            if port is not None:  # only the websocket goes through the proxy, as its Origin must fit
                client._wire._address = f"ws://127.0.0.1:{port}/ws"
            await client.connect()
            yield client, case, f"case:{case['id']}"


async def rename(live: Live, case: dict[str, Any], title: str) -> None:
    await live.parts.engine.send(
        case["machine"], "rename", {"title": title}, source="client", role="owner", actor="x"
    )


async def test_a_reader_gets_a_snapshot_and_each_entry_once_over_cut_connections(
    live: Live, proxy: Cutting
) -> None:
    async with client_of(live, proxy.port) as (client, case, topic):
        messages = client.follow(topic)
        first = await anext(messages)
        assert first["type"] == "snapshot"
        count = 40

        async def write() -> None:
            for number in range(count):
                await rename(live, case, f"{number}")
                await asyncio.sleep(0.02)
                if number % 8 == 3:
                    proxy.cut()

        writing = asyncio.create_task(write())
        seen = [await asyncio.wait_for(anext(messages), PATIENCE_S) for _ in range(count)]
        await writing
        assert [message["context"]["title"] for message in seen] == [f"{n}" for n in range(count)]
        assert [message["offset"] for message in seen] == [first["offset"] + n + 1 for n in range(count)]
        assert proxy.cuts == 5
        there = await live.parts.store.read_topic(topic)
        assert client.topics[topic].machines[case["machine"]]["revision"] == there.machines[0].revision


async def test_a_request_whose_answer_was_lost_is_done_once_and_answered(live: Live, proxy: Cutting) -> None:
    async with client_of(live, proxy.port) as (client, case, _):
        for number in range(5):
            proxy.cut_next_answer = True
            reply = await client.send(case["machine"], "rename", {"title": f"{number}"})
            assert (reply["revision"], reply["repeated"]) == (2 + number, True)
        assert proxy.cuts == 5


async def test_a_reader_goes_on_from_a_position(live: Live) -> None:
    async with client_of(live) as (client, case, topic):
        epoch, offset = await live.parts.store.position(topic)
        for title in ("One", "Two", "Three"):
            await rename(live, case, title)
        messages = client.follow(topic, since=(epoch, offset + 1))
        seen = [(await anext(messages))["context"]["title"] for _ in range(2)]
        assert seen == ["Two", "Three"]
        await messages.aclose()
        assert topic not in client.topics
        assert not live.parts.hub.topics


async def test_an_answer_that_comes_twice_brings_no_entry_twice(live: Live, proxy: Cutting) -> None:
    """A subscription that was cut is asked again, and so is the topic that it was for."""
    async with client_of(live, proxy.port) as (client, case, topic):
        position = await live.parts.store.position(topic)
        for title in ("One", "Two"):
            await rename(live, case, title)
        proxy.cut_next_answer = True
        messages = client.follow(topic, since=position)
        seen = [(await asyncio.wait_for(anext(messages), PATIENCE_S))["context"]["title"] for _ in range(2)]
        await rename(live, case, "Three")
        seen.append((await asyncio.wait_for(anext(messages), PATIENCE_S))["context"]["title"])
        assert (seen, proxy.cuts) == (["One", "Two", "Three"], 1)


async def test_a_gap_that_the_log_cannot_fill_shows_as_a_snapshot(live: Live) -> None:
    async with client_of(live) as (client, case, topic):
        messages = client.follow(topic)
        await anext(messages)
        shard = shard_keys(shard_of(topic, live.parts.settings.shards))
        await live.parts.redis.set(shard.era, "another")
        await rename(live, case, "After")
        message = await asyncio.wait_for(anext(messages), PATIENCE_S)
        assert message["type"] == "snapshot"
        assert message["machines"][0]["context"]["title"] == "After"


async def test_a_reader_comes_again_after_a_server_sent_it_elsewhere(live: Live) -> None:
    async with client_of(live) as (client, case, topic):
        messages = client.follow(topic)
        await anext(messages)
        for number in range(3):
            await live.parts.sockets.close_all(Close.SHUTDOWN, within_s=2)
            await rename(live, case, f"{number}")
            message = await asyncio.wait_for(anext(messages), PATIENCE_S)
            assert message["context"]["title"] == f"{number}"


async def test_a_right_that_ends_ends_the_reading(live: Live) -> None:
    async with client_of(live) as (_, case, topic), live.person("bob") as bob:
        await live.parts.cases.set_member(case["id"], bob.email, "viewer")
        async with Client(live.url, timeout_s=PATIENCE_S) as theirs:
            await theirs.login(bob.email, LIVE_PASSWORD)
            await theirs.connect()
            messages = theirs.follow(topic)
            await anext(messages)
            await live.parts.cases.remove_member(case["id"], bob.id)
            await live.parts.rights.announce(bob.id)
            with pytest.raises(Refused, match=r"access\.ended"):
                await asyncio.wait_for(anext(messages), PATIENCE_S)


async def test_a_login_that_ends_ends_everything_for_good(live: Live) -> None:
    async with client_of(live) as (client, _, topic):
        messages = client.follow(topic)
        await anext(messages)
        await client.request("POST", "/api/logout")
        with pytest.raises(ConnectionError, match="3500"):
            await asyncio.wait_for(anext(messages), PATIENCE_S)
        with pytest.raises(ConnectionError):
            await client.call({"type": "ping"})
        with pytest.raises(ConnectionError):
            await client.wait_for(lambda: False, timeout_s=5)


async def test_a_reader_that_is_too_far_behind_is_told(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.client_topics, "MOST_UNREAD", 3)
    async with client_of(live) as (client, case, topic):
        messages = client.follow(topic)
        await anext(messages)
        for number in range(8):
            await client.send(case["machine"], "rename", {"title": f"{number}"})
        await client.wait_for(lambda: client.topics[topic].offset >= 9, 10)
        seen = [(await anext(messages))["context"]["title"] for _ in range(3)]
        assert seen == ["0", "1", "2"]
        with pytest.raises(Behind):
            await anext(messages)


async def test_a_refusal_tells_what_is_allowed_and_a_server_that_is_not_there_is_an_error(live: Live) -> None:
    async with client_of(live) as (client, case, topic):
        with pytest.raises(Refused) as refused:
            await client.send(case["machine"], "reopen")
        assert (refused.value.code, refused.value.allowed) == (
            "event.not_allowed",
            ["close", "hold", "remove", "rename"],
        )
        with pytest.raises(Refused, match=r"machine\.revision"):
            await client.send(case["machine"], "hold", if_revision=7)
        await client.subscribe(topic)
        with pytest.raises(ValueError, match="already"):
            await anext(client.follow(topic))
    async with Client("http://127.0.0.1:1") as nobody:
        with pytest.raises(ConnectionError):
            await nobody.login("a@example.org", "x")
        with pytest.raises(ConnectionError):
            await nobody.connect()


async def cli(*arguments: str, url: str, stdin: str = "") -> tuple[int, str, str]:
    """One command and what it said."""
    process = await started(*arguments, "--email", "ann@example.org", "--url", url)
    out, err = await asyncio.wait_for(process.communicate((stdin or LIVE_PASSWORD).encode()), PATIENCE_S)
    return process.returncode or 0, out.decode(), err.decode()


async def started(*arguments: str) -> Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CASEWIRE_")}
    command = [sys.executable, "-m", "server.cli", *arguments]
    return await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=ROOT, env=environment
    )


@pytest.mark.slow
async def test_commands_send_and_spawn_and_tell_by_their_status_what_became_of_it(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        send = ("send", case["machine"])
        status, out, _ = await cli(*send, "rename", "title=42 bridges", "--event-id", "e1", url=live.url)
        assert (status, "revision 2" in out, "allowed: close, hold, remove, rename" in out) == (0, True, True)
        status, out, _ = await cli(*send, "rename", "--data", '{"title": "x"}', "--event-id=e1", url=live.url)
        assert (status, "as it was the first time" in out) == (0, True)
        status, out, err = await cli(*send, "reopen", url=live.url)
        assert (status, out) == (1, "")
        assert "event.not_allowed" in err
        assert "allowed: close, hold, remove, rename" in err
        status, _, err = await cli(*send, "hold", "--if-revision", "9", url=live.url)
        assert (status, "machine.revision" in err) == (1, True)
        status, out, _ = await cli(
            "spawn", "query", f"case:{case['id']}", "question=Who signed?", "--json", url=live.url
        )
        assert status == 0
        assert json.loads(out)["machine"].startswith("query-")
        status, _, err = await cli(*send, "rename", "title", url=live.url)
        assert (status, "NAME=VALUE" in err) == (2, True)
        status, _, err = await cli(*send, "rename", url=live.url, stdin="wrong\n")
        assert (status, "casewire:" in err) == (1, True)


@pytest.mark.slow
async def test_watch_prints_every_entry_once_though_the_server_is_killed_again_and_again(
    services: Services, redis_client: Any, database: str
) -> None:
    """Redis stays: one that was restarted begins a new epoch, and a snapshot takes the place of entries."""
    stores = {
        "REDIS_URL": services.redis_url,
        "CASEWIRE_QUEUE_URL": services.queue_url,
        "DATABASE_URL": services.database_url,
    }
    async with (
        serving(**stores, CASEWIRE_CPU_WORKERS="0", CASEWIRE_GPU_WORKERS="0") as running,
        Client(running.url, timeout_s=PATIENCE_S) as client,
    ):
        await client.register("ann@example.org", "Ann", PASSWORD)
        case = await client.request("POST", "/api/cases", {"title": "A bridge"})
        await client.connect()
        process = await started(
            "watch", f"case:{case['id']}", "--json", "--email", "ann@example.org", "--url", running.url
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(PASSWORD.encode() + b"\n")
            await process.stdin.drain()
            snapshot = json.loads(await asyncio.wait_for(process.stdout.readline(), PATIENCE_S))
            assert snapshot["type"] == "snapshot"
            killing = asyncio.create_task(kill_twice(running))
            count = 60
            for number in range(count):
                await client.send(case["machine"], "rename", {"title": f"{number}"})
                await asyncio.sleep(0.03)
            await killing
            printed = [
                json.loads(await asyncio.wait_for(process.stdout.readline(), PATIENCE_S))
                for _ in range(count)
            ]
        finally:
            process.kill()
            await process.wait()
    entries = [message for message in printed if message["type"] == "entry"]
    offsets = [entry["offset"] for entry in entries]
    assert len(offsets) == len(set(offsets))
    assert [entry["context"]["title"] for entry in entries] == [f"{n}" for n in range(count)]


async def kill_twice(running: Server) -> None:
    for _ in range(2):
        await asyncio.sleep(0.3)
        await running.kill()
        await running.start()
