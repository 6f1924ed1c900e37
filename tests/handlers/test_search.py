"""What each leg of retrieval finds, and what it must not."""

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers import search
from handlers.embedder import Embedder
from handlers.known_names import NameIndex
from handlers.named import named_in
from handlers.search import quoted, search_links, search_meaning, search_words
from machines.query import LegFound, SearchLinks, SearchMeaning, SearchWords
from storage.graph import Name
from storage.vectors_pgvector import PgVectors
from tests.handlers.small_case import SmallCase, WatchedJob, small_case


async def by_links(case: SmallCase, question: str) -> LegFound:
    return await search_links(SearchLinks(case.id, question), WatchedJob(), graph=case.graph)


async def by_meaning(case: SmallCase, question: str) -> LegFound:
    return await search_meaning(
        SearchMeaning(case.id, question),
        WatchedJob(),
        vectors=PgVectors(case.database),
        words=case.words,
        encoder=case.encoder,
    )


async def test_meaning_finds_what_shares_no_word(quarry: SmallCase) -> None:
    found = await by_meaning(quarry, "explosives used")
    assert found.stage == "by_meaning"
    assert found.effect == WatchedJob().id
    assert found.found[0].node in (quarry.chunk("blasting-record", 0), quarry.chunk("blasting-record", 1))
    scores = [each.score for each in found.found]
    assert scores == sorted(scores, reverse=True)


async def test_words_find_a_rare_word_first(quarry: SmallCase) -> None:
    effect = SearchWords(quarry.id, "Which detonators were recovered?")
    found = await search_words(effect, WatchedJob(), words=quarry.words)
    assert found.found[0].node == quarry.chunk("blasting-record", 1)


async def test_links_find_every_chunk_that_mentions_the_named_person_and_no_other(quarry: SmallCase) -> None:
    found = await by_links(quarry, "What did Marit Solheim do?")
    assert {each.node for each in found.found} == {
        quarry.chunk("blasting-record", 0),
        quarry.chunk("bank-statement", 1),
    }


async def test_links_find_a_misspelt_name(quarry: SmallCase) -> None:
    exact = {each.node for each in (await by_links(quarry, "Marit Solheim")).found}
    assert {each.node for each in (await by_links(quarry, "and Marit Solhiem?")).found} == exact
    assert not (await by_links(quarry, "Merete Sandvik")).found


async def test_a_last_name_alone_counts_less_than_the_whole_name(quarry: SmallCase) -> None:
    whole = (await by_links(quarry, "Marit Solheim")).found
    last = (await by_links(quarry, "What of Solheim's consulting?")).found
    assert [each.node for each in last] == [each.node for each in whole]
    assert last[0].score < whole[0].score


async def test_an_alias_of_a_person_of_interest_leads_to_their_mentions(
    rows: AsyncEngine, redis_client: Redis, encoder: Embedder
) -> None:
    pois = {"Marit Solheim": ["The Heron"]}
    case = await small_case(rows, redis_client, encoder, entities={"poi": ["Marit Solheim"]}, pois=pois)
    found = await by_links(case, "who is the heron")
    assert {each.node for each in found.found} == {
        case.chunk("blasting-record", 0),
        case.chunk("bank-statement", 1),
    }


async def test_a_rejected_entity_leads_nowhere(quarry: SmallCase) -> None:
    await quarry.judge("Marit Solheim", "rejected")
    assert not (await by_links(quarry, "Marit Solheim")).found


async def test_a_rarer_name_weighs_more(rows: AsyncEngine, redis_client: Redis, encoder: Embedder) -> None:
    documents = {
        "a": ["Ada Berg spoke.", "Ada Berg left.", "Ada Berg paid.", "Tom Lind came.", "Nobody came."]
    }
    case = await small_case(
        rows, redis_client, encoder, documents=documents, entities={"person": ["Ada Berg", "Tom Lind"]}
    )
    found = (await by_links(case, "Ada Berg and Tom Lind")).found
    assert found[0].node == case.chunk("a", 3)
    assert [each.node for each in found[1:]] == [case.chunk("a", i) for i in range(3)], "ties by id"


async def test_every_leg_stays_in_its_case(rows: AsyncEngine, redis_client: Redis, encoder: Embedder) -> None:
    ours = await small_case(rows, redis_client, encoder, case="case1")
    other = await small_case(rows, redis_client, encoder, case="case2")
    foreign = set(other.chunks.values())
    for found in (await ours.legs("Who approved the blast, Marit Solheim?")).values():
        assert found
        assert not foreign & {each["node"] for each in found}


async def test_a_leg_finds_no_more_than_its_limit(
    rows: AsyncEngine, redis_client: Redis, encoder: Embedder
) -> None:
    documents = {"log": [f"Entry {i}: the pump ran." for i in range(search.LIMIT + 5)]}
    case = await small_case(rows, redis_client, encoder, documents=documents, entities={})
    legs = await case.legs("When did the pump run?")
    assert len(legs["meaning"]) == len(legs["words"]) == search.LIMIT


def test_the_longest_name_at_a_place_is_meant() -> None:
    bank = Name(1, "organisation", "Harbour Bank", (1,), False)
    holding = Name(2, "organisation", "Harbour Bank Holding", (2,), False)
    found = named_in("Who owns the Harbour Bank Holding?", NameIndex([bank, holding]))
    assert [each.name.node for each in found] == [2]


def test_a_stop_word_is_nobody_even_where_someone_is_called_so() -> None:
    assert not named_in("What will it be?", NameIndex([Name(1, "person", "Will", (1,), False)]))


@pytest.mark.parametrize(
    ("question", "phrases"),
    [
        ('Who sent "Low Water" to the chair?', ["Low Water"]),
        ("Who said “no” and «yes, of course»?", ["no", "yes, of course"]),
        ("Whose was it, the editor's or the chair's?", []),
        ('"twice" is "twice"', ["twice"]),
    ],
)
def test_quotation_marks_of_any_style_hold_a_phrase(question: str, phrases: list[str]) -> None:
    assert quoted(question) == phrases
