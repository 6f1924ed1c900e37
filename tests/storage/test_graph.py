"""The neighbourhood of a query and the names of a case: the contract of every graph."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy import insert, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.database import create_engine
from storage.entities import Entities, MentionDraft
from storage.evidence import ChunkDraft, EvidenceStore
from storage.follow_neo4j import Neo4jFollower
from storage.graph import EdgeKind, Graph, Limits, Neighbourhood, NodeKind
from storage.graph_neo4j import GraphNeo4j
from storage.graph_postgres import GraphPostgres
from storage.pois import Pois
from storage.relations import RelationDraft
from storage.same_as import Pair, SameNames
from storage.schema import SQLModel
from storage.similarities import Similarities
from storage.vectors import Near
from tests.case_rows import new_case, new_evidence
from tests.contracts import RanAgainst
from tests.neo4j import catch_up, neo4j_place

Now = Callable[[], Awaitable[Graph]]
TABLES = SQLModel.metadata.tables


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture(loop_scope="session", params=["PostgreSQL", "Neo4j"])
async def graph_now(
    request: pytest.FixtureRequest, engine: AsyncEngine, ran_against: RanAgainst
) -> AsyncIterator[Now]:
    """The graph, once it holds what PostgreSQL holds at the moment of the call."""
    if request.param == "PostgreSQL":
        async with engine.connect() as connection:
            version = await connection.scalar(text("SHOW server_version"))
        ran_against("GraphPostgres", f"PostgreSQL {version}")

        async def canonical() -> Graph:
            return GraphPostgres(engine)

        yield canonical
        return
    async with neo4j_place() as place:
        follower = Neo4jFollower(place, engine)

        async def followed() -> Graph:
            await catch_up(follower, engine)
            return GraphNeo4j(place, engine)

        await followed()
        ran_against("GraphNeo4j", await follower.check())
        yield followed


async def add(
    engine: AsyncEngine,
    case: str,
    name: str,
    mentioned: Sequence[Sequence[str]],
    poi: int = 0,
    told: Sequence[tuple[str, str, str]] = (),
) -> list[int]:
    """Evidence whose chunks mention the given names, and whose first tells of them; returns the chunks."""
    store = EvidenceStore(engine)
    row = await store.register(new_evidence(case, f"{case}-{name}", filename=name))
    drafts = [ChunkDraft(i, 1, 10 * i, 10 * i + 9, f"chunk {i} ..", []) for i in range(len(mentioned))]
    await store.store_text(row.id, title=name, text="x" * 200, pages=[(0, 200)], meta={}, chunks=drafts)
    chunks = [chunk.id for chunk in await store.chunks(row.id)]
    mentions = [
        MentionDraft("poi" if poi else "person", who.lower(), who, chunk, 10 * i + j, 10 * i + j + 1, poi)
        for i, (chunk, names) in enumerate(zip(chunks, mentioned, strict=True))
        for j, who in enumerate(names)
    ]
    relations = [
        RelationDraft(chunks[0], ("person", a.lower()), what, ("person", b.lower()), 0, 5, "rule")
        for a, what, b in told
    ]
    pois = await Pois(engine).of_case(case)
    await Entities(engine).replace(case, row.id, mentions, pois=pois, relations=relations)
    return chunks


async def judge(engine: AsyncEngine, name: str, status: str) -> None:
    async with engine.begin() as connection:
        table = TABLES["entities"]
        await connection.execute(update(table).where(table.c.name == name).values(status=status))


async def ids(engine: AsyncEngine, case: str) -> dict[str, int]:
    return {name.text: name.node for name in await GraphPostgres(engine).names(case)}


def edges(found: Neighbourhood) -> set[tuple[int, int, EdgeKind]]:
    nodes = found.nodes
    rows = zip(found.sources, found.targets, found.edge_kinds, strict=True)
    return {(int(nodes[a]), int(nodes[b]), EdgeKind(int(kind))) for a, b, kind in rows}


def weights(found: Neighbourhood, kind: EdgeKind) -> dict[tuple[int, int], float]:
    nodes = found.nodes.tolist()
    rows = zip(found.sources, found.targets, found.edge_kinds, found.weights, strict=True)
    return {(nodes[a], nodes[b]): float(weight) for a, b, each, weight in rows if each == kind}


async def test_a_rejected_entity_is_no_part_of_the_graph(engine: AsyncEngine, graph_now: Now) -> None:
    case = await new_case(engine)
    chunks = await add(engine, case, "a", [["Ann", "Bo"], ["Ann", "Bo"]])
    await judge(engine, "Bo", "rejected")
    graph, names = await graph_now(), await ids(engine, case)
    assert set(names) == {"Ann"}
    found = await graph.around(case, chunks, [], Limits())
    whole = await graph.whole(case)
    for part in (found, whole):
        assert (part.kinds == NodeKind.ENTITY).sum() == 1
    assert {each.identity for each in await graph.named_at(case, chunks)} == {names["Ann"]}


async def test_a_shared_name_leads_two_hops_and_a_name_that_joins_nothing_is_left_out(
    engine: AsyncEngine, graph_now: Now
) -> None:
    case = await new_case(engine)
    [start] = await add(engine, case, "a", [["Ann", "Alone"]])
    [reached] = await add(engine, case, "b", [["Ann", "Cy"]])
    [beyond] = await add(engine, case, "c", [["Cy"]])
    names = await ids(engine, case)
    found = await (await graph_now()).around(case, [start], [], Limits())
    assert reached in found.nodes
    assert beyond not in found.nodes
    assert (reached, names["Ann"], EdgeKind.MENTION) in edges(found)
    assert names["Alone"] not in found.nodes
    asked = await (await graph_now()).around(case, [start], [names["Alone"]], Limits())
    assert names["Alone"] in asked.nodes, "what the question names stays"


async def test_neighbours_in_the_text_and_alike_chunks_come_along(
    engine: AsyncEngine, graph_now: Now
) -> None:
    case = await new_case(engine)
    first, second, third, fourth = await add(engine, case, "a", [[], [], [], []])
    [alike] = await add(engine, case, "b", [[]])
    pair = sorted((second, alike))
    await Similarities(engine).put(case, [Near(pair[0], pair[1], 0.75)])
    found = await (await graph_now()).around(case, [second], [], Limits())
    assert {first, second, third, alike} <= set(found.nodes.tolist())
    assert fourth not in found.nodes
    assert (first, second, EdgeKind.NEXT) in edges(found)
    assert (*pair, EdgeKind.SIMILAR) in edges(found)
    weight = found.weights[found.edge_kinds == EdgeKind.SIMILAR]
    np.testing.assert_allclose(weight, [0.75])


async def test_the_graph_of_one_case_holds_nothing_of_another(engine: AsyncEngine, graph_now: Now) -> None:
    ours, other = await new_case(engine, "case1"), await new_case(engine, "case2")
    mine = await add(engine, ours, "a", [["Ann"], ["Ann"]])
    foreign = await add(engine, other, "b", [["Ann"], ["Ann"]])
    graph = await graph_now()
    theirs = await ids(engine, other)
    found = await graph.around(ours, [*mine, *foreign], list(theirs.values()), Limits())
    assert not {*foreign, *theirs.values()} & set(found.nodes.tolist())
    assert found.chunks == 2
    assert set(await graph.passages(ours, [*mine, *foreign])) == set(mine)
    assert not await graph.labels(ours, foreign)
    assert not await graph.mentions(ours, list(theirs.values()), limit=9)
    assert not await graph.named_at(ours, foreign)


async def test_limits_hold_and_what_was_found_stays(engine: AsyncEngine, graph_now: Now) -> None:
    case = await new_case(engine)
    seeds = await add(engine, case, "a", [["Ann"], ["Ann"]])
    rare = await add(engine, case, "b", [["Ann", "Bo"], ["Bo"]])
    await add(engine, case, "c", [["Ann"]] * 10)
    found = await (await graph_now()).around(case, seeds, [], Limits(chunks=3, edges=5))
    chunks = found.nodes[found.kinds == NodeKind.CHUNK]
    assert len(chunks) == 3
    assert set(seeds) <= set(chunks.tolist())
    assert len(found.sources) == 5
    assert rare[1] not in chunks
    common = await (await graph_now()).around(case, seeds, [], Limits(common=12))
    assert len(common.nodes[common.kinds == NodeKind.CHUNK]) == 2, "who is everywhere leads nowhere"


async def test_equal_tables_give_equal_arrays_in_whatever_order_the_seeds_come(
    engine: AsyncEngine, graph_now: Now
) -> None:
    case = await new_case(engine)
    chunks = await add(engine, case, "a", [["Ann", "Bo"], ["Bo"], ["Ann"], ["Cy", "Bo"], ["Cy"]])
    graph, names = await graph_now(), list((await ids(engine, case)).values())
    one = await graph.around(case, chunks, names, Limits())
    two = await graph.around(case, chunks[::-1], names[::-1], Limits())
    for field in one.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))
    assert (np.diff(one.nodes) > 0).all()
    common = dict(zip(one.nodes.tolist(), one.common.tolist(), strict=True))
    assert [common[node] for node in sorted(names)] == [2, 3, 2]


async def test_a_person_of_interest_joins_entities_and_lends_them_every_name(
    engine: AsyncEngine, graph_now: Now
) -> None:
    case = await new_case(engine)
    poi = (await Pois(engine).add(case, "Ann Lee", ["The Owl"], "")).id
    chunks = await add(engine, case, "a", [["Ann Lee"], []], poi=poi)
    graph = await graph_now()
    names = await graph.names(case)
    entity = next(name.node for name in names if name.node != poi)
    assert [(n.text, n.entities) for n in names if n.node == poi] == [
        ("Ann Lee", (entity,)),
        ("The Owl", (entity,)),
    ]
    found = await graph.around(case, chunks[:1], [entity], Limits())
    assert (entity, poi, EdgeKind.IS) in edges(found)
    assert bool(found.accepted[np.searchsorted(found.nodes, entity)])
    assert [each.identity for each in await graph.named_at(case, chunks)] == [poi]
    assert await graph.labels(case, [poi, entity, chunks[1]]) == {
        poi: "Ann Lee",
        entity: "Ann Lee",
        chunks[1]: "a, page 1",
    }


async def test_what_evidence_says_of_two_entities_joins_them_as_long_as_it_is_in_sight(
    engine: AsyncEngine, graph_now: Now
) -> None:
    case = await new_case(engine)
    told = {"a": [("Ann", "paid", "Bo"), ("Bo", "thanked", "Ann")], "b": [("Bo", "wrote to", "Cy")]}
    chunks = [(await add(engine, case, name, [["Ann", "Bo", "Cy"]], told=told[name]))[0] for name in told]
    names, graph = await ids(engine, case), await graph_now()
    expected = {(names["Ann"], names["Bo"]): 2.0, (names["Bo"], names["Cy"]): 1.0}
    for found in (await graph.around(case, chunks, [], Limits()), await graph.whole(case)):
        assert weights(found, EdgeKind.RELATION) == expected
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE evidence SET hidden_at = now() WHERE title = 'a'"))
    graph = await graph_now()
    assert list(weights(await graph.whole(case), EdgeKind.RELATION)) == [(names["Bo"], names["Cy"])]


async def test_a_verdict_that_two_names_are_the_same_is_an_edge_and_any_other_is_none(
    engine: AsyncEngine, graph_now: Now
) -> None:
    case = await new_case(engine)
    chunks = await add(engine, case, "a", [["Ann", "Bo", "Cy"], ["Ann", "Bo", "Cy"]])
    names = await ids(engine, case)
    verdicts = SameNames(engine)
    same = await verdicts.judge(case, Pair.of(names["Ann"], other=names["Bo"]), "same", [], "u")
    await verdicts.judge(case, Pair.of(names["Bo"], other=names["Cy"]), "different", [], "u")
    graph = await graph_now()
    for found in (await graph.around(case, chunks, [], Limits()), await graph.whole(case)):
        assert list(weights(found, EdgeKind.IS)) == [(names["Ann"], names["Bo"])]
    await judge(engine, "Bo", "rejected")
    assert not weights(await (await graph_now()).whole(case), EdgeKind.IS)
    await judge(engine, "Bo", "suggested")
    await verdicts.take_back(case, same.id)
    assert not weights(await (await graph_now()).whole(case), EdgeKind.IS)


async def test_mentions_are_counted_by_chunk_and_the_fullest_are_kept(
    engine: AsyncEngine, graph_now: Now
) -> None:
    case = await new_case(engine)
    chunks = await add(engine, case, "a", [["Ann"], ["Ann", "Ann", "Ann"], ["Ann", "Ann"]])
    [entity] = (await ids(engine, case)).values()
    graph = await graph_now()
    assert await graph.mentions(case, [entity], limit=2) == [(chunks[1], entity, 3), (chunks[2], entity, 2)]
    assert await graph.commonness(case, [entity]) == ({entity: 3}, 3)


async def test_a_passage_carries_its_text_and_place(engine: AsyncEngine, graph_now: Now) -> None:
    case = await new_case(engine)
    chunks = await add(engine, case, "a", [[], []])
    passage = (await (await graph_now()).passages(case, chunks))[chunks[1]]
    assert (passage.title, passage.page, passage.start, passage.end) == ("a", 1, 10, 19)
    assert passage.text == "chunk 1 .."


async def test_the_version_moves_with_the_graph_and_not_with_votes(
    engine: AsyncEngine, graph_now: Now
) -> None:
    case = await new_case(engine)
    graph = await graph_now()
    seen = [await graph.version(case)]
    chunks = await add(engine, case, "a", [["Ann"], ["Bo"]])
    seen.append(await graph.version(case))
    await judge(engine, "Ann", "accepted")
    seen.append(await graph.version(case))
    await Similarities(engine).put(case, [Near(chunks[0], chunks[1], 0.9)])
    seen.append(await graph.version(case))
    assert len(set(seen)) == 4
    async with engine.begin() as connection:
        noted = {
            "case_id": case,
            "user_id": "u",
            "what": "view",
            "node": 1,
            "effect": "e",
            "query": "",
            "value": 0,
        }
        await connection.execute(insert(TABLES["attention"]), noted)
    assert await graph.version(case) == seen[-1]
