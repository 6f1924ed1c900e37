"""Votes move every open order of the case, come to the same order in any way, and can be undone."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.answer import compose_answer
from handlers.embedder import Embedder
from handlers.feedback import record_vote
from handlers.job import Handlers
from handlers.query_graph import order, solve
from handlers.rank import ORDERED, ordered, rank_hits
from handlers.search import search_links, search_meaning, search_words
from machines.effect import effect_from
from machines.errors import NotAllowed, StepError
from machines.query import ComposeAnswer, RankHits, RecordVote, SearchLinks, SearchMeaning, SearchWords
from machines.snapshot import Snapshot
from server.engine import Engine, MachineMissing
from storage.conversations import note_questions
from storage.machine_store import OutboxItem
from storage.machine_store_redis import RedisMachineStore
from storage.vectors_pgvector import PgVectors
from tests.handlers.agreeing import models
from tests.handlers.small_case import QUARRY, SHARDS, SmallCase, WatchedJob, add_user, small_case

QUESTION = "Who paid the one who approved the blast of bench nine?"
OTHER_QUESTION = "When was the blast approved?"
FAR_QUESTION = "When are unclaimed boots given away?"
DOCUMENTS = QUARRY | {
    "diary": [f"Day {i}: blast number {i} on bench {i}, gate locked, nobody hurt." for i in range(1, 40)]
}


@dataclass
class Running:
    """A case with a machine store, and the work that a worker and a dispatcher would do."""

    case: SmallCase
    engine: Engine
    sent: list[tuple[str, str]] = field(default_factory=list)
    handlers: Handlers = field(init=False)

    def __post_init__(self) -> None:
        case, store = self.case, self.engine.store
        self.handlers = {
            SearchMeaning: partial(
                search_meaning, vectors=PgVectors(case.database), words=case.words, encoder=case.encoder
            ),
            SearchWords: partial(search_words, words=case.words),
            SearchLinks: partial(search_links, graph=case.graph),
            RankHits: partial(
                rank_hits,
                graph=case.graph,
                votes=case.votes,
                graphs=case.graphs,
                articles=case.articles,
                attention=case.attention,
                load=self.engine.load,
            ),
            ComposeAnswer: partial(
                compose_answer,
                graph=case.graph,
                words=case.words,
                encoder=case.encoder,
                models=models(),
                read_topic=store.read_topic,
                summaries=case.summaries,
                articles=case.articles,
            ),
            RecordVote: partial(
                record_vote,
                votes=case.votes,
                graph=case.graph,
                graphs=case.graphs,
                attention=case.attention,
                load=self.engine.load,
                send=self.send,
                case_machine=self.case_machine,
            ),
        }

    async def send(self, machine: str, event: str, data: dict[str, Any], *, event_id: str) -> object:
        self.sent.append((machine, event))
        try:
            return await self.engine.send(machine, event, data, source="handler", event_id=event_id)
        except (StepError, MachineMissing):
            return None

    async def case_machine(self, case: str) -> str | None:
        return next((m.id for m in await self.engine.store.machines("case")), None)

    async def waiting(self) -> list[OutboxItem]:
        """What is asked for and not yet done."""
        claim = partial(self.engine.store.claim, "test", count=100, block_s=0.01, idle_s=1e6)
        return await claim() or await claim()  # the first claim of all only prepares

    async def do(self, item: OutboxItem) -> None:
        """Run one effect and send its result."""
        effect = effect_from(item.name, item.args)
        result = await self.handlers[type(effect)](
            effect, WatchedJob(id=item.effect_id, machine=item.machine)
        )
        if result is not None:
            data = result.model_dump(mode="json")
            await self.engine.send(item.machine, result.name, data, source="handler", event_id=item.effect_id)

    async def settle(self) -> None:
        """Do all that is asked for, until nothing is."""
        while items := await self.waiting():
            for item in items:
                await self.do(item)

    async def ask(self, question: str, *, settle: bool = True) -> str:
        spawned = await self.engine.spawn(
            "query",
            f"case:{self.case.id}",
            {"question": question},
            source="client",
            actor="u1",
            role="viewer",
        )
        if settle:
            await self.settle()
        return spawned.machine

    async def vote(self, query: str, node: int, value: int, user: str = "u1") -> None:
        await self.engine.send(
            query, "vote", {"node": node, "value": value}, source="client", actor=user, role="viewer"
        )

    async def snapshot(self, query: str) -> Snapshot:
        snapshot = await self.engine.load(query)
        assert snapshot is not None
        return snapshot

    async def order(self, query: str) -> list[tuple[int, float]]:
        found = (await self.snapshot(query)).context["order"]
        return [(place["node"], place["score"]) for place in found]

    async def cold(self, query: str, question: str) -> list[tuple[int, float]]:
        """The order of a query that a computation from nothing but the tables gives."""
        graph = await self.case.query_graph(question)
        tally = await self.case.votes.tally(self.case.id)
        solution = solve(graph, tally.sums, cast_here=tally.cast_in(query, question))
        return [(p.node, p.score) for p in ordered(order(graph, solution, ORDERED))]

    async def archive(self, query: str) -> None:
        """Note the question as the journalist does."""
        async with self.case.database.begin() as connection:
            await note_questions(connection, [await self.snapshot(query)])


@asynccontextmanager
async def running(rows: AsyncEngine, redis: Redis, encoder: Embedder) -> AsyncIterator[Running]:
    case = await small_case(rows, redis, encoder, documents=DOCUMENTS)
    for user in ("u1", "u2"):
        await add_user(rows, user)
    engine = Engine(RedisMachineStore(redis, shards=SHARDS, era="test"), shards=SHARDS)
    await engine.spawn("case", f"case:{case.id}", {"title": "Quarry"}, actor="u1")
    yield Running(case, engine)


@pytest_asyncio.fixture(loop_scope="session")
async def here(rows: AsyncEngine, redis_client: Redis, encoder: Embedder) -> AsyncIterator[Running]:
    async with running(rows, redis_client, encoder) as started:
        yield started


def nodes(places: list[tuple[int, float]]) -> list[int]:
    return [node for node, _ in places]


def same(one: list[tuple[int, float]], two: list[tuple[int, float]]) -> bool:
    close = all(abs(a - b) < 2e-9 for (_, a), (_, b) in zip(one, two, strict=True))
    return nodes(one) == nodes(two) and close


async def test_a_question_is_answered_with_citations(here: Running) -> None:
    snapshot = await here.snapshot(await here.ask(QUESTION))
    assert snapshot.configuration == ["answered"]
    assert snapshot.context["answer"]["claims"][0]["citations"]
    assert snapshot.context["hits"]


async def test_a_vote_up_raises_and_a_vote_down_lowers_and_both_are_seen(here: Running) -> None:
    query = await here.ask(QUESTION)
    before = await here.order(query)
    low = before[9][0]
    await here.vote(query, low, 1)
    await here.settle()
    raised = await here.order(query)
    assert nodes(raised).index(low) < 9
    assert (await here.snapshot(query)).context["votes"] == {str(low): 1}
    top = raised[0][0]
    await here.vote(query, top, -1)
    await here.settle()
    assert nodes(await here.order(query))[0] != top


async def test_after_any_votes_the_order_is_the_cold_one_and_undo_restores_the_first(here: Running) -> None:
    query = await here.ask(QUESTION)
    first = await here.order(query)
    chance = random.Random(5)
    for _ in range(12):
        await here.vote(
            query, chance.choice(nodes(first)[:20]), chance.choice((-1, 0, 1)), chance.choice(("u1", "u2"))
        )
        await here.settle()
        assert same(await here.order(query), await here.cold(query, QUESTION))
    mine = (await here.snapshot(query)).context["mine"]
    for user, cast in mine.items():
        for node in cast:
            await here.vote(query, int(node), 0, user)
    await here.settle()
    assert same(await here.order(query), first)
    assert (await here.snapshot(query)).context["votes"] == {}


async def test_every_open_query_of_the_case_moves_with_the_vote(here: Running) -> None:
    voted, other = await here.ask(QUESTION), await here.ask(OTHER_QUESTION)
    before = await here.order(other)
    await here.vote(voted, before[0][0], -1)
    await here.settle()
    lowered = await here.order(other)
    # Cast elsewhere it takes half of the score, and with it what the walk brings from there.
    top = before[0][0]
    assert dict(lowered)[top] < before[0][1] / 2 + 1e-9
    assert all(score <= dict(before).get(node, 1.0) + 2e-9 for node, score in lowered)
    assert dict(lowered)[before[1][0]] < before[1][1]
    assert same(await here.order(other), await here.cold(other, OTHER_QUESTION))
    one, two = await here.snapshot(voted), await here.snapshot(other)
    assert one.context["as_of"] == two.context["as_of"] > 0
    case = (await here.engine.store.machines("case"))[0]
    assert case.context["versions"] == {"standing": 1}


async def test_a_vote_up_raises_its_passage_in_related_questions_and_leaves_all_others_as_they_were(
    here: Running,
) -> None:
    voted, related, far = [await here.ask(q) for q in (QUESTION, OTHER_QUESTION, FAR_QUESTION)]
    before = [await here.order(query) for query in (voted, related, far)]
    top = here.case.chunk("blasting-record")
    assert [nodes(order)[0] == top for order in before] == [True, True, False]
    await here.vote(voted, top, 1)
    await here.settle()
    after = [await here.order(query) for query in (voted, related, far)]
    for old, new in zip(before[:2], after[:2], strict=True):
        assert new[0][1] > old[0][1] + 0.1
    assert same(after[2], before[2])
    assert (await here.snapshot(far)).context["votes"] == {str(top): 1}


async def test_a_vote_up_counts_wholly_where_it_was_cast_and_where_the_same_is_asked_again(
    here: Running,
) -> None:
    query, other = await here.ask(QUESTION), await here.ask(OTHER_QUESTION)
    first, elsewhere = await here.order(query), await here.order(other)
    low = first[9][0]
    assert low in nodes(elsewhere)
    await here.vote(query, low, 1)
    await here.settle()
    voted = await here.order(query)
    assert nodes(voted).index(low) < 3
    assert same(await here.order(other), elsewhere)
    await here.archive(query)
    again = await here.ask(QUESTION)
    assert same(await here.order(again), voted)
    # Cast again and taken back in either, it is back where it was in both.
    await here.vote(again, low, 1)
    await here.settle()
    assert same(await here.order(query), voted)
    await here.vote(query, low, 0)
    await here.settle()
    assert same(await here.order(query), first)
    assert same(await here.order(again), first)


async def test_the_order_survives_the_loss_of_the_cache(here: Running, redis_client: Redis) -> None:
    query = await here.ask(QUESTION)
    await redis_client.delete(*[key async for key in redis_client.scan_iter("*qgraph*")])
    await here.vote(query, (await here.order(query))[3][0], 1)
    await here.settle()
    assert same(await here.order(query), await here.cold(query, QUESTION))


async def test_a_hit_that_comes_into_view_is_sent_along(here: Running) -> None:
    query = await here.ask(QUESTION)
    hidden = next(node for node, _ in (await here.order(query))[20:])
    assert str(hidden) not in (await here.snapshot(query)).context["hits"]
    for user in ("u1", "u2"):
        await here.vote(query, hidden, 1, user)
    await here.settle()
    hit = (await here.snapshot(query)).context["hits"][str(hidden)]
    assert hit["snippet"]
    assert hit["path"]


async def test_an_effect_that_comes_twice_votes_once(here: Running) -> None:
    query = await here.ask(QUESTION)
    node = (await here.order(query))[5][0]
    await here.vote(query, node, 1)
    [item] = await here.waiting()
    await here.do(item)
    revision = (await here.snapshot(query)).revision
    await here.do(replace(item, delivery=2))
    assert (await here.case.votes.tally(here.case.id)).sums == {node: 1}
    assert (await here.snapshot(query)).revision == revision


async def test_votes_done_at_the_same_time_end_in_the_order_of_them_all(here: Running) -> None:
    query = await here.ask(QUESTION)
    for (node, _), user in itertools.product((await here.order(query))[4:8], ("u1", "u2")):
        await here.vote(query, node, 1, user)
    items = await here.waiting()
    assert len(items) == 8
    await asyncio.gather(*(here.do(item) for item in items))
    assert same(await here.order(query), await here.cold(query, QUESTION))


async def test_a_vote_during_the_ranking_is_in_the_first_order(here: Running) -> None:
    query = await here.ask(QUESTION, settle=False)
    for item in await here.waiting():
        await here.do(item)
    [ranking] = await here.waiting()
    assert ranking.name == "RankHits"
    node = here.case.chunk("diary", 3)
    await here.vote(query, node, 1)
    [vote] = await here.waiting()
    await here.do(vote)  # before anything is kept of the graph
    await here.do(ranking)
    await here.settle()
    assert (await here.snapshot(query)).context["votes"] == {str(node): 1}
    assert same(await here.order(query), await here.cold(query, QUESTION))


async def test_a_vote_on_a_foreign_node_is_refused_and_moves_nothing(here: Running) -> None:
    query = await here.ask(QUESTION)
    before = await here.order(query)
    here.sent.clear()
    with pytest.raises(NotAllowed):
        await here.vote(query, 10**9, 1)
    await here.settle()
    assert here.sent == []
    assert (await here.snapshot(query)).context["mine"] == {}
    assert await here.order(query) == before


async def test_a_vote_on_what_its_case_has_lost_meanwhile_moves_nothing(here: Running) -> None:
    query = await here.ask(QUESTION)
    node = (await here.order(query))[0][0]
    await here.vote(query, node, 1)
    [vote] = await here.waiting()
    lost = replace(vote, args=vote.args | {"node": 10**9})
    here.sent.clear()
    await here.do(lost)
    assert here.sent == []


async def test_a_cancelled_query_is_left_alone(here: Running) -> None:
    gone = await here.ask(OTHER_QUESTION, settle=False)
    query = await here.ask(QUESTION, settle=False)
    await here.engine.send(gone, "cancel", {}, source="client", actor="u1", role="viewer")
    revision = (await here.snapshot(gone)).revision
    while items := await here.waiting():
        for item in items:
            if item.machine != gone:
                await here.do(item)
    await here.vote(query, (await here.order(query))[1][0], 1)
    await here.settle()
    assert (await here.snapshot(gone)).revision == revision
    assert gone not in {machine for machine, _ in here.sent}


async def looked(here: Running, user: str, node: int, at: float, *, query: str = "") -> None:
    """`user` opened and read a passage, `at` seconds since 1970."""
    for what in ("view", "read"):
        effect = f"{user}:{what}:{node}:{at}"
        await here.case.votes.note(here.case.id, user, what, node, query=query, effect=effect)  # type: ignore[arg-type]
        async with here.case.database.begin() as connection:
            await connection.execute(
                text("UPDATE attention SET at = to_timestamp(:at) WHERE effect = :effect"),
                {"at": at, "effect": effect},
            )


async def test_what_its_asker_has_read_before_rises_and_moves_no_other_question(here: Running) -> None:
    plain = await here.order(await here.ask(QUESTION))
    low = plain[9][0]
    await looked(here, "u2", low, time.time() - 60)
    assert same(await here.order(await here.ask(QUESTION)), plain)
    await looked(here, "u1", low, time.time() - 60)
    raised = await here.order(await here.ask(QUESTION))
    assert nodes(raised).index(low) < 9
    await here.case.attention.turn("u1", on=False)
    assert same(await here.order(await here.ask(QUESTION)), plain)


async def test_a_vote_moves_nothing_but_by_itself_whatever_was_read_since(here: Running) -> None:
    before = [node for node, _ in await here.order(await here.ask(QUESTION))]
    await looked(here, "u1", before[9], time.time() - 60)
    query = await here.ask(QUESTION)
    first = await here.order(query)
    assert nodes(first) != before
    asked_at = (await here.snapshot(query)).context["asked_at"]
    await looked(here, "u1", before[12], asked_at + 60.0, query=query)
    for value in (1, 0):
        await here.vote(query, before[3], value)
        await here.settle()
    assert same(await here.order(query), first)


async def test_the_loss_of_the_cache_loses_no_attention(here: Running, redis_client: Redis) -> None:
    before = [node for node, _ in await here.order(await here.ask(QUESTION))]
    await looked(here, "u1", before[9], time.time() - 60)
    query = await here.ask(QUESTION)
    first = await here.order(query)
    await redis_client.delete(*[key async for key in redis_client.scan_iter("*qgraph*")])
    for value in (-1, 0):
        await here.vote(query, before[1], value)
        await here.settle()
    assert same(await here.order(query), first)
