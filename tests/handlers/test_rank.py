"""Ranking a question: the order, the reasons and the place of each hit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.embedder import Embedder
from handlers.query_graph import from_bytes
from handlers.rank import ORDERED, SHOWN, rank_hits
from handlers.snippets import LENGTH, snippet
from handlers.standing import case_standing
from handlers.terms import terms
from machines.query import PathStep, Ranked, RankHits
from tests.handlers.small_case import SmallCase, WatchedJob, add_user, small_case

JOINED = "Who paid the one who approved the blast of bench nine?"
QUERY = "query-0-a"


async def rank(case: SmallCase, question: str, query: str = QUERY) -> Ranked:
    effect = RankHits(case.id, query, question, await case.legs(question))
    return await rank_hits(
        effect,
        WatchedJob(),
        graph=case.graph,
        votes=case.votes,
        graphs=case.graphs,
        articles=case.articles,
        attention=case.attention,
        load=case.load,
    )


async def test_a_hit_reached_through_a_person_says_so(quarry: SmallCase) -> None:
    ranked = await rank(quarry, JOINED)
    nodes = [place.node for place in ranked.order]
    payment = quarry.chunk("bank-statement", 1)
    assert nodes[0] == quarry.chunk("blasting-record", 0)
    assert nodes.index(payment) < nodes.index(quarry.chunk("canteen", 0))
    hit = next(hit for hit in ranked.hits if hit.node == payment)
    assert hit.path[0].source == "question"
    assert hit.path[-2:] == [
        PathStep(source="blasting-record", kind="mentions", target="Marit Solheim"),
        PathStep(source="Marit Solheim", kind="mentioned in", target="bank-statement"),
    ]


async def test_a_named_person_is_where_the_path_begins(quarry: SmallCase) -> None:
    ranked = await rank(quarry, "Marit Solheim")
    entries = {hit.path[0].kind for hit in ranked.hits if hit.path}
    assert entries <= {"names", "meaning", "words", "links"}
    graph = from_bytes(await quarry.graphs.get(QUERY) or b"")
    place = np.searchsorted(graph.nodes, await quarry.entity("Marit Solheim"))
    assert graph.reset[place] > 0


async def test_a_hit_carries_the_scores_of_the_legs_that_found_it_and_its_place(quarry: SmallCase) -> None:
    ranked = await rank(quarry, JOINED)
    legs = await quarry.legs(JOINED)
    passages = await quarry.graph.passages(quarry.id, list(quarry.chunks.values()))
    for hit in ranked.hits:
        expected = {
            leg: each["score"] for leg, found in legs.items() for each in found if each["node"] == hit.node
        }
        assert hit.legs == expected
        passage = passages[hit.node]
        assert (hit.place.start, hit.place.end, hit.title) == (passage.start, passage.end, passage.title)
    assert ranked.hits[0].highlights
    marked = {ranked.hits[0].snippet[start:end] for start, end in ranked.hits[0].highlights}
    assert {term for word in marked for term in terms(word)} <= set(terms(JOINED))


async def test_the_kept_graph_is_the_one_that_the_tables_give(quarry: SmallCase) -> None:
    await rank(quarry, JOINED)
    kept = from_bytes(await quarry.graphs.get(QUERY) or b"")
    rebuilt = await quarry.query_graph(JOINED)
    np.testing.assert_array_equal(kept.reset, rebuilt.reset)
    np.testing.assert_array_equal(kept.links.weights, rebuilt.links.weights)
    np.testing.assert_array_equal(kept.walked, rebuilt.walked)
    assert await quarry.graphs.newest(quarry.id) == [QUERY]


async def test_votes_that_stand_are_in_the_first_order(quarry: SmallCase) -> None:
    before = await rank(quarry, JOINED)
    first = before.order[0].node
    await add_user(quarry.database, "u1")
    tally = await quarry.votes.record(quarry.id, "u1", first, -1, query=QUERY, effect="e", at=1.0)
    after = await rank(quarry, JOINED)
    assert (before.as_of, after.as_of) == (0, tally.as_of)
    assert after.votes == {str(first): -1}
    assert after.order[0].node != first


async def test_no_more_is_shown_and_ordered_than_fits(
    rows: AsyncEngine, redis_client: Redis, encoder: Embedder
) -> None:
    documents = {"log": [f"Entry {i}: the pump of shaft {i % 7} ran dry." for i in range(ORDERED + 9)]}
    case = await small_case(rows, redis_client, encoder, documents=documents, entities={})
    ranked = await rank(case, "Which pump ran dry?")
    assert (len(ranked.order), len(ranked.hits)) == (ORDERED, SHOWN)
    assert [hit.node for hit in ranked.hits] == [place.node for place in ranked.order[:SHOWN]]
    assert [place.score for place in ranked.order] == sorted((p.score for p in ranked.order), reverse=True)


async def test_an_empty_case_gives_an_empty_order(
    rows: AsyncEngine, redis_client: Redis, encoder: Embedder
) -> None:
    case = await small_case(rows, redis_client, encoder, documents={}, entities={})
    ranked = await rank(case, "Anything?")
    assert (ranked.hits, ranked.order, ranked.nodes, ranked.edges) == ([], [], 0, 0)


async def test_standing_follows_votes_and_is_computed_anew_only_for_a_changed_case(quarry: SmallCase) -> None:
    async def standing() -> dict[str, float]:
        rows = await case_standing(quarry.id, graph=quarry.graph, votes=quarry.votes, graphs=quarry.graphs)
        return {row.label: row.standing for row in rows}

    before = await standing()
    assert before["Marit Solheim"] > before["Lene Dahl"]
    assert before == await standing()
    await add_user(quarry.database, "u1")
    node = quarry.evidence["canteen"]
    await quarry.votes.record(quarry.id, "u1", node, 1, query="", effect="up", at=1.0)
    voted = await standing()
    assert max(voted, key=lambda label: voted[label] - before[label]) == "canteen"
    await quarry.votes.record(quarry.id, "u1", node, 0, query="", effect="undo", at=2.0)
    assert await standing() == before
    await quarry.judge("Marit Solheim", "rejected")
    assert "Marit Solheim" not in await standing()


@given(
    text=st.text(alphabet="aábc. \n…", max_size=900),
    wanted=st.lists(st.sampled_from(["aa", "b", "cab", "ab"]), max_size=3),
)
def test_a_snippet_fits_and_its_marks_are_matches(text: str, wanted: list[str]) -> None:
    shown, marks = snippet(text, wanted)
    assert len(shown) <= LENGTH
    assert "\n" not in shown
    last = 0
    for start, end in marks:
        assert last <= start < end <= len(shown)
        assert set(terms(shown[start:end])) & set(wanted)
        last = end


def test_a_snippet_shows_where_the_terms_stand_together() -> None:
    text = "pump " + "filler words go on and on " * 40 + "the pump of the lower shaft failed. " + "more " * 90
    shown, marks = snippet(text, terms("Which pump of the shaft failed?"))
    assert "the pump of the lower shaft failed" in shown
    assert [shown[start:end] for start, end in marks] == ["pump", "shaft", "failed"]
    assert shown.startswith("…")
    assert shown.endswith("…")
