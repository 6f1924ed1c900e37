"""Many writers of the same machines, on connections that break at the worst moment."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from redis.asyncio import Redis

from server.engine import Busy, Engine, Outcome
from server.services import Services
from storage.machine_store import Unavailable
from storage.machine_store_redis import RedisMachineStore
from storage.redis_client import connect
from tests.cutting import CuttingProxy, cutting_proxy
from tests.patience import PATIENCE_S
from tests.server.conftest import SHARDS, TOPIC


async def rename(engine: Engine, machine: str, title: str, **more: Any) -> Outcome:
    return await engine.send(machine, "rename", {"title": title}, source="client", role="owner", **more)


async def applied(engine: Engine, machine: str) -> list[tuple[int, str]]:
    """Revision and title of every rename in the log, in its order."""
    epoch, _ = await engine.store.position(TOPIC)
    log = await engine.store.read_log(TOPIC, epoch, 0)
    assert log is not None
    return [
        (entry["revision"], entry["context"]["title"])
        for entry in log.entries
        if entry["machine"] == machine and entry["event"] == "rename"
    ]


async def patiently(engine: Engine, machine: str, title: str) -> Outcome:
    """Tell the same again as long as too many others are faster."""
    while True:
        with contextlib.suppress(Busy):
            return await rename(engine, machine, title, event_id=title)


async def test_two_servers_apply_every_acknowledged_event_of_one_machine_once(
    engine: Engine, other: Engine
) -> None:
    machine = (await engine.spawn("case", TOPIC, {"title": "A"})).machine
    ledger: dict[str, int] = {}

    async def write(server: Engine, number: int) -> None:
        event_id = f"event {number}"
        for _ in range(2):  # a client that tells the same twice, to whichever server
            done = await patiently(server, machine, event_id)
            assert ledger.setdefault(event_id, done.revision) == done.revision

    await asyncio.gather(
        *(
            write(server, 2 * number + turn)
            for number in range(150)
            for turn, server in enumerate((engine, other))
        )
    )
    told = await applied(engine, machine)
    assert [revision for revision, _ in told] == list(range(2, 302))
    assert {title: revision for revision, title in told} == ledger
    assert Counter(title for _, title in told) == Counter(f"event {n}" for n in range(300))


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(services: Services) -> AsyncIterator[CuttingProxy]:
    async with cutting_proxy(services.redis_url, services.data_dir) as proxy:
        yield proxy


async def test_a_sender_whose_reply_is_cut_again_and_again_gets_the_outcome_of_one_application(
    engine: Engine, redis_client: Redis, proxy: CuttingProxy
) -> None:
    client = await connect(proxy.url)
    through = Engine(RedisMachineStore(client, shards=SHARDS, era="e0"), shards=SHARDS)
    machines = [(await engine.spawn("case", TOPIC, {"title": "A"})).machine for _ in range(6)]
    chance = random.Random(8)

    def cut(asked: bytes, reply: bytes) -> int | None:
        """Two of five replies, and then all of it or the end."""
        if b"EVALSHA" not in asked or chance.random() > 0.4:
            return None
        return chance.choice((0, chance.randrange(len(reply))))

    proxy.cut = cut
    ledger: dict[str, list[tuple[int, str]]] = {machine: [] for machine in machines}

    async def write(machine: str) -> None:
        for number in range(60):
            title = f"{machine} {number}"
            while True:
                try:
                    done = await rename(through, machine, title, event_id=title)
                    break
                except Unavailable:  # its retries were all cut; the client sends the same again
                    continue
            assert done.configuration == ["open"]
            ledger[machine].append((done.revision, title))

    try:
        async with asyncio.timeout(2 * PATIENCE_S):
            await asyncio.gather(*(write(machine) for machine in machines))
    finally:
        await client.aclose()
    assert proxy.cuts >= 60
    for machine in machines:
        assert await applied(engine, machine) == ledger[machine]
        assert [revision for revision, _ in ledger[machine]] == list(range(2, 62))


async def test_what_another_process_did_is_seen_though_an_older_snapshot_is_at_hand(
    engine: Engine, other: Engine
) -> None:
    machine = (await engine.spawn("case", TOPIC, {"title": "A"})).machine
    await rename(engine, machine, "B")
    await other.send(machine, "close", {}, source="client", role="owner")
    # The snapshot at hand is open and would refuse this.
    done = await engine.send(machine, "reopen", {}, source="client", role="owner")
    assert (done.revision, done.configuration) == (4, ["open"])
    await rename(other, machine, "C")
    # And this it would accept on top of what is gone.
    done = await rename(engine, machine, "D")
    assert done.revision == 6
    snapshot = await other.load(machine)
    assert snapshot is not None
    assert (snapshot.revision, snapshot.context["title"]) == (6, "D")
