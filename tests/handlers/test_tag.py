"""Tags by form and by what is rare elsewhere."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.index import index_chunks
from handlers.near import NearLinks
from handlers.tag import Profile, kinds, tag_evidence
from machines.upload_events import IndexChunks, TagEvidence
from storage.database import create_engine
from storage.evidence import EvidenceStore
from storage.near_copies import NearCopies
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
    assert kinds(row, "I think that we should go there some day.") == []


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
