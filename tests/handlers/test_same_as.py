"""Verdicts on names: what `same` does to the graph and to a person of interest, and that undo undoes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.same_suggested import candidates, suggested
from storage.database import create_engine
from storage.graph import EdgeKind, Limits
from storage.graph_postgres import GraphPostgres
from storage.judgements import UnknownEntity
from storage.name_facts import NameStore
from storage.pois import UnknownPoi
from storage.same_as import AlreadyJudged, Pair, SameNames, SomebodyElse, UnknownVerdict
from tests.case_rows import new_case
from tests.handlers.test_poi_search import Place

FIRST = "Bob Tallow met Martha Quill at the quay. Martha Quill paid."
SECOND = "Robert Tallow wrote to Martha Quill about the copper."


class Case(Place):
    """A case with its verdicts."""

    def __init__(self, engine: AsyncEngine, case: str) -> None:
        super().__init__(engine, case)
        self.same = SameNames(engine)

    async def entity(self, name: str) -> int:
        async with self.engine.connect() as connection:
            query = text("SELECT id FROM entities WHERE name = :name AND case_id = :case AND kind <> 'poi'")
            return int((await connection.execute(query, {"name": name, "case": self.case})).scalar_one())

    async def all(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row that a verdict could touch."""
        found = {}
        async with self.engine.connect() as connection:
            for table in ("entities", "mentions", "relations", "pois"):
                rows = await connection.execute(text(f"SELECT * FROM {table}"))
                found[table] = sorted(tuple(map(str, row)) for row in rows)
        return found

    async def pairs(self) -> list[Pair]:
        facts = await NameStore(self.engine).facts(self.case)
        return [one.pair for one in suggested(candidates(facts), await self.same.of_case(self.case))]


@pytest_asyncio.fixture(loop_scope="session")
async def place(database: str) -> AsyncIterator[Case]:
    engine = create_engine(database, pool_size=4)
    yield Case(engine, await new_case(engine))
    await engine.dispose()


async def test_two_names_of_one_person_are_one_node_of_the_graph(place: Case) -> None:
    await place.add("a", FIRST)
    await place.add("b", SECOND)
    bob, robert = await place.entity("Bob Tallow"), await place.entity("Robert Tallow")
    assert await place.pairs() == [Pair(bob, robert)]
    graph = GraphPostgres(place.engine)
    before, version = await graph.whole(place.case), await graph.version(place.case)
    judged = await place.same.judge(place.case, Pair(bob, robert), "same", [], "ann")
    names = {name.text: name.entities for name in await graph.names(place.case)}
    assert names["Bob Tallow"] == names["Robert Tallow"] == (bob, robert)
    assert names["Martha Quill"] == (await place.entity("Martha Quill"),)
    assert await graph.version(place.case) != version
    chunks = before.nodes[before.kinds == 0].tolist()
    for found in (
        await graph.whole(place.case),
        await graph.around(place.case, chunks, [bob, robert], Limits()),
    ):
        joins = found.edge_kinds == EdgeKind.IS
        ends = (found.nodes[found.sources[joins]].tolist(), found.nodes[found.targets[joins]].tolist())
        assert ends == ([bob], [robert])
    named = {one.identity for one in await graph.named_at(place.case, chunks)}
    assert bob in named
    assert robert not in named
    assert await place.pairs() == []

    await place.same.take_back(place.case, judged.id)
    after = await graph.whole(place.case)
    for field in before.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(after, field), getattr(before, field))
    assert await graph.version(place.case) == version
    assert await place.pairs() == [Pair(bob, robert)]


async def test_a_name_becomes_the_person_of_interest_and_later_evidence_is_linked(place: Case) -> None:
    await place.add("a", FIRST)
    poi = (await place.pois.add(place.case, "Robert Tallow", ["The Owl"], "")).id
    await place.search(poi)
    bob = await place.entity("Bob Tallow")
    assert await place.pairs() == [Pair(bob, poi=poi)]
    before = await place.all()
    judged = await place.same.judge(place.case, Pair(bob, poi=poi), "same", [1.0], "ann")
    assert judged.poi == poi
    [row] = await place.pois.of_case(place.case)
    assert row.aliases == ["The Owl", "Bob Tallow"]
    found = await place.search(poi)
    assert (found.added, found.removed) == (0, 0), "its places are the person's already"
    graph = GraphPostgres(place.engine)
    names = {name.text: name.entities for name in await graph.names(place.case) if name.node == poi}
    assert names == {"Robert Tallow": (bob,), "The Owl": (bob,), "Bob Tallow": (bob,)}
    later = await place.add("b", "Bob Tallow came again, and Bob Tallow left.")
    assert [one[1] for one in await place.rows() if one[0] == later] == ["poi", "poi"]

    undone = await place.same.take_back(place.case, judged.id)
    assert undone.poi == poi
    await place.search(poi)
    assert [one[1:3] for one in await place.rows() if one[0] == later] == [("person", "Bob Tallow")] * 2
    async with place.engine.begin() as connection:
        await connection.execute(text("DELETE FROM evidence WHERE id = :id"), {"id": later})
        await connection.execute(text("DELETE FROM entities WHERE kind = 'poi'"))
    after = await place.all()
    assert after == before
    assert await place.pairs() == [Pair(bob, poi=poi)]


async def test_what_is_linked_anew_stays_the_person_of_interest(place: Case) -> None:
    evidence = await place.add("a", FIRST)
    poi = (await place.pois.add(place.case, "Robert Tallow", [], "")).id
    bob = await place.entity("Bob Tallow")
    await place.same.judge(place.case, Pair(bob, poi=poi), "same", [], "ann")
    await place.add("c", "Tallow, Bob was late.")
    await place.link(evidence)
    assert await place.entity("Bob Tallow") == bob
    facts = await NameStore(place.engine).facts(place.case)
    assert next(known.poi for known in facts.names if known.id == bob) == poi


async def test_a_verdict_is_refused_where_it_cannot_be(place: Case) -> None:
    await place.add("a", FIRST)
    await place.add("b", SECOND)
    bob, robert = await place.entity("Bob Tallow"), await place.entity("Robert Tallow")
    one, two = [(await place.pois.add(place.case, name, [], "")).id for name in ("Zed Alpha", "Zed Beta")]
    judge, case = place.same.judge, place.case
    with pytest.raises(UnknownEntity):
        await judge("elsewhere", Pair(bob, robert), "same", [], "ann")
    with pytest.raises(UnknownPoi):
        await judge(case, Pair(bob, poi=one + 10**6), "different", [], "ann")
    await judge(case, Pair(bob, poi=one), "same", [], "ann")
    with pytest.raises(SomebodyElse):
        await judge(case, Pair(bob, poi=two), "same", [], "ann")
    await judge(case, Pair(robert, poi=two), "same", [], "ann")
    with pytest.raises(SomebodyElse):
        await judge(case, Pair(bob, robert), "same", [], "ann")
    await judge(case, Pair(bob, robert), "unsure", [], "ann")
    told = await judge(case, Pair(bob, robert), "different", [], "bea")
    with pytest.raises(AlreadyJudged):
        await judge(case, Pair(bob, robert), "different", [], "ann")
    await place.same.take_back(case, told.id)
    with pytest.raises(UnknownVerdict):
        await place.same.take_back(case, told.id)


async def test_hidden_evidence_suggests_nothing_and_forgotten_evidence_leaves_no_verdict(place: Case) -> None:
    first, _ = await place.add("a", FIRST), await place.add("b", SECOND)
    bob, robert = await place.entity("Bob Tallow"), await place.entity("Robert Tallow")
    row = await place.evidence.get(first)
    assert await place.evidence.hide(first, row.upload, hidden=True)
    assert await place.pairs() == []
    names = NameStore(place.engine)
    assert [q.side for q in await names.quotes(place.case, [(bob, bob), (robert, robert)], each=3)] == [
        robert
    ]
    assert await place.evidence.hide(first, row.upload, hidden=False)
    assert await place.pairs() == [Pair(bob, robert)]
    await place.same.judge(place.case, Pair(bob, robert), "different", [], "ann")
    async with place.engine.begin() as connection:
        await connection.execute(text("DELETE FROM entities WHERE id = :id"), {"id": bob})
    assert await place.same.of_case(place.case) == []
