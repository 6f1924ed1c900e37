"""Three server processes on one port: what happens on one reaches the others, and one may die."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import psutil
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection

from tests.patience import PATIENCE_S
from tests.proof.instance import Instance
from tests.server.live import Live, Person, Wire

PROCESSES = 3
_MOST_CONNECTIONS = 200


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def instance() -> AsyncIterator[Instance]:
    """A real instance of three processes, without workers."""
    instance = Instance(CASEWIRE_PROCESSES=str(PROCESSES), CASEWIRE_CPU_WORKERS="0", CASEWIRE_GPU_WORKERS="0")
    try:
        await instance.start()
        await until_all_serve(instance)
        yield instance
        assert await instance.stop() == 0
    finally:
        await instance.stop()
        instance.clear()


@pytest_asyncio.fixture(loop_scope="session")
async def ann(instance: Instance) -> AsyncIterator[Person]:
    async with person(instance, "ann") as known:
        yield known


@asynccontextmanager
async def person(instance: Instance, name: str) -> AsyncIterator[Person]:
    live = Live(instance.url, parts=None)  # type: ignore[arg-type]  # the parts are in other processes
    async with live.person(name, login=False) as known:
        if not (await known.register()).is_success:
            assert (await known.login()).is_success
        yield known


def servers(instance: Instance) -> list[int]:
    """Process ids of the server processes."""
    assert instance.pid is not None
    found = []
    for child in psutil.Process(instance.pid).children():
        try:
            if "server.one_of_several" in child.cmdline():
                found.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


async def until_all_serve(instance: Instance, other_than: int = 0) -> None:
    """Wait until every process listens."""
    async with asyncio.timeout(PATIENCE_S):
        while not all_serve(instance, other_than):  # noqa: ASYNC110 - what is awaited happens elsewhere
            await asyncio.sleep(0.1)


def all_serve(instance: Instance, other_than: int) -> bool:
    return len([pid for pid in servers(instance) if pid != other_than and listens(pid)]) == PROCESSES


def listens(pid: int) -> bool:
    try:
        return any(c.status == psutil.CONN_LISTEN for c in psutil.Process(pid).net_connections("tcp"))
    except psutil.NoSuchProcess:
        return False


def server_of(instance: Instance, socket: ClientConnection) -> int:
    """Process id of the server at the other end."""
    port = socket.local_address[1]
    for pid in servers(instance):
        if any(c.raddr and c.raddr.port == port for c in psutil.Process(pid).net_connections("tcp")):
            return pid
    raise AssertionError("nobody has the other end")


async def one_on_each(instance: Instance, who: Person, stack: AsyncExitStack) -> dict[int, Wire]:
    """A websocket on every process: connections are opened until each has one."""
    found: dict[int, Wire] = {}
    for _ in range(_MOST_CONNECTIONS):
        wire = await stack.enter_async_context(who.socket())
        assert (await wire.ask("ping"))["type"] == "ok"
        found.setdefault(server_of(instance, wire.socket), wire)
        if len(found) == PROCESSES:
            return found
    raise AssertionError(f"{_MOST_CONNECTIONS} connections reached only {len(found)} processes")


async def http_on(who: Person, pid: int, stack: AsyncExitStack) -> httpx.AsyncClient:
    """A client whose one connection has come to the process."""
    for _ in range(_MOST_CONNECTIONS):
        http = httpx.AsyncClient(
            base_url=who.http.base_url,
            cookies=who.http.cookies,
            headers={"Origin": who.live.url, "X-CSRF-Token": who.csrf},
            limits=httpx.Limits(max_connections=1),
            timeout=PATIENCE_S,
        )
        await stack.enter_async_context(http)
        if (await http.get("/api/status")).json()["server"]["pid"] == pid:
            return http
    raise AssertionError(f"no connection came to process {pid}")


async def test_what_happens_on_one_process_is_seen_on_all(instance: Instance, ann: Person) -> None:
    async with AsyncExitStack() as stack:
        wires = await one_on_each(instance, ann, stack)
        case = await ann.case()
        topic = f"case:{case['id']}"
        for wire in wires.values():
            assert (await wire.ask("subscribe", topic=topic))["type"] == "ok"
        for number, wire in enumerate(wires.values()):
            title = f"Title {number}"
            reply = await wire.ask("send", machine=case["machine"], event="rename", data={"title": title})
            assert reply["type"] == "ok"
            for other in wires.values():
                await told(other, title)


async def told(wire: Wire, title: str) -> None:
    def names(message: dict[str, Any]) -> bool:
        return bool(message["type"] == "entry" and message["context"].get("title") == title)

    if not any(map(names, wire.seen)):
        await wire.until(names)


async def test_content_is_received_from_one_sender_although_another_comes_to_another_process(
    instance: Instance, ann: Person
) -> None:
    async with AsyncExitStack() as stack:
        first, second, third = servers(instance)
        wires = await one_on_each(instance, ann, stack)
        case = await ann.case()
        await wires[third].ask("subscribe", topic=f"case:{case['id']}")
        body = {"filename": "a.txt", "bytes": 8}
        machine = (await ann.call("POST", f"/api/cases/{case['id']}/uploads", body)).json()["machine"]
        path, begun, go = f"/api/uploads/{machine}/content", asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield b"four"
            begun.set()
            await go.wait()
            yield b"more"

        sending = asyncio.create_task((await http_on(ann, first, stack)).put(path, content=slowly()))
        await begun.wait()
        refused = await (await http_on(ann, second, stack)).put(path, content=b"others!!")
        go.set()
        assert (await sending).status_code == 200
        assert refused.json()["code"] == "upload.busy"
        entry = await wires[third].until(lambda m: m["type"] == "entry" and m["event"] == "received")
        assert entry["context"]["received"] == 8


async def test_a_membership_that_ends_on_one_process_closes_its_topic_on_the_others(
    instance: Instance, ann: Person
) -> None:
    async with AsyncExitStack() as stack:
        bob = await stack.enter_async_context(person(instance, "bob"))
        case = await ann.case()
        await ann.invite(case, bob, "viewer")
        wires = await one_on_each(instance, bob, stack)
        for wire in wires.values():
            assert (await wire.ask("subscribe", topic=f"case:{case['id']}"))["type"] == "ok"
        assert (await ann.call("DELETE", f"/api/cases/{case['id']}/members/{bob.id}")).is_success
        for wire in wires.values():
            if not any(message["type"] == "closed" for message in wire.seen):
                await wire.until(lambda message: message["type"] == "closed")


@pytest.mark.slow
async def test_a_killed_process_takes_its_own_connections_only_and_comes_back(
    instance: Instance, ann: Person
) -> None:
    async with AsyncExitStack() as stack:
        wires = await one_on_each(instance, ann, stack)
        case = await ann.case()
        for wire in wires.values():
            await wire.ask("subscribe", topic=f"case:{case['id']}")
        victim, *others = wires
        os.kill(victim, signal.SIGKILL)
        await wires[victim].close_code()
        reply = await wires[others[0]].ask(
            "send", machine=case["machine"], event="rename", data={"title": "Still here"}
        )
        assert reply["type"] == "ok"
        await told(wires[others[1]], "Still here")
        await until_all_serve(instance, other_than=victim)
        assert {*others} < {*servers(instance)}
        assert victim not in servers(instance)


async def test_the_status_names_every_process(instance: Instance, ann: Person) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = (await ann.call("GET", "/api/status")).json()["servers"]
            if {server["pid"] for server in found} == {*servers(instance)}:
                break
            await asyncio.sleep(0.3)
    assert all(server["rss_bytes"] > 0 for server in found)


@pytest.mark.slow
async def test_history_goes_on_after_all_processes_were_stopped_in_good_order(
    instance: Instance, ann: Person
) -> None:
    case = await ann.case()
    topic = f"case:{case['id']}"
    async with ann.socket() as wire:
        epoch = (await wire.ask("subscribe", topic=topic))["epoch"]
        children = servers(instance)
        assert await instance.stop() == 0
        assert await wire.close_code() == 3000
    assert not any(psutil.pid_exists(pid) for pid in children)
    await instance.start()
    async with ann.socket() as wire:
        assert (await wire.ask("subscribe", topic=topic))["epoch"] == epoch
    await until_all_serve(instance)
