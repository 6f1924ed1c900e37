"""A store beside PostgreSQL keeps up, through outages, and holds the same in the end.

Qdrant is its local mode behind REST here (`tests.qdrant_server`): that it stops and comes back is real,
connections and all; how it searches is not what is looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from qdrant_client import models
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.job import Permanent, Temporary
from handlers.search import search_meaning
from machines.query import SearchMeaning
from server.beside import followers_of, vectors_of
from server.cli_rebuild import rebuild
from server.cli_wire import CommandFailed, Misused
from server.prepare import prepare
from server.services import Services
from server.settings import Settings
from storage.database import create_engine
from storage.evidence import EvidenceStore
from storage.follow import Comparison, Follower, StoreUnfit
from storage.instance import instance_of
from storage.marks import FollowerState, Marks
from storage.qdrant_place import collection_of
from storage.vectors import Vectors
from storage.words import Words
from tests.case_rows import QuietJob, new_case, store, unit
from tests.handlers.leaving_case import Hashed
from tests.qdrant_server import QdrantStand, qdrant_stand
from tests.server.keeping import keeping_up
from tests.server.live import running

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]
WITHIN_S = 60.0
KEY = "only-for-this-test"


@dataclass
class World:
    """PostgreSQL with a case, a Qdrant, and the loop that keeps it up."""

    settings: Settings
    services: Services
    engine: AsyncEngine
    redis: Redis
    qdrant: QdrantStand
    follower: Follower
    vectors: Vectors
    case: str

    @property
    def marks(self) -> Marks:
        return Marks(self.engine)

    async def state(self) -> FollowerState:
        (state,) = await self.marks.states()
        return state

    async def bring(self, names: str) -> list[int]:
        """Evidence with vectors, a piece for each letter."""
        found = []
        for name in names:
            evidence = await store(self.engine, self.case, name, f"A text of {name}.\n\n" * 60)
            chunks = await EvidenceStore(self.engine).chunks(evidence)
            place = ord(name) - ord("a")
            await self.vectors.put(self.case, {c.id: unit(1, place, i) for i, c in enumerate(chunks)})
            found.append(evidence)
        return found

    def keeping_up(self) -> AbstractAsyncContextManager[None]:
        return keeping_up(self.redis, self.marks, self.follower, pauses_s=(0.02, 0.1))

    async def compared(self) -> Comparison:
        return await self.follower.compare()


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await what():  # noqa: ASYNC110 - what it waits for is in a database
            await asyncio.sleep(0.02)


@pytest_asyncio.fixture(loop_scope="session")
async def world(
    settings: Settings, services: Services, redis_client: Redis, database: str
) -> AsyncIterator[World]:
    engine = create_engine(database)
    async with qdrant_stand(key=KEY) as qdrant:
        with_qdrant = settings.model_copy(update={"qdrant_url": qdrant.url, "qdrant_api_key": KEY})
        async with followers_of(with_qdrant, engine) as followers, vectors_of(with_qdrant, engine) as vectors:
            case = await new_case(engine)
            await Marks(engine).register(followers[0])
            yield World(with_qdrant, services, engine, redis_client, qdrant, followers[0], vectors, case)
    await engine.dispose()


async def has_all(world: World) -> bool:
    state = await world.state()
    return state.phase == "following" and state.waiting == 0


async def test_what_was_there_and_what_comes_is_copied(world: World) -> None:
    await world.bring("ab")
    async with world.keeping_up():
        await until(lambda: has_all(world))
        await world.bring("c")
        await until(lambda: has_all(world))
    compared = await world.compared()
    assert (compared.agree, compared.compared > 3) == (True, True)
    assert (await world.state()).error == ""


async def test_while_it_is_away_the_import_goes_on_and_afterwards_nothing_is_missing(world: World) -> None:
    async with world.keeping_up():
        first = await world.bring("ab")
        await until(lambda: has_all(world))
        await world.qdrant.stop()
        await world.bring("cde")
        async with world.engine.begin() as connection:
            await connection.execute(text("DELETE FROM evidence WHERE id = :id"), {"id": first[0]})

        async def told() -> bool:
            return "does not answer" in (await world.state()).error

        await until(told)
        state = await world.state()
        assert state.waiting > 3
        assert state.failing_since is not None
        await world.bring("f")
        await world.qdrant.start()
        await until(lambda: has_all(world))

        async def well() -> bool:
            return (await world.state()).error == ""

        await until(well)
    compared = await world.compared()
    assert compared.agree, compared.examples
    async with world.engine.connect() as connection:
        there = await connection.scalar(text("SELECT count(*) FROM chunks WHERE vector IS NOT NULL"))
    assert compared.compared == there


async def test_what_is_erased_while_it_is_away_is_gone_when_it_is_back(world: World) -> None:
    async with world.keeping_up():
        await world.bring("abc")
        await until(lambda: has_all(world))
        await world.qdrant.stop()
        async with world.engine.begin() as connection:
            await connection.execute(text("DELETE FROM cases"))
        await world.qdrant.start()
        await until(lambda: has_all(world))
    collection = collection_of(await instance_of(world.engine))
    assert (await world.qdrant.client.count(collection)).count == 0


async def test_a_question_says_that_it_is_away_and_nobody_takes_its_place(world: World) -> None:
    async with world.keeping_up():
        await world.bring("a")
        await until(lambda: has_all(world))
    effect = SearchMeaning(case=world.case, question="A text")
    job: Any = QuietJob()
    words = Words(world.engine)
    found = await search_meaning(effect, job, vectors=world.vectors, words=words, encoder=Hashed())  # type: ignore[arg-type]
    assert found.found
    await world.qdrant.stop()
    with pytest.raises(Temporary, match=r"Qdrant at http://127.0.0.1:\d+ does not answer"):
        await search_meaning(effect, job, vectors=world.vectors, words=words, encoder=Hashed())  # type: ignore[arg-type]
    await world.qdrant.start()
    await world.qdrant.client.delete_collection(collection_of(await instance_of(world.engine)))
    with pytest.raises(Permanent, match="casewire rebuild vectors"):
        await search_meaning(effect, job, vectors=world.vectors, words=words, encoder=Hashed())  # type: ignore[arg-type]


async def test_until_it_holds_everything_postgresql_is_searched(world: World) -> None:
    await world.bring("a")
    assert await world.vectors.nearest(world.case, unit(1), 3)
    assert not [path for path in world.qdrant.asked if "query" in path]


async def test_a_store_without_its_collection_is_told_and_rebuilt_by_command(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world.keeping_up():
        await world.bring("ab")
        await until(lambda: has_all(world))
    await world.qdrant.client.delete_collection(collection_of(await instance_of(world.engine)))
    with pytest.raises(StoreUnfit, match="casewire rebuild vectors"):
        await world.follower.check()
    assert await rebuild(world.settings, "vectors", check=False) == 0
    assert (await world.compared()).agree
    assert "100%" in capsys.readouterr().out
    assert await rebuild(world.settings, "vectors", check=True) == 0
    assert "0 missing, 0 too many, 0 different" in capsys.readouterr().out


async def test_the_check_names_what_differs(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    async with world.keeping_up():
        (evidence,) = await world.bring("a")
        await until(lambda: has_all(world))
    chunks = await EvidenceStore(world.engine).chunks(evidence)
    ids = [chunk.id for chunk in chunks]
    assert len(ids) >= 2
    client, collection = world.qdrant.client, collection_of(await instance_of(world.engine))
    await client.delete(collection, [ids[0]])
    await client.set_payload(collection, {"case": "another"}, [ids[1]])
    await client.upsert(collection, [models.PointStruct(id=999_999_999, vector=unit(1).tolist())])
    assert await rebuild(world.settings, "vectors", check=True) == 1
    told = capsys.readouterr().out
    assert f"chunk {ids[0]} of case {world.case} is missing" in told
    assert f"chunk {ids[1]} of case {world.case} is not the same" in told
    assert "point 999999999 is no chunk any more" in told
    assert "1 missing, 1 too many, 1 different" in told


async def test_where_none_is_configured_there_is_nothing_to_rebuild(world: World, settings: Settings) -> None:
    for name, setting in (("vectors", "QDRANT_URL"), ("graph", "NEO4J_URI")):
        with pytest.raises(Misused, match=f"nothing to rebuild: {setting} is not set"):
            await rebuild(settings, name, check=False)
    await world.qdrant.stop()
    with pytest.raises(CommandFailed, match="does not answer"):
        await rebuild(world.settings, "vectors", check=False)


async def test_a_wrong_key_and_an_old_server_are_told(world: World) -> None:
    world.qdrant.key = "another"
    with pytest.raises(StoreUnfit, match="set QDRANT_API_KEY"):
        await world.follower.check()
    world.qdrant.key, world.qdrant.version = "", "1.9.4"
    with pytest.raises(StoreUnfit, match=r"is version 1\.9\.4"):
        await world.follower.check()


async def test_vectors_of_another_size_are_told(world: World) -> None:
    client, collection = world.qdrant.client, collection_of(await instance_of(world.engine))
    await client.create_collection(
        collection, vectors_config=models.VectorParams(size=7, distance=models.Distance.COSINE)
    )
    with pytest.raises(StoreUnfit, match="have 7 dimensions, but 384 are needed"):
        await world.follower.check()


async def test_a_server_fills_it_and_shows_how_far_it_is(world: World, services: Services) -> None:
    await world.bring("ab")
    await prepare(world.settings, services)
    async with running(world.settings, services) as live:
        await until(lambda: has_all(world))
        async with live.person() as ann:
            (row,) = (await ann.http.get("/api/status")).json()["followers"]
            page = (await ann.http.get("/metrics")).text
    assert (row["name"], row["phase"], row["waiting"]) == ("vectors", "following", 0)
    assert row["version"] == "Qdrant 1.16.0"
    assert row["problem"] is None
    assert KEY not in str(row)
    assert 'casewire_follower_marks{follower="vectors",phase="following"} 0.0' in page
    assert (await world.compared()).agree


async def test_a_setting_that_is_taken_away_leaves_no_marks(
    world: World, settings: Settings, services: Services
) -> None:
    await world.bring("a")
    assert (await world.state()).waiting
    await prepare(settings, services)
    assert await world.marks.states() == []
    await world.bring("b")
    assert await world.marks.take("vectors", 10) == []
