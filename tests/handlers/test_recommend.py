"""What is recommended fits what somebody liked, is new to them, and goes with what it rests on."""

from __future__ import annotations

import itertools

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.recommend import (
    SHOWN,
    Recommended,
    prepare_recommendations,
    recommend,
    recommended,
    withdraw,
)
from storage.evidence import EvidenceStore
from storage.near_copies import Likeness, NearCopies
from storage.prepared import Prepared
from storage.query_graphs import QueryGraphs
from storage.recommending import Alike, Facts, Piece, Recommending, Taste
from storage.votes import Votes
from tests.case_rows import new_case, store
from tests.handlers.small_case import SHARDS, SmallCase, add_user

_numbers = itertools.count(1)


def pieces(**tags: str) -> list[Piece]:
    """Evidence 1, 2, … called by name, with tags separated by blanks."""
    return [
        Piece(i, name, "text/plain", tuple(each.split())) for i, (name, each) in enumerate(tags.items(), 1)
    ]


def taste(
    votes: dict[int, int] | None = None, read: tuple[int, ...] = (), known: tuple[int, ...] = ()
) -> Taste:
    votes = votes or {}
    return Taste(votes, frozenset(read), frozenset((*votes, *read, *known)))


def shown(rows: list[Recommended]) -> list[tuple[int, str]]:
    return [(row.evidence, row.reason) for row in rows]


ALIKE = [Alike(1, 2, 0.9, False), Alike(2, 1, 0.9, False), Alike(1, 3, 0.4, False)]


def test_what_is_like_something_voted_up_comes_first_and_says_so() -> None:
    facts = Facts(pieces(ledger="", slip="", canteen=""), {"ann": taste({1: 1})}, ALIKE)
    assert shown(recommend("ann", facts)) == [
        (2, "like “ledger”, which you voted up"), (3, "like “ledger”, which you voted up"),
    ]  # fmt: skip


def test_what_is_only_read_says_less_than_a_vote() -> None:
    tastes = {"ann": taste({1: 1}), "bo": taste(read=(1,))}
    facts = Facts(pieces(ledger="", slip=""), tastes, ALIKE[:2])
    by_vote, by_reading = recommend("ann", facts), recommend("bo", facts)
    assert by_reading[0].reason == "like “ledger”, which you read"
    assert 0 < by_reading[0].score < by_vote[0].score


def test_what_was_opened_or_put_aside_is_never_recommended() -> None:
    facts = Facts(pieces(a="", b="", c=""), {"ann": taste({1: 1}, known=(2, 3))}, ALIKE)
    assert recommend("ann", facts) == []


def test_what_is_like_something_voted_down_is_not_recommended() -> None:
    facts = Facts(pieces(a="", b="", c=""), {"ann": taste({1: -1})}, ALIKE)
    assert recommend("ann", facts) == []


def test_rare_tags_in_common_are_a_reason_and_common_ones_are_not() -> None:
    tags = dict.fromkeys((f"d{i}" for i in range(8)), "email")
    facts = Facts(pieces(first="email dynamite", second="email dynamite", **tags), {"ann": taste({1: 1})}, [])
    assert shown(recommend("ann", facts)) == [(2, "about dynamite, like “first”, which you voted up")]


def test_a_near_copy_is_called_one() -> None:
    facts = Facts(pieces(a="", b=""), {"ann": taste({1: 1})}, [Alike(1, 2, 0.97, True)])
    assert shown(recommend("ann", facts)) == [(2, "nearly the same as “a”, which you voted up")]


def test_what_those_like_who_vote_alike_is_recommended_and_counted() -> None:
    tastes = {
        "ann": taste({1: 1, 2: 1}), "bo": taste({1: 1, 2: 1, 4: 1}), "cy": taste({1: 1, 4: 1}),
        "dee": taste({1: -1, 2: -1, 3: 1}),
    }  # fmt: skip
    facts = Facts(pieces(a="", b="", c="", d=""), tastes, [])
    assert shown(recommend("ann", facts)) == [(4, "2 colleagues who voted as you did liked it")]
    assert recommend("dee", facts) == []


def test_more_judgements_in_common_weigh_more() -> None:
    def by(common: int) -> float:
        mine = dict.fromkeys(range(1, common + 1), 1)
        facts = Facts(
            [Piece(i, str(i), "", ()) for i in range(1, 12)],
            {"ann": taste(mine), "bo": taste(mine | {11: 1})},
            [],
        )
        return recommend("ann", facts)[0].score

    assert by(1) < by(3) < by(8)


def test_nobody_is_recommended_anything_who_has_liked_nothing() -> None:
    facts = Facts(pieces(a="", b=""), {"ann": taste(), "bo": taste({1: 1})}, ALIKE)
    assert recommend("ann", facts) == []


def test_the_list_is_short_and_its_order_is_settled() -> None:
    many = [Alike(1, i, 0.5, False) for i in range(2, 40)]
    facts = Facts([Piece(i, str(i), "", ()) for i in range(1, 40)], {"ann": taste({1: 1})}, many)
    assert [row.evidence for row in recommend("ann", facts)] == list(range(2, 2 + SHOWN))


# --- with stores ------------------------------------------------------------------------------------------


async def vote(rows: AsyncEngine, user: str, node: int, value: int = 1) -> None:
    await Votes(rows).record("case1", user, node, value, query="q", effect=f"e{next(_numbers)}", at=1.0)


async def join(rows: AsyncEngine, *users: str) -> None:
    async with rows.begin() as connection:
        for user in users:
            await connection.execute(
                text("INSERT INTO members VALUES ('case1', :user, 'viewer')"), {"user": user}
            )


async def near(rows: AsyncEngine, a: int, b: int) -> None:
    copies = NearCopies(rows)
    for one in (a, b):
        await copies.put_text("case1", one, 20, bytes(8), [1])
    assert await copies.link_texts("case1", a, bytes(8), [Likeness(b, 0.9, 1.0, True, bytes(8))]) == 1


async def of(prepared: Prepared, user: str) -> list[int]:
    return [row.evidence for row in await recommended("case1", user, prepared=prepared)]


@pytest.fixture
def prepared(redis_client: Redis) -> Prepared:
    return Prepared(redis_client, shards=SHARDS)


async def three(rows: AsyncEngine) -> list[int]:
    await new_case(rows)
    for user in ("ann", "bo", "out"):
        await add_user(rows, user)
    await join(rows, "ann", "bo")
    ids = [await store(rows, "case1", f"d{i}", f"Passage {i} of the quarry.") for i in range(3)]
    await near(rows, ids[0], ids[1])
    await near(rows, ids[1], ids[2])
    return ids


async def test_votes_reading_and_opening_are_read_from_the_tables(
    rows: AsyncEngine, prepared: Prepared
) -> None:
    first, second, third = await three(rows)
    chunk = (await EvidenceStore(rows).chunks(first))[0].id
    await vote(rows, "ann", chunk)
    await vote(rows, "out", chunk)
    assert await prepare_recommendations("case1", facts=Recommending(rows), prepared=prepared)
    assert await of(prepared, "ann") == [second]
    assert await of(prepared, "bo") == []
    assert await of(prepared, "out") == []  # votes remain, but nobody recommends to who has left
    note = {"query": "", "effect": "x"}
    await Votes(rows).note("case1", "ann", "read", second, **note)  # type: ignore[arg-type]
    assert await prepare_recommendations("case1", facts=Recommending(rows), prepared=prepared)
    assert await of(prepared, "ann") == [third]


async def test_what_is_put_aside_never_returns(rows: AsyncEngine, prepared: Prepared) -> None:
    first, second, _ = await three(rows)
    await vote(rows, "ann", first)
    await prepare_recommendations("case1", facts=Recommending(rows), prepared=prepared)
    await Votes(rows).note("case1", "ann", "dismissed", second, query="", effect="d1", value=-1.0)
    await withdraw("case1", "ann", second, prepared=prepared)
    assert await of(prepared, "ann") == []
    await prepare_recommendations("case1", facts=Recommending(rows), prepared=prepared)
    assert second not in await of(prepared, "ann")


async def test_hidden_evidence_is_neither_recommended_nor_a_reason(
    rows: AsyncEngine, prepared: Prepared
) -> None:
    first, second, _ = await three(rows)
    await vote(rows, "ann", first)
    for hidden in (first, second):
        assert await EvidenceStore(rows).hide(hidden, "upload-0-a", hidden=True)
        await prepare_recommendations("case1", facts=Recommending(rows), prepared=prepared)
        assert await of(prepared, "ann") == []
        assert await EvidenceStore(rows).hide(hidden, "upload-0-a", hidden=False)
    await prepare_recommendations("case1", facts=Recommending(rows), prepared=prepared)
    assert await of(prepared, "ann") == [second]


async def test_what_was_read_before_evidence_went_is_not_stored_after_it(
    quarry: SmallCase, redis_client: Redis, prepared: Prepared
) -> None:
    generation = await prepared.begin("case1")
    await QueryGraphs(redis_client, shards=SHARDS).forget("case1", [])
    assert not await prepared.put("case1", generation, {"recommended:ann": b"Fogswallow"})
    assert await prepared.get("case1", "recommended:ann") is None


async def test_what_was_computed_before_something_was_read_does_not_come_back(prepared: Prepared) -> None:
    generation = await prepared.begin("case1")
    await withdraw("case1", "ann", 7, prepared=prepared)
    assert not await prepared.put("case1", generation, {"recommended:ann": b"[]"})
    assert await prepared.put("case1", await prepared.begin("case1"), {"recommended:ann": b"[]"})


async def test_words_are_stamped_anew_whenever_something_is_dropped(
    redis_client: Redis, prepared: Prepared
) -> None:
    stamp = await prepared.words("case1")
    assert await prepared.words("case1") == stamp
    await prepared.tell_words_changed("case1")
    changed = await prepared.words("case1")
    await QueryGraphs(redis_client, shards=SHARDS).forget_case("case1", [])
    assert len({stamp, changed, await prepared.words("case1")}) == 3
