"""Names kept between questions are those of the case as it is now, and take no more than they may."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest
from sqlalchemy import text

from handlers.known_names import KnownNames, NameIndex
from handlers.query_graph import to_bytes
from handlers.rank import build_graph, legs_from
from handlers.search import search_links
from machines.query import SearchLinks
from storage.database import create_engine
from storage.entities import Entities, MentionDraft
from storage.evidence import ChunkDraft, EvidenceStore
from storage.graph import MOST_NAMES, ReadNames
from storage.graph_postgres import GraphPostgres
from storage.judgements import Judgements
from storage.pois import Pois
from tests.case_rows import new_case, new_evidence
from tests.handlers.small_case import SmallCase, WatchedJob
from tests.storage.changing import CASES, Changing

QUESTION = "What did Marit Solheim pay to Vanter Holdings, and what of Ole Brandt?"


class Counting(GraphPostgres):
    """The graph, which counts how often the names of a case are read."""

    reads = 0

    async def read_names(self, case: str, *, limit: int = MOST_NAMES) -> ReadNames:
        self.reads += 1
        return await super().read_names(case, limit=limit)


async def found(case: SmallCase, graph: GraphPostgres) -> object:
    """What a question comes to by way of the graph."""
    links = await search_links(SearchLinks(case.id, QUESTION), WatchedJob(), graph=graph)
    legs = legs_from({"links": [one.model_dump() for one in links.found]})
    return links.found, to_bytes(await build_graph(case.id, QUESTION, legs, graph=graph))


async def upload(case: SmallCase, said: str, people: list[str]) -> int:
    """Evidence of one chunk that mentions the people."""
    store = EvidenceStore(case.database)
    row = await store.register(new_evidence(case.id, said))
    await store.store_text(
        row.id, title="", text=said, pages=[], meta={}, chunks=[ChunkDraft(0, 0, 0, len(said), said, [])]
    )
    [chunk] = await store.chunks(row.id)
    mentions = [
        MentionDraft("person", name.lower(), name, chunk.id, i, i + 1) for i, name in enumerate(people)
    ]
    await Entities(case.database).replace(
        case.id, row.id, mentions, pois=await Pois(case.database).of_case(case.id)
    )
    return row.id


async def test_what_is_found_with_kept_names_is_what_is_found_without(quarry: SmallCase) -> None:
    kept = Counting(quarry.database)
    seen = []

    async def compare(reads: int) -> None:
        for _ in range(2):
            seen.append(await found(quarry, kept))
            assert seen[-1] == await found(quarry, GraphPostgres(quarry.database))
        assert kept.reads == reads

    await compare(1)
    evidence = await upload(quarry, "Ole Brandt met Marit Solheim.", ["Ole Brandt", "Marit Solheim"])
    await compare(2)
    assert seen[-1] != seen[0]
    await quarry.words.index(quarry.id, {quarry.chunk("mail"): {"other": 1}})
    await compare(2)
    await EvidenceStore(quarry.database).hide(evidence, "upload-0-a", hidden=True)
    await compare(3)
    await EvidenceStore(quarry.database).hide(evidence, "upload-0-a", hidden=False)
    await compare(4)
    entity = await quarry.entity("Ole Brandt")
    await Judgements(quarry.database).judge(entity, "rejected")
    await compare(5)
    await Pois(quarry.database).add(quarry.id, "Ole Brandt", ["the Baker"], "")
    await compare(6)
    async with quarry.database.begin() as connection:
        await connection.execute(text("DELETE FROM pois"))
        await connection.execute(text("DELETE FROM evidence WHERE id = :id"), {"id": evidence})
        await connection.execute(text("DELETE FROM entities WHERE id = :id"), {"id": entity})
    await compare(7)
    assert seen[-1] == seen[0]


@pytest.mark.parametrize("seed", range(3))
async def test_names_kept_of_more_than_are_told_are_those_that_are_read_whatever_changes(
    database: str, seed: int
) -> None:
    engine = create_engine(database)
    for case in CASES:
        await new_case(engine, case)
    changing, graph, known = Changing(engine, seed), Counting(engine), KnownNames(most_names=2)
    versions = defaultdict[str, set[str]](set)
    for _ in range(80):
        await changing.one()
        for case in CASES:
            kept = await known.of(case, graph)
            assert kept.names == await GraphPostgres(engine).names(case, limit=2)
            versions[case].add(await graph.names_version(case))
    assert 10 < graph.reads < sum(map(len, versions.values()))
    await engine.dispose()


async def test_names_are_right_once_several_have_written_while_they_were_read(database: str) -> None:
    engine = create_engine(database)
    for case in CASES:
        await new_case(engine, case)
    crowd, known = [Changing(engine, seed) for seed in range(3)], KnownNames(most_names=2)

    async def write(each: Changing) -> None:
        for _ in range(12):
            await each.write()
            await each.judge()
            await each.rename()

    graph, writing = GraphPostgres(engine), asyncio.gather(*map(write, crowd))
    while not writing.done():
        await known.of(CASES[0], graph)
    await writing
    for case in CASES:
        assert (await known.of(case, graph)).names == await graph.names(case, limit=2)
    await engine.dispose()


async def test_what_comes_beyond_those_that_are_told_has_no_name_read_again(quarry: SmallCase) -> None:
    first = len({name.node for name in await GraphPostgres(quarry.database).names(quarry.id)})
    graph, known = Counting(quarry.database), KnownNames(most_names=first - 2)
    before = await known.of(quarry.id, graph)
    await upload(quarry, "Ole Brandt met Asta Lund.", ["Ole Brandt", "Asta Lund"])
    assert await known.of(quarry.id, graph) is before
    assert graph.reads == 1
    await Judgements(quarry.database).judge(await quarry.entity("Asta Lund"), "accepted")
    after = await known.of(quarry.id, graph)
    assert "Asta Lund" in {name.text for name in after.names} - {name.text for name in before.names}
    assert graph.reads == 2


async def test_of_more_names_than_there_is_room_for_those_asked_about_longest_ago_go(
    quarry: SmallCase,
) -> None:
    graph = Counting(quarry.database)
    one = NameIndex(await graph.names(quarry.id)).size_bytes
    for case in ("case2", "case3"):
        await new_case(quarry.database, case)
        async with quarry.database.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO entities (case_id, kind, key, name, status) SELECT :case, kind, key, name,"
                    " status FROM entities WHERE case_id = 'case1'"
                ),
                {"case": case},
            )
    known, graph.reads = KnownNames(2 * one), 0
    for case in ("case1", "case2", "case1", "case3", "case1"):
        await known.of(case, graph)
    assert graph.reads == 3
    await known.of("case2", graph)
    assert graph.reads == 4
    small = KnownNames(1)
    assert await small.of("case1", graph) is await small.of("case1", graph)


async def test_two_databases_with_equal_cases_share_no_names(quarry: SmallCase) -> None:
    known, one, other = KnownNames(), Counting(quarry.database), Counting(quarry.database)
    assert await known.of(quarry.id, one) is not await known.of(quarry.id, other)
    assert (one.reads, other.reads) == (1, 1)
