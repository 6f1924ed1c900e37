"""The graph in Neo4j equals the one in PostgreSQL, whatever changes and in whichever order it is told."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.database import create_engine
from storage.entities import Entities, MentionDraft
from storage.evidence import ChunkDraft, EvidenceStore
from storage.follow import StoreUnfit
from storage.follow_neo4j import Neo4jFollower
from storage.graph import Graph, Limits
from storage.graph_neo4j import GraphNeo4j
from storage.graph_postgres import GraphPostgres
from storage.marks import Marks
from storage.neo4j_place import Neo4jPlace
from storage.pois import Pois
from storage.relations import RelationDraft
from storage.schema import SQLModel
from storage.similarities import Similarities
from storage.vectors import Near
from tests.case_rows import new_case, new_evidence
from tests.contracts import RanAgainst
from tests.neo4j import catch_up, neo4j_place

TABLES = SQLModel.metadata.tables
PEOPLE = [f"Person {i}" for i in range(14)]


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


@dataclass
class RandomCase:
    """A case that changes at random."""

    engine: AsyncEngine
    case: str
    random: random.Random
    files: int = 0
    chunks: list[int] = field(default_factory=list)

    async def add(self) -> None:
        """Evidence that mentions people, with chunks like those of earlier evidence."""
        store, self.files = EvidenceStore(self.engine), self.files + 1
        name = f"{self.case}-{self.files}"
        row = await store.register(new_evidence(self.case, name, upload=f"upload-0-{name}"))
        count = self.random.randint(1, 7)
        drafts = [ChunkDraft(i, i % 3, 10 * i, 10 * i + 9, f"chunk {i} ..", []) for i in range(count)]
        await store.store_text(row.id, title=name, text="x" * 200, pages=[], meta={}, chunks=drafts)
        chunks = [chunk.id for chunk in await store.chunks(row.id)]
        await self.mention(row.id, chunks)
        if self.chunks:
            near = {
                tuple(sorted((self.random.choice(chunks), self.random.choice(self.chunks))))
                for _ in range(self.random.randint(0, 5))
            }
            pairs = [Near(a, b, self.random.choice([0.5, 0.75, self.random.random()])) for a, b in near]
            await Similarities(self.engine).put(self.case, pairs)
        self.chunks += chunks

    async def mention(self, evidence: int, chunks: Sequence[int]) -> None:
        """Let chunks mention people, some of them persons of interest."""
        pois = await Pois(self.engine).of_case(self.case)
        drafts = []
        for chunk in chunks:
            for start in range(self.random.randint(0, 6)):
                who = min(int(self.random.expovariate(0.3)), len(PEOPLE) - 1)
                poi = pois[who].id if who < len(pois) else 0
                kind = "poi" if poi else "person"
                drafts.append(MentionDraft(kind, f"{who}", PEOPLE[who], chunk, start, start + 1, poi))
        await Entities(self.engine).replace(
            self.case, evidence, drafts, pois=pois, relations=self.relations(drafts)
        )

    def relations(self, mentions: Sequence[MentionDraft]) -> list[RelationDraft]:
        """What some of the neighbouring names have to do with each other, some of it told twice."""
        told = []
        for a, b in pairwise(mentions):
            if a.chunk == b.chunk and self.random.random() < 0.6:
                predicate = self.random.choice(["paid", "schrieb an", "director “of”"])
                ends = ((a.kind, a.key), predicate, (b.kind, b.key))
                told += [
                    RelationDraft(a.chunk, *ends, start, b.end, "rule")
                    for start in range(self.random.randint(1, 2))
                ]
        return told

    async def judge_same(self) -> None:
        """Two names are found to be the same or different, or that is taken back."""
        entities = await self._ids("entities")
        table = TABLES["same_as"]
        async with self.engine.begin() as connection:
            if len(entities) < 2 or self.random.random() < 0.3:
                await connection.execute(delete(table).where(table.c.case_id == self.case))
                return
            one, other = sorted(self.random.sample(entities, 2))
            verdict = self.random.choice(["same", "same", "different"])
            values = {"case_id": self.case, "entity": one, "other": other, "user_id": "u", "reasons": []}
            put = insert(table).values(values | {"verdict": verdict})
            await connection.execute(
                put.on_conflict_do_update(index_elements=["entity", "other"], set_={"verdict": verdict})
            )

    async def change(self) -> None:
        """Something of the case, chosen at random."""
        evidence = await self._ids("evidence")
        what = self.random.choice(
            ["add", "judge", "hide", "mention", "forget", "poi", "dissimilar", "same", "same"]
        )
        if what == "add" or not evidence:
            await self.add()
        elif what == "mention":
            one = self.random.choice(evidence)
            await self.mention(one, [chunk.id for chunk in await EvidenceStore(self.engine).chunks(one)])
        elif what == "same":
            await self.judge_same()
        elif what == "poi":
            await Pois(self.engine).add(self.case, f"Poi {self.files}", ["The Owl", "Owl"], "")
        else:
            await self._by_sql(what, evidence)

    async def _by_sql(self, what: str, evidence: Sequence[int]) -> None:
        entities, one = await self._ids("entities"), self.random.choice(evidence)
        table, similar = TABLES["evidence"], TABLES["similarities"]
        async with self.engine.begin() as connection:
            if what == "forget":
                await connection.execute(
                    text("DELETE FROM mentions USING chunks WHERE evidence_id = :e AND chunk_id = chunks.id"),
                    {"e": one},
                )
                of_this = text(
                    "DELETE FROM similarities USING chunks "
                    "WHERE evidence_id = :e AND chunks.id IN (source, target)"
                )
                await connection.execute(of_this, {"e": one})
                await connection.execute(text("DELETE FROM chunks WHERE evidence_id = :e"), {"e": one})
                await connection.execute(delete(table).where(table.c.id == one))
            elif what == "hide":
                query = text(
                    "UPDATE evidence SET hidden_at = CASE WHEN hidden_at IS NULL THEN now() END WHERE id = :e"
                )
                await connection.execute(query, {"e": one})
            elif what == "dissimilar":
                await connection.execute(
                    delete(similar).where(similar.c.case_id == self.case, similar.c.weight == 0.5)
                )
            elif entities:
                status = self.random.choice(["accepted", "rejected", "suggested"])
                judged = TABLES["entities"]
                chosen = judged.c.id == self.random.choice(entities)
                await connection.execute(update(judged).where(chosen).values(status=status))
        self.chunks = await self._ids("chunks")

    async def _ids(self, table: str) -> list[int]:
        rows = TABLES[table]
        query = select(rows.c.id).where(rows.c.case_id == self.case).order_by(rows.c.id)
        async with self.engine.connect() as connection:
            return list(await connection.scalars(query))

    async def ask(self, graph: Graph, foreign: Sequence[int], seed: int) -> list[object]:
        """Everything that a graph answers, to questions that depend on the seed alone."""
        asked = random.Random(seed)
        chunks, entities = await self._ids("chunks"), await self._ids("entities")
        some = [*asked.sample(chunks, min(len(chunks), 4)), *foreign[:2]]
        named = [*asked.sample(entities, min(len(entities), 3)), *foreign[2:4], 10**9]
        limits = Limits(
            chunks=asked.choice([3, 8, 1200]),
            entities=asked.choice([2, 700]),
            edges=asked.choice([7, 20_000]),
            common=asked.choice([3, 200]),
            rows=asked.choice([4, 8000]),
        )
        parts = [await graph.around(self.case, some, named, limits), await graph.whole(self.case)]
        arrays = [[getattr(part, name).tolist() for name in ARRAYS] for part in parts]
        return [
            arrays,
            [part.chunks for part in parts],
            await graph.names(self.case),
            await graph.names(self.case, limit=2),
            await graph.commonness(self.case, named),
            await graph.mentions(self.case, named, limit=2),
            await graph.labels(self.case, [*some, *named]),
            await graph.passages(self.case, some),
            await graph.named_at(self.case, some),
        ]


ARRAYS = ["nodes", "kinds", "common", "accepted", "sources", "targets", "edge_kinds", "weights"]


async def random_cases(engine: AsyncEngine, seed: int) -> list[RandomCase]:
    chance = random.Random(seed)
    cases = [RandomCase(engine, await new_case(engine, f"case{i}"), chance) for i in range(2)]
    for case in cases:
        for name in PEOPLE[:2]:
            await Pois(engine).add(case.case, name, [f"Alias of {name}"], "")
        for _ in range(4):
            await case.add()
    return cases


async def assert_alike(cases: Sequence[RandomCase], place: Neo4jPlace, seed: int) -> None:
    for case, other in (cases, cases[::-1]):
        foreign = [*other.chunks[:2], *await other._ids("entities")]
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
