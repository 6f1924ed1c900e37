"""Articles from outside: kept beside the evidence, ranked among it, cited as what they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from gpu import device_leases
from handlers.answer import compose_answer
from handlers.article_ranks import order_articles
from handlers.articles import READERS, embed_articles, fetch_articles
from handlers.embedder import Embedder
from handlers.fetching import Fetcher
from handlers.focus import focused
from handlers.job import Permanent
from handlers.prompt import fenced
from handlers.rank import rank_hits
from handlers.sandbox import Sandbox
from handlers.sources import sources_in
from handlers.terms import terms
from machines.query import ComposeAnswer, EmbedArticles, FetchArticles, Fetched, RankHits
from storage.articles import NewArticle
from tests.handlers.agreeing import models
from tests.handlers.sites import FEED, Site, site
from tests.handlers.small_case import SmallCase, WatchedJob, small_case
from tests.handlers.test_answer import nobody
from tests.handlers.test_fetching import Kept
from tests.patience import PATIENCE_S

QUERY = "query-0-a"
QUESTION = "Who heard the blast of bench nine in the valley?"


@pytest_asyncio.fixture
async def news() -> AsyncIterator[Site]:
    async with site() as made:
        made.put("/feed", FEED, "application/rss+xml")
        page = (
            b"<html><title>Valley paper</title><script>x</script><p>A loud noise woke the valley.</p></html>"
        )
        made.put("/page", page)
        made.put("/picture", b"\x89PNG", "image/png")
        yield made


@pytest_asyncio.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    made = Sandbox(memory_bytes=256 << 20, time_s=PATIENCE_S, folder=tmp_path, readers=READERS)
    yield made
    await made.aclose()


async def fetch(case: SmallCase, setting: str, sandbox: Sandbox, folder: Path) -> Fetched:
    sources = sources_in(setting)
    return await fetch_articles(
        FetchArticles(case.id, QUERY, QUESTION),
        WatchedJob(),
        sources=sources,
        fetching=partial(Fetcher, sources, agent="Casewire", cache=Kept(), timeout_s=PATIENCE_S),
        reader=sandbox,
        articles=case.articles,
        folder=folder,
    )


async def found(case: SmallCase, question: str = QUESTION) -> list[dict[str, Any]]:
    embedded = await embed_articles(
        EmbedArticles(case.id, QUERY, question),
        WatchedJob(),
        articles=case.articles,
        words=case.words,
        encoder=case.encoder,
        leases=device_leases("cpu"),
    )
    return [one.model_dump() for one in embedded.found]


async def test_what_a_source_says_is_kept_by_entry_and_what_cannot_be_read_is_named(
    quarry: SmallCase, news: Site, sandbox: Sandbox, tmp_path: Path
) -> None:
    setting = " ".join(f"http://{news.host}/{path}" for path in ("feed", "page", "picture", "gone"))
    told = await fetch(quarry, setting, sandbox, tmp_path)
    assert [(one.ok, one.articles) for one in told.sources] == [(True, 2), (True, 1), (False, 0), (False, 0)]
    assert ["image/png" in told.sources[2].reason, "404" in told.sources[3].reason] == [True, True]
    passages = list((await quarry.articles.passages(QUERY)).values())
    assert told.passages == len(passages) == 3
    assert [(one.title, one.meta["url"]) for one in passages] == [
        ("Blast at the quarry", "https://news.example.org/blast"),
        ("Fish on Friday", f"http://{news.host}/feed"),
        ("Valley paper", f"http://{news.host}/page"),
    ]
    assert "heard in the whole valley" in passages[0].text
    assert all(one.evidence == 0 for one in passages)
    assert list(tmp_path.glob("article-*")) == []


async def test_an_article_that_bears_on_the_question_is_ranked_shown_and_cited_as_an_article(
    quarry: SmallCase, news: Site, sandbox: Sandbox, tmp_path: Path
) -> None:
    await fetch(quarry, f"http://{news.host}/feed", sandbox, tmp_path)
    legs = await quarry.legs(QUESTION)
    ranked = await rank_hits(
        RankHits(quarry.id, QUERY, QUESTION, legs, await found(quarry)),
        WatchedJob(),
        graph=quarry.graph,
        votes=quarry.votes,
        graphs=quarry.graphs,
        articles=quarry.articles,
        attention=quarry.attention,
        load=quarry.load,
    )
    hits = [hit for hit in ranked.hits if hit.source == "article"]
    assert (hits[0].title, hits[0].evidence, hits[0].url) == (
        "Blast at the quarry",
        0,
        "https://news.example.org/blast",
    )
    assert {place.node for place in ranked.articles}.isdisjoint(place.node for place in ranked.order)
    assert ranked.articles[0].score > ranked.articles[-1].score
    composed = await compose_answer(
        ComposeAnswer(quarry.id, QUERY, QUESTION, [hits[0].node], "", 1),
        WatchedJob(),
        graph=quarry.graph,
        words=quarry.words,
        encoder=quarry.encoder,
        models=models(),
        read_topic=nobody,
        summaries=quarry.summaries,
        articles=quarry.articles,
    )
    [citation] = composed.answer.claims[0].citations
    assert (citation.source, citation.evidence, citation.fetched_at > 0) == ("article", 0, True)
    assert "https://news.example.org/blast, fetched 20" in composed.answer.claims[0].text


async def test_without_articles_the_evidence_is_ordered_as_ever(quarry: SmallCase) -> None:
    legs = await quarry.legs(QUESTION)
    ranked = await rank_hits(
        RankHits(quarry.id, QUERY, QUESTION, legs),
        WatchedJob(),
        graph=quarry.graph,
        votes=quarry.votes,
        graphs=quarry.graphs,
        articles=quarry.articles,
        attention=quarry.attention,
        load=quarry.load,
    )
    assert ranked.articles == []
    assert all(hit.source == "evidence" and hit.evidence for hit in ranked.hits)


async def test_a_prompt_tells_an_article_from_evidence(
    quarry: SmallCase, news: Site, sandbox: Sandbox, tmp_path: Path
) -> None:
    await fetch(quarry, f"http://{news.host}/page", sandbox, tmp_path)
    [passage] = (await quarry.articles.passages(QUERY)).values()
    shown = fenced(1, passage)
    assert f"Article, no evidence of the case: Valley paper; http://{news.host}/page; fetched 20" in shown


async def test_nothing_is_kept_for_a_case_that_is_gone(
    quarry: SmallCase, news: Site, sandbox: Sandbox, tmp_path: Path
) -> None:
    sources = sources_in(f"http://{news.host}/page")
    told = await fetch_articles(
        FetchArticles("gone", QUERY, QUESTION),
        WatchedJob(),
        sources=sources,
        fetching=partial(Fetcher, sources, agent="Casewire", cache=Kept()),
        reader=sandbox,
        articles=quarry.articles,
        folder=tmp_path,
    )
    assert (told.passages, await quarry.articles.passages(QUERY)) == (0, {})


async def test_without_a_source_the_setting_is_named(
    quarry: SmallCase, sandbox: Sandbox, tmp_path: Path
) -> None:
    with pytest.raises(Permanent, match="CASEWIRE_SOURCES"):
        await fetch(quarry, "", sandbox, tmp_path)


DIARY = {
    "diary": [f"Skarvik quarry, day {i}: the lorries of Skarvik came {i} times." for i in range(1, 8)]
    + [
        "The ferry of Skarvik was late, and so was the post.",
        "A cheque for the ferry lay in the post, said the harbour master.",
        "The harbour was closed for the storm. Nobody was paid that day.",
        "The master of the ferry was paid by cheque.",
    ]
}


async def test_an_article_of_the_same_words_as_evidence_is_scored_as_the_legs_score_that_evidence(
    rows: AsyncEngine, redis_client: Redis, encoder: Embedder
) -> None:
    case = await small_case(rows, redis_client, encoder, documents=DIARY, entities={})
    question = "Who in Skarvik paid the master of the ferry by cheque?"
    read = [
        NewArticle("feed", "http://news.example.org/1", "News", 0.0, "", passage, [(0, len(passage))])
        for passage in DIARY["diary"]
    ]
    assert await case.articles.replace(case.id, QUERY, read) == len(read)
    of_article = {passage.text: node for node, passage in (await case.articles.passages(QUERY)).items()}
    scored = {one["node"]: one for one in await found(case, question)}
    legs = await case.legs(question)
    # The name is everywhere in the case, so the search by meaning looks past it.
    size, frequencies = await case.words.frequencies(case.id, terms(question))
    assert focused(question, frequencies, size) != question
    for leg in ("meaning", "words"):
        of_evidence = {one["node"]: one["score"] for one in legs[leg]}
        assert len(of_evidence) >= 5
        for i, passage in enumerate(DIARY["diary"]):
            expected = of_evidence.get(case.chunk("diary", i), 0.0)
            # Vectors of evidence are stored in half precision.
            assert scored[of_article[passage]][leg] == pytest.approx(expected, abs=5e-4), leg


def test_an_article_is_measured_by_what_the_legs_found_in_the_evidence() -> None:
    legs = {"meaning": [(1, 0.8), (2, 0.4)], "words": [(1, 10.0), (2, 5.0)]}
    articles = [
        {"node": 7, "meaning": 0.8, "words": 10.0},
        {"node": 8, "meaning": 0.6, "words": 5.0},
        {"node": 9, "meaning": 0.3, "words": 0.0},
    ]
    found = order_articles(articles, legs)
    assert [place.node for place in found] == [7, 8]
    assert found[0].score == 1.0
    assert found[1].score < 0.2
