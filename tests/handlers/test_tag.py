"""Tags by form and by what is rare elsewhere."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.index import index_chunks
from handlers.near import NearLinks
from handlers.retag import retag_some
from handlers.tag import TAGGER_VERSION, Profile, kinds, tag_evidence
from machines.upload_events import IndexChunks, TagEvidence
from storage.database import create_engine
from storage.edits import Edits
from storage.evidence import EvidenceStore
from storage.journal import CustodyJournal
from storage.near_copies import NearCopies
from storage.outdated_tags import OutdatedTags
from storage.similarities import Similarities
from storage.vectors_pgvector import PgVectors
from storage.words import Words
from tests.case_rows import QuietJob, new_case, store


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("SERVICE AGREEMENT\n\nThe parties agree as follows.", "agreement"),
        ("MEMORANDUM\n\nTO: Ann\nFROM: Ben", "memorandum"),
        ("June 4\n\nDear Ms. Orr,\n\nIt stands.\n\nSincerely,\nBen", "letter"),
        ("Q. Where?\nA. Here.\n" * 12, "transcript"),
        ("PLAINTIFF'S EXHIBIT 12\n\nwords", "exhibit"),
        ("UNITED STATES DISTRICT COURT\n\nORDER\n\nIt is so.", "order"),
    ],
)
async def test_the_sort_of_a_document_is_told_by_its_form(engine: AsyncEngine, text: str, kind: str) -> None:
    evidence = EvidenceStore(engine)
    row = await evidence.get(await store(engine, await new_case(engine), "a", text))
    assert kind in kinds(row, text)
    assert kinds(row, "I think that we should go there some day.") == {}


def test_currencies_and_forms_of_companies_set_nothing_apart() -> None:
    told = Profile.of(
        "Vanter Holding Limited paid Brask Quarries GmbH EUR 5,555 and SEK 40. The Company, Vanter Holding "
        "LIMITED, owes Brask Quarries SpA a cup. A spa was limited to EUR 12 a cup, and CUP 3 in Cuba. " * 3
    )
    assert set(told.surfaces.values()) == {
        "Vanter", "Holding", "paid", "Brask", "Quarries", "owes", "cup", "spa", "Cuba",
    }  # fmt: skip


async def test_distinctive_terms_are_those_rare_in_the_rest_of_the_case(engine: AsyncEngine) -> None:
    case = await new_case(engine)
    evidence, words = EvidenceStore(engine), Words(engine)
    common = "The shipment of copper left the harbour in the evening. "
    ids = [await store(engine, case, f"d{i}", common * 3) for i in range(5)]
    mine = await store(
        engine, case, "mine", common * 3 + "The Zanzibar ledger names it. The Zanzibar ledger."
    )

    async def index(one: int) -> None:
        await index_chunks(
            IndexChunks(one),
            QuietJob(),
            evidence=evidence,
            words=words,
            vectors=PgVectors(engine),
            similarities=Similarities(engine),
            near=NearLinks(evidence, NearCopies(engine)),
        )

    for one in ids:
        await index(one)
    first = (await tag_evidence(TagEvidence(mine), QuietJob(), evidence=evidence, words=words)).tags
    assert set(first[:2]) == {"Zanzibar", "ledger"}
    await index(mine)
    again = (await tag_evidence(TagEvidence(mine), QuietJob(), evidence=evidence, words=words)).tags
    assert again == first == (await evidence.get(mine)).tags


def test_a_term_is_shown_as_it_is_mostly_written() -> None:
    profile = Profile.of(
        "The Ledgers were lost. ledgers, ledgers, ledger; NASA and Zoë's HEADINGS, Zoë HEADINGS"
    )
    assert profile.surfaces["ledger"] == "ledgers"
    assert profile.surfaces["nasa"] == "NASA"
    assert profile.surfaces["zoe"] == "Zoë"
    assert profile.surfaces["head"] == "Headings"


def test_a_term_that_stands_alone_is_surer_than_one_among_equals() -> None:
    counted = " ".join(f"term{chr(97 + i)} " * 3 for i in range(7))
    among = Profile.of(counted).distinctive(50, {})
    alone = Profile.of(f"{counted} {'zanzibar ' * 30}").distinctive(50, {})
    assert set(among.values()) == {0.35}
    assert 0.35 < alone["zanzibar"] < 1
    assert next(iter(alone)) == "zanzibar"


async def test_forms_are_surer_than_terms_and_the_store_says_so(engine: AsyncEngine) -> None:
    evidence, words = EvidenceStore(engine), Words(engine)
    row = await store(engine, await new_case(engine), "a", "MEMORANDUM\n\nThe zeppelin left Narvik.")
    tags = (await tag_evidence(TagEvidence(row), QuietJob(), evidence=evidence, words=words)).tags
    kept = await evidence.get(row)
    assert kept.tags == tags
    assert set(tags) == set(kept.tag_confidence)
    assert kept.tagger == TAGGER_VERSION
    assert kept.tag_confidence["memorandum"] == max(kept.tag_confidence.values())
    assert all(0 < sure <= 1 for sure in kept.tag_confidence.values())


async def test_what_an_earlier_tagger_found_is_found_again_and_what_people_wrote_stays(
    engine: AsyncEngine,
) -> None:
    case = await new_case(engine)
    evidence, words, outdated = EvidenceStore(engine), Words(engine), OutdatedTags(engine)
    ids = [await store(engine, case, f"d{i}", f"ORDER\n\nThe zeppelin {i} left Narvik.") for i in range(4)]
    await engine_indexed(engine, ids)
    for one in ids:
        await evidence.set_tags(one, ["old"], confidence={}, tagger=0)
    await Edits(engine, CustodyJournal(engine)).put(ids[1], "tags", ["mine"], if_version=0, user="")
    async with engine.begin() as connection:
        await connection.execute(sql("UPDATE evidence SET hidden_at = now() WHERE id = :id"), {"id": ids[2]})
    assert await retag_some(outdated, evidence=evidence, words=words, limit=1) == (ids[0], {case})
    assert await retag_some(outdated, evidence=evidence, words=words) == (ids[3], {case})
    assert await retag_some(outdated, evidence=evidence, words=words) == (0, set())
    tags = [(await evidence.get(one)).tags for one in ids]
    assert tags[1:3] == [["mine"], ["old"]]
    assert all("order" in tags[i] and "old" not in tags[i] for i in (0, 3))


async def engine_indexed(engine: AsyncEngine, ids: list[int]) -> None:
    """As if they had been read long ago."""
    async with engine.begin() as connection:
        await connection.execute(
            sql("INSERT INTO chunk_lengths SELECT id, case_id, 5 FROM chunks WHERE evidence_id = ANY(:ids)"),
            {"ids": ids},
        )
