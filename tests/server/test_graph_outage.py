"""A Neo4j that goes away in the middle of its writes catches up, and the steps that need it say so."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.job import Temporary
from handlers.rank import build_graph
from handlers.search import search_links
from machines.query import SearchLinks
from server.beside import followers_of, graph_of
from server.cli_rebuild import rebuild
from server.faults import fault_of
from server.prepare import prepare
from server.services import Services
from server.settings import Settings
from storage.database import create_engine
from storage.entities import Entities, MentionDraft
from storage.evidence import EvidenceStore
from storage.follow import Follower, StoreAway, StoreUnfit
from storage.follow_neo4j import Neo4jFollower
from storage.graph import Limits
from storage.graph_neo4j import GraphNeo4j
from storage.graph_postgres import GraphPostgres
from storage.marks import Marks
from storage.neo4j_place import Neo4jPlace, driver_of
from tests.case_rows import QuietJob, new_case, store
from tests.contracts import RanAgainst
from tests.neo4j import neo4j_place
from tests.server.keeping import keeping_up
from tests.server.live import running
from tests.services import neo4j_server
from tests.services.launching import free_port

WITHIN_S = 120.0
EMPTY = "MATCH (n) DETACH DELETE n"


class Relay:
    """Passes on what comes to a port of its own, and breaks every connection when it is told to.

    Attributes:
        breaks_after: Bytes from a client after which its connection breaks; None: it does not.
        broken: Connections that broke so.
    """

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        self._to = (parts.hostname or "", parts.port or 7687)
        self._port = free_port()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.breaks_after: int | None = None
        self.broken = 0

    @property
    def uri(self) -> str:
        return f"bolt://127.0.0.1:{self._port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._pass_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with _closed(writer):
            from_server, to_server = await asyncio.open_connection(*self._to)
            async with _closed(to_server):
                ways = [
                    asyncio.ensure_future(self._forth(reader, to_server)),
                    asyncio.ensure_future(self._back(from_server, writer)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)

    async def _forth(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = 0
        while block := await reader.read(2**14):
            passed += len(block)
            if self.breaks_after is not None and passed > self.breaks_after:
                self.broken += 1
                return
            writer.write(block)
            await writer.drain()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while block := await reader.read(2**14):
            writer.write(block)
            await writer.drain()


@asynccontextmanager
async def _closed(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class World:
    """PostgreSQL with a case, a Neo4j behind a relay, and the loop that keeps it up."""

    def __init__(self, engine: AsyncEngine, redis: Redis, case: str, follower: Follower) -> None:
        self.engine, self.redis, self.case, self.follower = engine, redis, case, follower
        self.marks = Marks(engine)

    async def bring(self, names: str) -> list[int]:
        """Evidence that mentions people, a piece for each letter."""
        found = []
        for name in names:
            evidence = await store(self.engine, self.case, name, f"A text of {name}.\n\n" * 300)
            chunks = await EvidenceStore(self.engine).chunks(evidence)
            drafts = [
                MentionDraft("person", f"p{i % 5}", f"Person {i % 5}", chunk.id, start, start + 1)
                for i, chunk in enumerate(chunks)
                for start in range(1 + i % 3)
            ]
            await Entities(self.engine).replace(self.case, evidence, drafts, pois=[])
            found.append(evidence)
        return found

    def keeping_up(self) -> AbstractAsyncContextManager[None]:
        return keeping_up(self.redis, self.marks, self.follower, pauses_s=(0.02, 0.2))

    async def has_all(self) -> bool:
        (state,) = await self.marks.states()
        return state.phase == "following" and state.waiting == 0

    async def says_that_it_is_away(self) -> bool:
        (state,) = await self.marks.states()
        return bool(state.error)

    async def assert_equal(self) -> None:
        compared = await self.follower.compare()
        assert compared.agree, compared.examples
        assert compared.compared > 20


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await what():  # noqa: ASYNC110 - what it waits for is in a database
            await asyncio.sleep(0.05)


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture(loop_scope="session")
async def relay(ran_against: RanAgainst) -> AsyncIterator[Relay]:
    async with neo4j_place() as place:
        await place.run(EMPTY, {})
        await place.make()
        ran_against("Neo4j behind KeepingUp", f"Neo4j {await place.version()}")
        await place.run(EMPTY, {})
        relay = Relay(os.environ["TEST_NEO4J_URI"])
        await relay.start()
        yield relay
        await relay.stop()
        await place.run(EMPTY, {})


@pytest.fixture
def with_neo4j(settings: Settings, relay: Relay) -> Settings:
    return settings.model_copy(
        update={
            "neo4j_uri": relay.uri,
            "neo4j_user": os.environ.get("TEST_NEO4J_USER", "neo4j"),
            "neo4j_password": os.environ.get("TEST_NEO4J_PASSWORD"),
        }
    )


@pytest_asyncio.fixture(loop_scope="session")
async def world(with_neo4j: Settings, engine: AsyncEngine, redis_client: Redis) -> AsyncIterator[World]:
    async with followers_of(with_neo4j, engine) as followers:
        case = await new_case(engine)
        await Marks(engine).register(followers[0])
        yield World(engine, redis_client, case, followers[0])


async def test_connections_that_break_in_the_middle_of_writes_lose_nothing(
    world: World, relay: Relay
) -> None:
    await world.bring("ab")
    async with world.keeping_up():
        for breaks_after, names in ((500, "cde"), (2_000, "fgh"), (4_500, "ijk")):
            broken, relay.breaks_after = relay.broken, breaks_after
            first = await world.bring(names)
            await until(partial(_more, relay, broken))
            async with world.engine.begin() as connection:
                await connection.execute(
                    text("UPDATE evidence SET hidden_at = now() WHERE id = :id"), {"id": first[0]}
                )
            relay.breaks_after = None
            await until(world.has_all)
    assert relay.broken >= 3
    await world.assert_equal()


async def _more(relay: Relay, broken: int) -> bool:
    return relay.broken > broken


async def test_while_it_is_away_steps_say_so_and_nobody_takes_its_place(
    world: World, relay: Relay, with_neo4j: Settings
) -> None:
    async with world.keeping_up():
        await world.bring("a")
        await until(world.has_all)
        async with graph_of(with_neo4j, world.engine) as graph:
            effect, job = SearchLinks(case=world.case, question="What did Person 1 do?"), QuietJob()
            assert (await search_links(effect, job, graph=graph)).found
            await relay.stop()
            with pytest.raises(Temporary, match=r"Neo4j at bolt://127.0.0.1:\d+ does not answer"):
                await search_links(effect, job, graph=graph)
            with pytest.raises(Temporary, match="does not answer"):
                await build_graph(world.case, "Person 1?", {"words": []}, graph=graph)
            with pytest.raises(StoreAway) as told:
                await graph.whole(world.case)
            assert (fault_of(told.value).status, fault_of(told.value).temporary) == (503, True)
            await world.bring("b")
            await until(world.says_that_it_is_away)
            await relay.start()
            await until(world.has_all)
            assert (await search_links(effect, job, graph=graph)).found
    await world.assert_equal()


async def test_a_wrong_password_is_final_and_names_the_settings(
    with_neo4j: Settings, engine: AsyncEngine
) -> None:
    if with_neo4j.neo4j_password is None:
        pytest.skip("this Neo4j asks for no password")
    wrong = with_neo4j.model_copy(update={"neo4j_password": "not it"})
    async with followers_of(wrong, engine) as (follower,):
        with pytest.raises(StoreUnfit, match="NEO4J_USER and NEO4J_PASSWORD"):
            await follower.check()


async def test_a_missing_database_is_final_and_names_the_setting(
    with_neo4j: Settings, engine: AsyncEngine
) -> None:
    missing = with_neo4j.model_copy(update={"neo4j_database": "nowhere"})
    async with followers_of(missing, engine) as (follower,):
        with pytest.raises(StoreUnfit, match="set NEO4J_DATABASE"):
            await follower.check()


async def test_a_store_that_lost_its_graph_is_told_and_rebuilt_by_command(
    world: World, with_neo4j: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world.keeping_up():
        await world.bring("ab")
        await until(world.has_all)
    async with neo4j_place() as place:
        await place.run(EMPTY, {})
    with pytest.raises(StoreUnfit, match="casewire rebuild graph"):
        await world.follower.check()
    assert await rebuild(with_neo4j, "graph", check=False) == 0
    assert await rebuild(with_neo4j, "graph", check=True) == 0
    assert "0 missing, 0 too many, 0 different" in capsys.readouterr().out


async def test_a_server_fills_it_and_shows_how_far_it_is(
    world: World, with_neo4j: Settings, services: Services
) -> None:
    await world.bring("a")
    await prepare(with_neo4j, services)
    async with running(with_neo4j, services) as live:
        await until(world.has_all)
        async with live.person() as ann:
            status = (await ann.http.get("/api/status")).json()
    (row,) = status["followers"]
    assert (row["name"], row["phase"], row["waiting"]) == ("graph", "following", 0)
    assert row["version"].startswith("Neo4j 5.")
    assert row["problem"] is None
    assert status["backends"]["graph"].startswith("Neo4j")
    if with_neo4j.neo4j_password:
        assert with_neo4j.neo4j_password not in str(status)


@pytest.mark.timeout(400)
async def test_a_server_that_is_killed_in_the_middle_of_writes_catches_up(
    engine: AsyncEngine, redis_client: Redis, relay: Relay, ran_against: RanAgainst
) -> None:
    port, password = free_port(), "only-for-this-test"
    uri = f"bolt://127.0.0.1:{port}"
    place = Neo4jPlace(driver_of(uri, "neo4j", password), "killed", uri)
    world = World(engine, redis_client, await new_case(engine), Neo4jFollower(place, engine))
    await world.marks.register(world.follower)
    with tempfile.TemporaryDirectory(prefix="casewire-neo4j-", dir="/tmp") as name:
        try:
            with neo4j_server.served(Path(name), port=port, password=password) as server:
                await _kill_in_the_middle(world, place, server.pid)
            with neo4j_server.served(Path(name), port=port, password=password):
                async with world.keeping_up():
                    await until(world.has_all)
                await world.assert_equal()
                await _assert_alike(world, place)
        finally:
            await place.driver.close()


async def _kill_in_the_middle(world: World, place: Neo4jPlace, pid: int) -> None:
    async def some_are_there() -> bool:
        return bool((await place.read("MATCH (n:Evidence) RETURN count(n)", {}))[0][0] > 3)

    async with world.keeping_up():
        await world.bring("ab")
        await until(world.has_all)
        bringing = asyncio.create_task(world.bring("cdefgh"))
        await until(some_are_there)
        os.kill(pid, signal.SIGKILL)
        await bringing
        await until(world.says_that_it_is_away)
    (state,) = await world.marks.states()
    assert state.waiting


async def _assert_alike(world: World, place: Neo4jPlace) -> None:
    neo4j, postgres = GraphNeo4j(place, world.engine), GraphPostgres(world.engine)
    names = [name.node for name in await postgres.names(world.case)]
    found = [await graph.around(world.case, [], names, Limits()) for graph in (neo4j, postgres)]
    found += [await graph.whole(world.case) for graph in (neo4j, postgres)]
    for one, other in (found[:2], found[2:]):
        assert len(one.weights) > 20
        assert one.nodes.tolist() == other.nodes.tolist()
        assert one.weights.tolist() == other.weights.tolist()
