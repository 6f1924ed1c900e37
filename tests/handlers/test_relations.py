"""What the rules say of who stands how to whom, and what becomes of it when somebody becomes a POI."""

from __future__ import annotations

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.entities import entities
from handlers.poi_names import PoiNames
from handlers.poi_search import search_poi
from handlers.relations import relations
from machines.poi_search import SearchPoi
from storage.graph import EdgeKind, Limits
from storage.graph_postgres import GraphPostgres
from storage.poi_mentions import PoiMentions
from storage.pois import Pois
from storage.relations import Relations
from tests.case_rows import QuietJob, new_case, store
from tests.handlers.agreeing import models
from tests.handlers.test_extraction import Place

LETTER = """\
From: Martha Quill <martha@acme.example>
To: Ellen Wharton <ellen@acme.example>; Robert Tane <robert@acme.example>
Cc: archive@acme.example
Subject: The pier

Robert, please see to it.
"""


def told(words: str) -> list[tuple[str, str, str, str]]:
    found = entities(words, PoiNames([]))
    return [(s.name, p, o.name, words[a:b]) for s, p, o, a, b in relations(words, found)]


def test_who_sends_a_mail_wrote_to_each_who_receives_it() -> None:
    assert [row[:3] for row in told(LETTER)] == [
        ("Martha Quill", "wrote to", "Ellen Wharton"),
        ("Martha Quill", "wrote to", "Robert Tane"),
        ("Martha Quill", "wrote to", "archive@acme.example"),
    ]
    assert told(LETTER)[0][3].startswith("From: Martha Quill")


def test_the_mails_of_a_thread_are_kept_apart() -> None:
    answer = "From: Ellen Wharton\nTo: Martha Quill\n\nYes.\n\n" + LETTER
    assert [row[:3] for row in told(answer)][:2] == [
        ("Ellen Wharton", "wrote to", "Martha Quill"),
        ("Martha Quill", "wrote to", "Ellen Wharton"),
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("We met Martha Quill from Acme Steel, Inc. there.", ("Martha Quill", "of", "Acme Steel, Inc.")),
        (
            "So said Martha Quill, chief counsel of Acme Steel, Inc. there.",
            ("Martha Quill", "chief of", "Acme Steel, Inc."),
        ),
        ("Martha Quill paid Ellen Wharton $5,000 on Monday.", ("Martha Quill", "paid", "Ellen Wharton")),
        (
            "Acme Steel, Inc. had transferred $5,000 to Ellen Wharton.",
            ("Acme Steel, Inc.", "transferred", "Ellen Wharton"),
        ),
    ],
)
def test_what_stands_between_two_names_says_how_they_belong(
    words: str, expected: tuple[str, str, str]
) -> None:
    [row] = told(words)
    assert row[:3] == expected
    assert row[3] in words


@pytest.mark.parametrize(
    "words",
    [
        "Martha Quill left. Acme Steel, Inc. closed.",
        "Martha Quill never paid Ellen Wharton.",
        "Martha Quill saw that Ellen Wharton had $5,000.",
        "From: Martha Quill\n\nTo: Ellen Wharton",
    ],
)
def test_names_that_only_stand_near_each_other_are_not_related(words: str) -> None:
    assert told(words) == []


@pytest_asyncio.fixture(loop_scope="session")
async def place(rows: AsyncEngine) -> Place:
    return Place(rows, await new_case(rows))


async def test_relations_are_edges_of_the_graph_as_long_as_nobody_rejects_their_ends(place: Place) -> None:
    evidence = await store(place.engine, place.case, "mail", LETTER)
    await place.link(evidence, models())
    graph = GraphPostgres(place.engine)
    version = await graph.version(place.case)

    async def edges() -> set[tuple[str, str]]:
        whole = await graph.whole(place.case)
        chunks = [int(n) for n, kind in zip(whole.nodes, whole.kinds, strict=True) if kind == 0]
        names = [int(n) for n, kind in zip(whole.nodes, whole.kinds, strict=True) if kind == 1]
        around = await graph.around(place.case, chunks, names, Limits())
        found = []
        for one in (whole, around):
            labels = await graph.labels(place.case, [int(n) for n in one.nodes])
            here = one.edge_kinds == EdgeKind.RELATION
            pairs = zip(one.sources[here], one.targets[here], strict=True)
            found.append({tuple(sorted((labels[one.nodes[a]], labels[one.nodes[b]]))) for a, b in pairs})
        assert found[0] == found[1]
        return found[0]

    assert ("Ellen Wharton", "Martha Quill") in await edges()
    async with place.engine.begin() as connection:
        await connection.execute(text("UPDATE entities SET status = 'rejected' WHERE name = 'Ellen Wharton'"))
    assert not [pair for pair in await edges() if "Ellen Wharton" in pair]
    assert await graph.version(place.case) != version
    async with place.engine.begin() as connection:
        await connection.execute(text("UPDATE evidence SET hidden_at = now()"))
    assert await edges() == set()


async def test_a_person_who_becomes_a_poi_keeps_what_is_said_of_them(place: Place) -> None:
    await place.link(await store(place.engine, place.case, "mail", LETTER), models())
    before = [row[:3] for row in await place.relations()]
    poi = await Pois(place.engine).add(place.case, "Martha Quill", [], "")

    async def tell_changed(case: str) -> None:
        assert case == place.case

    await search_poi(
        SearchPoi(place.case, poi.id),
        QuietJob(),
        mentions=PoiMentions(place.engine),
        pois=Pois(place.engine),
        tell_changed=tell_changed,
    )
    assert [row[:3] for row in await place.relations()] == before
    kinds = await place.read(
        "SELECT DISTINCT e.kind FROM relations r JOIN entities e ON e.id = r.subject ORDER BY 1"
    )
    assert kinds == [("poi",)]


async def test_what_is_said_of_an_entity_is_listed_with_its_place(place: Place) -> None:
    evidence = await store(place.engine, place.case, "mail", LETTER)
    await place.link(evidence, models())
    [(ellen,)] = await place.read("SELECT id FROM entities WHERE name = 'Ellen Wharton'")
    [row] = await Relations(place.engine).of_entities(place.case, [ellen])
    assert (row.subject_name, row.predicate, row.object_name) == (
        "Martha Quill",
        "wrote to",
        "Ellen Wharton",
    )
    assert (row.evidence, row.source) == (evidence, "rule")
    assert await Relations(place.engine).of_entities("another", [ellen]) == []
