"""Entities in the database: idempotent, in every chunk that holds them, POIs found afterwards too."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.job import Cancelled, Permanent
from handlers.link import link_entities
from handlers.poi_search import search_poi
from machines.poi_search import SearchPoi
from machines.upload_events import Linked, LinkEntities
from storage.database import create_engine
from storage.entities import Entities
from storage.evidence import EvidenceStore
from storage.extractions import Extractions
from storage.poi_mentions import PoiMentions
from storage.pois import Pois
from tests.case_rows import QuietJob, new_case, store
from tests.handlers.agreeing import models

MEMO = (
    "Martha Quill met Ellen Wharton on June 4, 2001. She paid $5,000 to Acme Steel, Inc. for it. "
    "Ms. Wharton wrote to ellen.wharton@acme.example and to Mr. Quill."
)


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


class Place:
    def __init__(self, engine: AsyncEngine, case: str) -> None:
        self.engine, self.case = engine, case
        self.evidence, self.entities, self.pois = EvidenceStore(engine), Entities(engine), Pois(engine)

    async def link(self, evidence: int, job: QuietJob | None = None) -> Linked:
        return await link_entities(
            LinkEntities(evidence),
            job or QuietJob(),
            evidence=self.evidence,
            entities=self.entities,
            pois=self.pois,
            extractions=Extractions(self.engine),
            models=models(),
        )

    async def search(self, poi: int) -> int:
        """Look for a person in the whole case; returns how often it is named."""

        async def tell_changed(case: str) -> None:
            assert case == self.case

        searched = await search_poi(
            SearchPoi(self.case, poi),
            QuietJob(),
            mentions=PoiMentions(self.engine),
            pois=self.pois,
            tell_changed=tell_changed,
        )
        return searched.mentions

    async def rows(self) -> list[tuple[str, str, str, str]]:
        """Kind, name, status and text of every mention."""
        query = text(
            "SELECT kind, name, status, "
            "substr(evidence.text, mentions.start + 1, mentions.end - mentions.start) "
            "FROM mentions JOIN entities ON entities.id = entity_id JOIN chunks ON chunks.id = chunk_id "
            "JOIN evidence ON evidence.id = chunks.evidence_id ORDER BY evidence.id, mentions.start, kind"
        )
        async with self.engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(query)]

    async def ids(self) -> list[int]:
        async with self.engine.connect() as connection:
            return list(await connection.scalars(text("SELECT id FROM entities ORDER BY id")))


@pytest_asyncio.fixture(loop_scope="session")
async def place(engine: AsyncEngine) -> Place:
    return Place(engine, await new_case(engine))


async def test_entities_are_suggested_and_pois_accepted(place: Place) -> None:
    await place.pois.add(place.case, "Ellen Wharton", [], "")
    evidence = await store(place.engine, place.case, "memo", MEMO)
    result = await place.link(evidence)
    assert await place.rows() == [
        ("person", "Martha Quill", "suggested", "Martha Quill"),
        ("poi", "Ellen Wharton", "accepted", "Ellen Wharton"),
        ("date", "June 4, 2001", "suggested", "June 4, 2001"),
        ("money", "$5,000", "suggested", "$5,000"),
        ("organisation", "Acme Steel, Inc.", "suggested", "Acme Steel, Inc."),
        ("poi", "Ellen Wharton", "accepted", "Ms. Wharton"),
        ("email", "ellen.wharton@acme.example", "suggested", "ellen.wharton@acme.example"),
        ("poi", "Ellen Wharton", "accepted", "ellen.wharton@acme.example"),
        ("person", "Martha Quill", "suggested", "Mr. Quill"),
    ]
    assert (result.entities, result.mentions) == (6, 9)


async def test_linking_twice_leaves_what_once_leaves(place: Place) -> None:
    evidence = await store(place.engine, place.case, "memo", MEMO)
    await place.link(evidence)
    before = await place.rows(), await place.ids()
    await place.link(evidence)
    assert (await place.rows(), await place.ids()) == before


async def test_what_a_person_decided_stays_decided(place: Place) -> None:
    evidence = await store(place.engine, place.case, "memo", MEMO)
    await place.link(evidence)
    async with place.engine.begin() as connection:
        await connection.execute(text("UPDATE entities SET status = 'rejected' WHERE kind = 'money'"))
    await place.link(evidence)
    assert ("money", "$5,000", "rejected", "$5,000") in await place.rows()


async def test_every_chunk_that_holds_an_entity_mentions_it(place: Place) -> None:
    filler = "Nothing of note was said here, and nobody minded it much at all. " * 14
    evidence = await store(place.engine, place.case, "memo", f"{filler}Martha Quill left. {filler}")
    await place.link(evidence)
    holding = [c.id for c in await place.evidence.chunks(evidence) if "Martha Quill" in c.text]
    async with place.engine.connect() as connection:
        mentioning = list(await connection.scalars(text("SELECT chunk_id FROM mentions ORDER BY 1")))
    assert mentioning == holding != []


async def test_a_poi_added_later_is_found_and_takes_the_persons_place(place: Place) -> None:
    first = await store(place.engine, place.case, "memo", MEMO)
    second = await store(place.engine, place.case, "note", "So said Marta Quills: nothing.")
    for evidence in (first, second):
        await place.link(evidence)
    poi = await place.pois.add(place.case, "Quill, Martha", [], "")
    assert await place.search(poi.id) == 2
    rows = await place.rows()
    assert [row[3] for row in rows if row[0] == "poi"] == ["Martha Quill", "Mr. Quill"]
    assert not [row for row in rows if row[0] == "person" and "Quill" in row[1] and row[3] != "Marta Quills"]
    assert await place.search(poi.id) == 2
    assert await place.rows() == rows


async def test_a_renamed_poi_is_found_under_its_new_name_only(place: Place) -> None:
    evidence = await store(place.engine, place.case, "memo", MEMO)
    poi = await place.pois.add(place.case, "Ellen Wharton", [], "")
    await place.link(evidence)
    await place.pois.change(place.case, poi.id, "Martha Quill", ["Marty"], "")
    await place.search(poi.id)
    assert [row[1:] for row in await place.rows() if row[0] == "poi"] == [
        ("Martha Quill", "accepted", "Martha Quill"),
        ("Martha Quill", "accepted", "Mr. Quill"),
    ]


async def test_a_poi_that_is_gone_leaves_the_graph(place: Place) -> None:
    evidence = await store(place.engine, place.case, "memo", MEMO)
    poi = await place.pois.add(place.case, "Ellen Wharton", [], "")
    await place.link(evidence)
    await place.pois.remove(place.case, poi.id)
    with pytest.raises(Permanent, match="does not exist any more"):
        await place.search(poi.id)
    assert "poi" not in {row[0] for row in await place.rows()}


async def test_a_nearly_right_spelling_is_the_poi(place: Place) -> None:
    evidence = await store(
        place.engine, place.case, "memo", "To: Martha Quilling <mq@acme.example>\n\nHello."
    )
    poi = await place.pois.add(place.case, "Martha Quillinng", [], "")
    await place.link(evidence)
    assert [row[0] for row in await place.rows()] == ["poi", "email"]
    await place.search(poi.id)
    assert [row[0] for row in await place.rows()] == ["poi", "email"]


async def test_a_poi_of_another_case_is_nobody_here(place: Place) -> None:
    await place.pois.add(await new_case(place.engine, "case2"), "Ellen Wharton", [], "")
    await place.link(await store(place.engine, place.case, "memo", MEMO))
    assert "poi" not in {row[0] for row in await place.rows()}


async def test_cancelled_linking_stores_nothing(place: Place) -> None:
    evidence = await store(place.engine, place.case, "memo", MEMO)
    with pytest.raises(Cancelled):
        await place.link(evidence, QuietJob(looks_left=1))
    assert await place.rows() == []


async def test_evidence_that_is_gone_fails_for_good(place: Place) -> None:
    with pytest.raises(Permanent, match="does not exist"):
        await place.link(12345)
