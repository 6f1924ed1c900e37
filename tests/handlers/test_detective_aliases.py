"""Names of one word that somebody entered, in the evidence of other cases."""

from __future__ import annotations

from dataclasses import replace

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.detective_aliases import aliases_of_people
from handlers.detective_web import Web, weave
from storage.detective import CaseFacts, Named, Person
from tests.handlers.detective_cases import Search, two_cases
from tests.handlers.test_detective_web import case

HERE = case("a", [(1, "Ellen Wharton", ("Wharton",))], [(501, "poi", "Ellen Wharton")], [(0, 501)], 1)


def there(*others: tuple[int, str, str], bare: str = "wharton") -> CaseFacts:
    """A case whose evidence has the name alone, among others."""
    facts = case("b", [], list(others), [(0, 121), *((0, node) for node, _, _ in others)], 1)
    word = Named(121, "person", bare, bare.title(), False, 0, bare=True)
    return replace(facts, named=[word, *facts.named])


def meant(web: Web) -> bool:
    return 121 in web.member_at and web.identity_of[web.member_at[121]] == web.identity_of[web.member_at[1]]


def test_a_name_of_one_word_that_was_entered_is_the_persons_in_another_case() -> None:
    web = weave([HERE, there()])
    assert meant(web)
    assert web.why_same(web.member_at[1], web.member_at[121]) == "alias"
    assert meant(weave([HERE, there((122, "person", "Ellen Wharton"))]))


@pytest.mark.parametrize(
    "other",
    [
        (122, "person", "Piet Wharton"),
        (122, "person", "Wharton Smith"),
        (122, "organisation", "Wharton Steel Inc"),
    ],
)
def test_it_is_not_where_somebody_else_may_be_meant(other: tuple[int, str, str]) -> None:
    web = weave([HERE, there(other)])
    assert 121 not in web.member_at


def test_two_who_are_called_so_are_not_made_one() -> None:
    second = case("c", [(201, "Piet Wharton", ("Wharton",))], [(701, "poi", "Piet Wharton")], [(0, 701)], 1)
    web = weave([HERE, second, there()])
    assert web.identity_of[web.member_at[1]] != web.identity_of[web.member_at[201]]
    assert 121 not in web.member_at


@pytest.mark.parametrize(
    ("name", "alias", "read"),
    [
        ("Ellen Wharton", "Wharton", True),
        ("Ellen Wharton", "Nellie", True),
        ("Ellen Wharton", "EW", False),
        ("Ellen Wharton", "Price", False),
        ("Ellen Wharton", "Thomas", False),
        ("Ellen Wharton", "Company", False),
        ("Ellen Wharton", "ewh@acme.example", False),
        ("Ellen Wharton", "Nellie Wharton", False),
        ("Wharton", "Nellie", False),
    ],
)
def test_what_anybody_may_be_called_is_looked_for_nowhere_else(name: str, alias: str, read: bool) -> None:
    assert bool(aliases_of_people([Person(1, name, (alias,))])) is read


@pytest_asyncio.fixture(loop_scope="session")
async def search(rows: AsyncEngine, redis_client: Redis) -> Search:
    return await two_cases(rows, redis_client)


@pytest.mark.asyncio(loop_scope="session")
async def test_the_finding_tells_the_place_and_by_what_it_was_joined(search: Search) -> None:
    await search.do(
        "UPDATE entities SET kind = 'name', key = 'quilling'"
        " WHERE name = 'Martha Quilling' AND kind = 'person'"
    )
    assert not [one for one in await search.run() if one.kind == "named"]
    await search.do("""UPDATE pois SET aliases = '["Quilling"]' WHERE name = 'Martha Quilling'""")
    (one,) = [one for one in await search.run() if one.kind == "named"]
    assert one.sentence.endswith(
        "is named in “visitors” (case “quarry”). Joined by the other name that was entered."
    )
    assert one.confidence == 0.5
