"""Casewire with a crowd of people for the benchmarks of push: stores of its own, everybody logged in."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
from redis.asyncio import Redis
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from machines.snapshot import Snapshot
from machines.step import Step, chart_of, hash_of
from server.app import DATABASE_CONNECTIONS
from server.auth import COOKIE
from server.engine import Engine
from server.messages import SUBPROTOCOL
from server.prepare import prepare
from server.services import running_services
from server.sessions import Sessions
from server.settings import Settings
from storage.cases import CASES, MEMBERS
from storage.database import create_engine
from storage.era import settle_era
from storage.keys import topic_keys
from storage.machine_store import shard_of
from storage.machine_store_redis import RedisMachineStore
from storage.people import USERS
from storage.redis_client import connect
from tests.bench.push_crowd import opening
from tests.bench.serving import Server


@dataclass
class Stage:
    """A running server, and what stands behind it.

    Attributes:
        tokens: Cookie of each person; person n owns case n modulo the number of cases.
        cases: Ids; each case has its machine.
    """

    server: Server
    redis: Redis
    redis_url: str
    database: AsyncEngine
    store: RedisMachineStore
    engine: Engine
    settings: Settings
    tokens: list[str]
    people: list[str]
    cases: list[str]
    machines: list[str]

    @property
    def process(self) -> psutil.Process:
        """The server."""
        assert self.server.process is not None
        return psutil.Process(self.server.process.pid)

    def request(self, person: int) -> bytes:
        """The websocket handshake of somebody."""
        headers = (
            f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\nCookie: {COOKIE}={self.tokens[person]}\r\n"
            f"Origin: {self.server.url}\r\n"
        )
        return opening(self.server.port, "/ws", headers)

    def channel(self, case: int) -> str:
        """The Redis channel of a case."""
        topic = f"case:{self.cases[case]}"
        return topic_keys(shard_of(topic, self.settings.shards), topic).channel


@asynccontextmanager
async def stage(*, people: int, cases: int = 1) -> AsyncIterator[Stage]:
    """Start the stores and a server, with so many people, who take turns in owning so many cases."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="casewire-"))
        settings = Settings(
            data=Path(folder) / "stores",
            redis_url=None,
            queue_url=None,
            database_url=None,
            public_url=None,
        )
        services = await stack.enter_async_context(running_services(settings))
        await prepare(settings, services)
        redis = await connect(services.redis_url)
        stack.push_async_callback(redis.aclose)
        database = create_engine(services.database_url, pool_size=DATABASE_CONNECTIONS)
        stack.push_async_callback(database.dispose)
        era = await settle_era(redis, database, shards=settings.shards)
        store = RedisMachineStore(redis, shards=settings.shards, era=era)
        engine = Engine(store, shards=settings.shards)
        sessions = Sessions(redis, idle_s=3600)
        ids = [secrets.token_hex(10) for _ in range(people)]
        names = [secrets.token_hex(10) for _ in range(cases)]
        machines = []
        for name in names:
            spawned = await engine.spawn("case", f"case:{name}", {"title": "Bench"}, actor=ids[0])
            machines.append(spawned.machine)
        async with database.begin() as connection:
            await connection.execute(
                insert(USERS),
                [
                    {
                        "id": i,
                        "email": f"{i}@example.org",
                        "name": "P",
                        "password_hash": "",
                        "is_admin": False,
                    }
                    for i in ids
                ],
            )
            await connection.execute(
                insert(CASES),
                [
                    {"id": name, "title": "Bench", "description": "", "machine": machine}
                    for name, machine in zip(names, machines, strict=True)
                ],
            )
        rows = [
            {"case_id": names[n % cases], "user_id": person, "role": "owner"} for n, person in enumerate(ids)
        ]
        async with database.begin() as connection:
            await connection.execute(insert(MEMBERS), rows)
        tokens = []
        for start in range(0, people, 100):
            begun = await asyncio.gather(*(sessions.begin(i) for i in ids[start : start + 100]))
            tokens += [token for token, _ in begun]
        server = Server(
            str(Path(folder) / "server"),
            {
                "REDIS_URL": services.redis_url,
                "CASEWIRE_QUEUE_URL": services.redis_url,
                "DATABASE_URL": services.database_url,
                "CASEWIRE_CPU_WORKERS": "0",
                "CASEWIRE_GPU_WORKERS": "0",
            },
        )
        stack.push_async_callback(server.stop)
        await server.start()
        yield Stage(
            server=server,
            redis=redis,
            redis_url=services.redis_url,
            database=database,
            store=store,
            engine=engine,
            settings=settings,
            tokens=tokens,
            people=ids,
            cases=names,
            machines=machines,
        )


def _account(person: str) -> dict[str, object]:
    email = f"{person}@example.org"
    return {"id": person, "email": email, "name": "P", "password_hash": "", "is_admin": False}


def bare_commits(of: Stage, case: int) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """Keys and arguments of one commit of a case after another; the first one begins what there is."""
    topic = f"case:{of.cases[case]}"
    snapshot = _bare_case(of.machines[case], topic)
    for number in itertools.count():
        yield of.store.packed(Step(snapshot, changed=snapshot.context), event_id=f"bare {number}", actor="u")
        context = {"title": f"title {number}"}
        snapshot = replace(snapshot, revision=snapshot.revision + 1, context=context, updated_at=time.time())


def _bare_case(machine: str, topic: str) -> Snapshot:
    """The second revision of a case, as it would be renamed."""
    chart = chart_of("case")
    return Snapshot(
        id=machine,
        kind="case",
        chart_version=chart.version,
        chart_hash=hash_of("case"),
        topic=topic,
        revision=2,
        configuration=["open"],
        context={"title": "title"},
        updated_at=time.time(),
    )
