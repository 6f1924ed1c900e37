"""A person looked for in all evidence: what is found and told, and that nothing slips between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers import poi_search
from handlers.job import Cancelled, Permanent, Temporary
from handlers.link import link_entities
from handlers.poi_search import search_poi, size_poi_search
from machines.poi_search import Searched, SearchPoi, SizePoiSearch
from machines.upload_events import LinkEntities
from storage.database import create_engine
from storage.entities import Entities
from storage.evidence import EvidenceStore
from storage.extractions import Extractions
from storage.poi_mentions import PoiMentions
from storage.pois import Pois
from tests.case_rows import QuietJob, new_case, store
from tests.handlers.agreeing import models

FILLER = "Nothing of note was said here, and nobody minded it much at all. " * 14
MEMO = f"Ellen Wharton met Martha Quilling. {FILLER} Then Ms. Wharton wrote to ellen.wharton@acme.example."
LETTER = f"{FILLER} Dear Martha Quilling, {FILLER} so said Martha Quiling to Martha Quilling."


class HookedJob(QuietJob):
    """A job that does something else at its first look."""

    def __init__(self, hook: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self.hook: Callable[[], Awaitable[object]] | None = hook

    async def progress(self, done: int, total: int, unit: str) -> None:
        hook, self.hook = self.hook, None
        if hook is not None and done == 0:
            await hook()
        await super().progress(done, total, unit)


class SlowJob(QuietJob):
    """A job that rests at random between its steps."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.chance = random.Random(seed)

    async def progress(self, done: int, total: int, unit: str) -> None:
        await asyncio.sleep(self.chance.random() * 0.01)


class Place:
    def __init__(self, engine: AsyncEngine, case: str) -> None:
        self.engine, self.case = engine, case
        self.evidence, self.entities, self.pois = EvidenceStore(engine), Entities(engine), Pois(engine)
        self.told = 0

    async def add(self, name: str, words: str, job: QuietJob | None = None) -> int:
        evidence = await store(self.engine, self.case, name, words)
        await self.link(evidence, job)
        return evidence

    async def link(self, evidence: int, job: QuietJob | None = None) -> None:
        await link_entities(
            LinkEntities(evidence),
            job or QuietJob(),
            evidence=self.evidence,
            entities=self.entities,
            pois=self.pois,
            extractions=Extractions(self.engine),
            models=models(),
        )

    async def search(self, poi: int, job: QuietJob | None = None) -> Searched:
        async def tell_changed(case: str) -> None:
            self.told += 1

        return await search_poi(
            SearchPoi(self.case, poi),
            job or QuietJob(),
            mentions=PoiMentions(self.engine),
            pois=self.pois,
            tell_changed=tell_changed,
        )

    async def rows(self) -> list[tuple[object, ...]]:
        """Evidence, kind, name, place and text of every mention of a person."""
        query = text(
            "SELECT evidence.id, kind, name, mentions.chunk_id, mentions.start, "
            "substr(evidence.text, mentions.start + 1, mentions.end - mentions.start) "
            "FROM mentions JOIN entities ON entities.id = entity_id JOIN chunks ON chunks.id = chunk_id "
            "JOIN evidence ON evidence.id = chunks.evidence_id WHERE kind IN ('poi', 'person') "
            "ORDER BY evidence.id, mentions.start, mentions.chunk_id, kind"
        )
        async with self.engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(query)]

    async def linked_anew(self) -> list[tuple[object, ...]]:
        """What is there when all evidence is linked again, with the persons of interest as they are."""
        for row in await self.evidence.of_case(self.case, limit=1000):
            await self.link(row.id)
        return await self.rows()


@pytest_asyncio.fixture(loop_scope="session")
async def place(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    monkeypatch.setattr(poi_search, "STRETCH", 2)
    engine = create_engine(database, pool_size=8)
    yield Place(engine, await new_case(engine))
    await engine.dispose()


async def test_what_is_found_is_told_by_evidence_with_the_first_place_and_slips_apart(place: Place) -> None:
    memo, letter = await place.add("memo", MEMO), await place.add("letter", LETTER)
    poi = await place.pois.add(place.case, "Martha Quilling", [], "")
    found = await place.search(poi.id)
    assert (found.mentions, found.slips, found.evidence) == (4, 1, 2)
    assert (found.added, found.removed, place.told) == (4, 0, 1)
    assert [(one.evidence, one.title, one.mentions, one.slips) for one in found.places] == [
        (letter, "letter", 3, 1),
        (memo, "memo", 1, 0),
    ]
    for one, words in zip(found.places, (LETTER, MEMO), strict=True):
        assert words[one.start : one.end] == "Martha Quilling"
        assert one.start == words.index("Martha Quilling")
        assert one.snippet[slice(*one.marked)] == "Martha Quilling"
        assert not one.slip
        assert set(one.snippet.split()) <= {*words.split(), "…"}
    assert await place.rows() == await place.linked_anew()


async def test_a_name_that_stands_nowhere_is_found_nowhere(place: Place) -> None:
    await place.add("memo", MEMO)
    poi = await place.pois.add(place.case, "Nora Absent", [], "")
    found = await place.search(poi.id)
    assert (found.mentions, found.evidence, found.added, found.places, place.told) == (0, 0, 0, [], 0)


async def test_evidence_that_only_misspells_the_name_is_told_to_do_so(place: Place) -> None:
    await place.add("note", "So said Martha Quiling to the others: nothing.")
    poi = await place.pois.add(place.case, "Martha Quilling", [], "")
    found = await place.search(poi.id)
    assert (found.mentions, found.slips) == (1, 1)
    assert found.places[0].slip
    assert found.places[0].snippet[slice(*found.places[0].marked)] == "Martha Quiling"
    again = await place.search(poi.id)
    assert (again.mentions, again.slips, again.added, again.removed) == (1, 1, 0, 0)


async def test_a_renamed_person_is_named_elsewhere_and_what_changed_is_counted(place: Place) -> None:
    await place.add("memo", MEMO)
    poi = await place.pois.add(place.case, "Martha Quilling", [], "")
    await place.search(poi.id)
    await place.pois.change(place.case, poi.id, "Ellen Wharton", [], "")
    found = await place.search(poi.id)
    assert (found.mentions, found.added, found.removed) == (3, 3, 1)
    assert [row[5] for row in await place.rows() if row[1] == "poi"] == [
        "Ellen Wharton",
        "Ms. Wharton",
        "ellen.wharton@acme.example",
    ]


async def test_a_person_entered_while_evidence_is_linked_is_linked_there_too(place: Place) -> None:
    """Linking has looked at the persons before; the search comes to its end before linking stores."""
    evidence = await store(place.engine, place.case, "memo", MEMO)
    searched: list[Searched] = []

    async def enter() -> None:
        poi = await place.pois.add(place.case, "Martha Quilling", [], "")
        searched.append(await place.search(poi.id))

    await place.link(evidence, HookedJob(enter))
    assert searched[0].mentions == 1
    assert [row[5] for row in await place.rows() if row[1] == "poi"] == ["Martha Quilling"]


async def test_evidence_that_comes_while_a_search_is_under_way_keeps_what_was_linked(place: Place) -> None:
    await place.add("memo", MEMO)
    poi = await place.pois.add(place.case, "Martha Quilling", [], "")

    async def come() -> None:
        await place.add("letter", LETTER)

    await place.search(poi.id, HookedJob(come))
    assert len({row[0] for row in await place.rows() if row[1] == "poi"}) == 2
    assert await place.rows() == await place.linked_anew()


async def test_a_person_renamed_during_the_search_is_looked_for_by_the_newer_name(place: Place) -> None:
    await place.add("memo", MEMO)
    poi = await place.pois.add(place.case, "Martha Quilling", [], "")

    async def rename() -> None:
        await place.pois.change(place.case, poi.id, "Ellen Wharton", [], "")

    assert (await place.search(poi.id, HookedJob(rename))).mentions == 3
    assert {row[2] for row in await place.rows() if row[1] == "poi"} == {"Ellen Wharton"}


async def test_a_person_removed_during_the_search_is_left_nowhere(place: Place) -> None:
    await place.add("memo", MEMO)
    poi = await place.pois.add(place.case, "Martha Quilling", [], "")
    await place.search(poi.id)

    async def remove() -> None:
        await place.pois.remove(place.case, poi.id)

    with pytest.raises(Permanent, match="does not exist any more"):
        await place.search(poi.id, HookedJob(remove))
    assert [row for row in await place.rows() if row[1] == "poi"] == []


async def test_a_person_who_never_rests_ends_the_attempt(place: Place) -> None:
    await place.add("memo", MEMO)
    poi = await place.pois.add(place.case, "Martha Quilling", [], "")

    class Restless(QuietJob):
        async def progress(self, done: int, total: int, unit: str) -> None:
            await place.pois.change(place.case, poi.id, f"Martha {random.random()}", [], "")

    with pytest.raises(Temporary, match="keeps changing"):
        await place.search(poi.id, Restless())


async def test_a_search_that_is_stopped_leaves_the_rest_as_it_was(place: Place) -> None:
    for name in ("a", "b", "c"):
        await place.add(name, LETTER)
    poi = await place.pois.add(place.case, "Martha Quilling", [], "")
    with pytest.raises(Cancelled):
        await place.search(poi.id, QuietJob(looks_left=2))
    found = {row[0] for row in await place.rows() if row[1] == "poi"}
    assert len(found) < 3
    assert await place.search(poi.id)
    assert await place.rows() == await place.linked_anew()


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_the_order_every_mention_is_linked_in_the_end(place: Place, seed: int) -> None:
    """Evidence comes, persons are entered and renamed, each at a moment of its own, all at once."""
    chance = random.Random(seed)

    async def come(number: int) -> None:
        await asyncio.sleep(chance.random() * 0.05)
        await place.add(f"e{number}", (MEMO, LETTER)[number % 2], SlowJob(seed * 100 + number))

    async def enter(name: str, later: str) -> None:
        await asyncio.sleep(chance.random() * 0.05)
        poi = await place.pois.add(place.case, name, [], "")
        first = asyncio.create_task(place.search(poi.id, SlowJob(seed)))
        await asyncio.sleep(chance.random() * 0.05)
        if later:
            await place.pois.change(place.case, poi.id, later, [], "")
            await place.search(poi.id, SlowJob(seed + 1))
        await first

    await asyncio.gather(
        *map(come, range(6)), enter("Martha Quilling", ""), enter("Nora Absent", "Ellen Wharton")
    )
    left = await place.rows()
    assert {row[2] for row in left if row[1] == "poi"} == {"Martha Quilling", "Ellen Wharton"}
    assert left == await place.linked_anew()


async def test_a_large_case_is_to_be_asked_about(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await place.add("letter", LETTER)

    async def size() -> tuple[int, bool]:
        effect = SizePoiSearch(place.case, 1)
        sized = await size_poi_search(effect, QuietJob(), mentions=PoiMentions(place.engine))
        return sized.chunks, sized.large

    chunks, large = await size()
    assert (chunks > 1, large) == (True, False)
    monkeypatch.setattr(poi_search, "ASK_FROM", chunks - 1)
    assert await size() == (chunks, True)
