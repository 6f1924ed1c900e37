"""Summaries are sentences of the source, at their places, in their order."""

from collections.abc import AsyncIterator

import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.summarise import MOST_SENTENCES, page_at, pick, summarise_evidence
from machines.upload_events import SummariseEvidence
from storage.database import create_engine
from storage.evidence import EvidenceStore
from tests.case_rows import QuietJob, new_case, store

OFF = [
    "A grey cat slept near the warm kitchen stove.",
    "Tomorrow rain may fall upon several distant hills.",
    "His uncle collects stamps, coins plus antique maps.",
    "Seven green bottles stood along that dusty shelf.",
]
ON = [
    "The bridge contract was signed by the harbour board in spring.",
    "The harbour board paid the contractor for the bridge too early.",
    "The contractor left the bridge unfinished, and the harbour board sued.",
    "In court the harbour board won damages from the bridge contractor.",
]


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


def test_central_sentences_are_picked_in_the_order_of_the_text() -> None:
    text = " ".join(one for pair in zip(OFF, ON, strict=True) for one in pair)
    picked = [text[one.start : one.end] for one in pick(text)]
    assert len(picked) == 3
    assert set(picked) <= set(ON)
    assert picked == sorted(picked, key=text.index)


def test_a_repeated_sentence_is_taken_once() -> None:
    text = " ".join([ON[0]] * 6 + OFF)
    picked = [text[one.start : one.end] for one in pick(text)]
    assert picked.count(ON[0]) == 1


def test_headings_tables_and_scraps_are_no_sentences() -> None:
    text = "THE BRIDGE CONTRACT OF THE HARBOUR BOARD\n\nYes.\n\n1 200 300 44 55 66 77 88 99\n\n" + ON[0]
    assert [text[one.start : one.end] for one in pick(text)] == [ON[0]]
    assert pick("") == []


def test_a_very_long_text_is_read_only_so_far() -> None:
    text = " ".join(f"Sentence {i} tells something about matter number {i * 7} again." for i in range(4000))
    assert max(one.end for one in pick(text)) <= text.index(f"Sentence {MOST_SENTENCES} ")


def test_a_place_has_a_page() -> None:
    pages = [[0, 5], [7, 9]]
    assert [page_at(pages, at) for at in (0, 5, 7, 8)] == [1, 1, 2, 2]
    assert page_at([], 3) == 0


async def test_the_summary_is_stored_with_places(engine: AsyncEngine) -> None:
    text = " ".join(ON[:2])
    evidence = EvidenceStore(engine)
    one = await store(engine, await new_case(engine), "a", text)
    result = await summarise_evidence(SummariseEvidence(one), QuietJob(), evidence=evidence)
    summary = (await evidence.get(one)).summary
    assert result.sentences == len(summary) == 2
    assert [text[s["start"] : s["end"]] for s in summary] == [s["text"] for s in summary] == ON[:2]
    assert {s["page"] for s in summary} == {0}
