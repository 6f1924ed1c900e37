"""The graph in Neo4j equals the one in PostgreSQL, whatever changes and in whichever order it is told."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.database import create_engine
from storage.follow import StoreUnfit
from storage.follow_neo4j import Neo4jFollower
from storage.graph import Limits
from storage.graph_neo4j import GraphNeo4j
from storage.graph_postgres import GraphPostgres
from storage.marks import Marks
from storage.neo4j_place import Neo4jPlace
from tests.contracts import RanAgainst
from tests.neo4j import catch_up, neo4j_place
from tests.storage.random_case import RandomCase, random_cases


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture(loop_scope="session")
async def place(ran_against: RanAgainst) -> AsyncIterator[Neo4jPlace]:
    async with neo4j_place() as place:
        await place.make()
        ran_against("Neo4jFollower", f"Neo4j {await place.version()}")
        yield place


@pytest.fixture
def follower(place: Neo4jPlace, engine: AsyncEngine) -> Neo4jFollower:
    return Neo4jFollower(place, engine)


async def assert_alike(cases: Sequence[RandomCase], place: Neo4jPlace, seed: int) -> None:
    for case, other in (cases, cases[::-1]):
        foreign = [*other.chunks[:2], *await other.ids("entities")]
        neo4j, postgres = GraphNeo4j(place, case.engine), GraphPostgres(case.engine)
        assert await case.ask(neo4j, foreign, seed) == await case.ask(postgres, foreign, seed)


@pytest.mark.parametrize("seed", range(3))
async def test_cases_that_change_at_random_are_alike_in_both(
    seed: int, engine: AsyncEngine, place: Neo4jPlace, follower: Neo4jFollower
) -> None:
    cases = await random_cases(engine, seed)
    await catch_up(follower, engine)
    await assert_alike(cases, place, seed)
    for round_ in range(3):
        for _ in range(4):
            await cases[round_ % 2].change()
        await catch_up(follower, engine, at_once=7)
        assert (await follower.compare()).examples == ()
        await assert_alike(cases, place, 100 * seed + round_)
    compared = await follower.compare()
    assert compared.agree
    assert compared.compared > 40


async def test_marks_may_come_in_any_order_and_twice(
    engine: AsyncEngine, place: Neo4jPlace, follower: Neo4jFollower
) -> None:
    marks = Marks(engine)
    await marks.register(follower)
    cases = await random_cases(engine, 77)
    for case in cases:
        for _ in range(6):
            await case.change()
    told = [mark for mark in await marks.take(follower.name, 10_000) for _ in range(2)]
    random.Random(1).shuffle(told)
    await place.make()
    for mark in told:
        await follower.apply([mark])
    assert (await follower.compare()).examples == ()


@pytest.mark.parametrize("seed", range(2))
async def test_a_graph_that_is_filled_anew_is_the_one_that_following_had_come_to(
    seed: int, engine: AsyncEngine, place: Neo4jPlace, follower: Neo4jFollower
) -> None:
    cases = await random_cases(engine, 40 + seed)
    await catch_up(follower, engine)
    for round_ in range(8):
        for _ in range(3):
            await cases[round_ % 2].change()
        await catch_up(follower, engine, at_once=3)
    followed = await everything(place)
    kinds = {str(edge[3]) for edge in followed[1]}
    assert kinds == {"PART", "NEXT", "MENTION", "SIMILAR", "IS", "RELATION", "SAME_AS"}
    assert await Marks(engine).begin_again(follower.name)
    await catch_up(follower, engine)
    assert await everything(place) == followed


async def everything(place: Neo4jPlace) -> tuple[list[list[object]], list[list[object]]]:
    """Every node and every edge with all that is noted there, but for the versions of cases."""
    nodes = await place.read(
        "MATCH (n) RETURN labels(n)[0] AS label, n.id AS id, n {.*, version: null} ORDER BY label, id", {}
    )
    edges = await place.read(
        "MATCH (a)-[r]->(b) RETURN labels(a)[0] AS of, a.id AS one, labels(b)[0], type(r) AS kind, "
        "b.id AS other, r {.*} ORDER BY of, one, kind, other, r.chunk, r.predicate",
        {},
    )
    return nodes, edges


async def test_an_erased_case_leaves_nothing_in_neo4j(
    engine: AsyncEngine, place: Neo4jPlace, follower: Neo4jFollower
) -> None:
    cases = await random_cases(engine, 5)
    await catch_up(follower, engine)
    gone = cases[0].case
    async with engine.begin() as connection:
        for table in ("mentions", "similarities", "chunks", "evidence", "entities", "pois"):
            condition = (
                "chunk_id IN (SELECT id FROM chunks WHERE case_id = :c)"
                if table == "mentions"
                else "case_id = :c"
            )
            await connection.execute(text(f"DELETE FROM {table} WHERE {condition}"), {"c": gone})
        await connection.execute(text("DELETE FROM cases WHERE id = :c"), {"c": gone})
    await catch_up(follower, engine)
    left = await place.read(
        "MATCH (n) WHERE n.case = $c OR (n:Case AND n.id = $c) RETURN count(n)", {"c": gone}
    )
    assert left == [[0]]
    await assert_only(cases[1].case, place)


async def assert_only(case: str, place: Neo4jPlace) -> None:
    assert await place.read("MATCH (n:Chunk) RETURN DISTINCT n.case", {}) == [[case]]


async def test_what_goes_out_of_sight_is_gone_before_neo4j_knows(
    engine: AsyncEngine, place: Neo4jPlace, follower: Neo4jFollower
) -> None:
    [case, _] = await random_cases(engine, 6)
    await catch_up(follower, engine)
    hidden = case.chunks[0]
    async with engine.begin() as connection:
        query = text(
            "UPDATE evidence SET hidden_at = now() FROM chunks "
            "WHERE chunks.id = :c AND evidence.id = evidence_id"
        )
        await connection.execute(query, {"c": hidden})
    graph = GraphNeo4j(place, engine)
    for found in (
        await graph.around(case.case, case.chunks, [], Limits()),
        await graph.whole(case.case),
    ):
        assert hidden not in found.nodes
        assert len(found.nodes) > 3


async def test_what_neo4j_does_not_have_yet_is_found_without_its_edges(
    engine: AsyncEngine, place: Neo4jPlace, follower: Neo4jFollower
) -> None:
    [case, _] = await random_cases(engine, 8)
    await catch_up(follower, engine)
    before = set(case.chunks)
    await case.add()
    new = [chunk for chunk in case.chunks if chunk not in before]
    found = await GraphNeo4j(place, engine).around(case.case, case.chunks[-9:], [], Limits())
    assert set(new) <= set(found.nodes.tolist())
    ends = np.concatenate([found.nodes[found.sources], found.nodes[found.targets]])
    assert len(ends)


async def test_the_version_moves_once_more_when_neo4j_has_followed(
    engine: AsyncEngine, place: Neo4jPlace, follower: Neo4jFollower
) -> None:
    [case, _] = await random_cases(engine, 9)
    await catch_up(follower, engine)
    graph = GraphNeo4j(place, engine)
    seen = [await graph.version(case.case)]
    await case.add()
    seen.append(await graph.version(case.case))
    await catch_up(follower, engine)
    seen += [await graph.version(case.case), await graph.version(case.case)]
    assert len(set(seen)) == 3
    assert seen[2] == seen[3]


async def test_while_neo4j_is_being_filled_postgresql_answers(
    engine: AsyncEngine, place: Neo4jPlace, follower: Neo4jFollower
) -> None:
    cases = await random_cases(engine, 10)
    await assert_alike(cases, place, 1)
    await catch_up(follower, engine)
    await Marks(engine).begin_again(follower.name)
    await place.make()
    await assert_alike(cases, place, 2)


async def test_a_database_that_holds_something_else_is_left_as_it_is(
    engine: AsyncEngine, place: Neo4jPlace
) -> None:
    async with neo4j_place("another instance") as other:
        with pytest.raises(StoreUnfit, match="another instance"):
            await other.make()
        with pytest.raises(StoreUnfit, match="another instance"):
            await other.version()
    await place.run("MATCH (n) DETACH DELETE n", {})
    with pytest.raises(StoreUnfit, match="casewire rebuild graph"):
        await place.version()
    await place.run("CREATE (:Recipe {name: 'bread'})", {})
    try:
        with pytest.raises(StoreUnfit, match="not Casewire's"):
            await place.make()
        assert await place.read("MATCH (n:Recipe) RETURN n.name", {}) == [["bread"]]
    finally:
        await place.run("MATCH (n) DETACH DELETE n", {})
