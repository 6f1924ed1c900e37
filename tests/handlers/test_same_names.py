"""Names that may be the same: what speaks for it, and what verdicts do to that."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.nicknames import one_person
from handlers.same_learning import fitted, prior
from handlers.same_names import KINDS, compare
from handlers.same_suggested import Suggestion, candidates, suggested
from storage.name_facts import Called, Known, NameFacts
from storage.same_as import Joined, Pair, Verdict, VerdictRow


def kinds(name: str, other: str, kind: str = "person") -> set[str]:
    return {reason.kind for reason in compare(name, other, kind)}


@pytest.mark.parametrize(
    ("name", "other", "kind", "expected"),
    [
        ("Bob Tallow", "Robert Tallow", "person", "nickname"),
        ("R. Tallow", "Robert Tallow", "person", "initial"),
        ("RJ Tallow", "Robert J. Tallow", "person", "initial"),
        ("Tallow Robert", "Robert Tallow", "person", "reversed"),
        ("Robert Tallow", "Robert Talow", "person", "similar"),
        ("Tallow", "Robert Tallow", "person", "part"),
        ("Acme Widgets, Inc.", "Acme Widgets LLC", "organisation", "alias"),
        ("AWF", "Acme Widget Factory", "organisation", "initial"),
        ("Acme", "Acme Widgets", "organisation", "part"),
    ],
)
def test_each_sort_of_likeness_is_a_reason(name: str, other: str, kind: str, expected: str) -> None:
    assert expected in kinds(name, other, kind)
    assert kinds(name, other, kind) == kinds(other, name, kind), "whichever is named first"


def test_two_people_of_one_surname_have_nothing_in_common() -> None:
    assert kinds("Robert Tallow", "Martha Tallow") == set()
    assert not one_person("Bill", "Bob")


def facts(
    names: dict[int, tuple[str, str]],
    pois: dict[int, list[str]] | None = None,
    passages: list[list[int]] | None = None,
    beside: list[tuple[int, int, int]] | None = None,
) -> NameFacts:
    return NameFacts(
        [Known(id_, kind, name, None) for id_, (kind, name) in names.items()],
        [Called(id_, called) for id_, called in (pois or {}).items()],
        [(1000 + i, entity) for i, named in enumerate(passages or []) for entity in named],
        beside or [],
    )


def told(found: list[Suggestion], pair: Pair) -> Suggestion:
    return next(one for one in found if one.pair == pair)


def test_the_short_form_of_a_person_of_interest_is_suggested_as_that_person() -> None:
    found = suggested(
        candidates(facts({1: ("person", "Bob Tallow"), 2: ("person", "Ada Quill")}, {9: ["Robert Tallow"]})),
        [],
    )
    assert [one.pair for one in found] == [Pair(1, poi=9)]
    assert "given name" in found[0].reasons[0].words
    assert found[0].score > 0.7


def test_names_before_one_mail_address_are_suggested_and_the_address_with_them() -> None:
    names = {1: ("person", "Ada Quill"), 2: ("person", "Ada Fenn"), 3: ("email", "aq@acme.example")}
    found = suggested(candidates(facts(names, beside=[(1, 3, 4), (2, 3, 1)])), [])
    assert {one.pair for one in found} == {Pair(1, 2), Pair(1, 3), Pair(2, 3)}
    assert "aq@acme.example" in told(found, Pair(1, 2)).reasons[0].words


def test_an_address_made_of_the_name_is_suggested() -> None:
    names = {1: ("person", "Ada Quill"), 3: ("email", "aquill@acme.example"), 4: ("email", "bq@acme.example")}
    assert [one.pair for one in suggested(candidates(facts(names)), [])] == [Pair(1, 3)]


def test_the_same_company_raises_a_pair_and_rivals_lower_it() -> None:
    names = {
        1: ("person", "R. Tallow"), 2: ("person", "Robert Tallow"), 3: ("person", "Roger Tallow"),
        4: ("person", "Ada Quill"), 5: ("person", "Ben Fenn"), 6: ("person", "Cy Marsh"),
    }  # fmt: skip
    passages = [[1, 4, 5], [2, 4, 5], [3, 6], [4, 6]]
    found = suggested(candidates(facts(names, passages=passages)), [])
    assert told(found, Pair(1, 2)).score > told(found, Pair(1, 3)).score
    alone = suggested(candidates(facts({k: v for k, v in names.items() if k != 3}, passages=passages)), [])
    assert told(alone, Pair(1, 2)).score > told(found, Pair(1, 2)).score


def verdict(id_: int, pair: Pair, said: Verdict, strengths: list[float]) -> VerdictRow:
    return VerdictRow(id_, pair, said, strengths, "ann", datetime(2024, 1, 1, tzinfo=UTC))


def two_sorts() -> dict[int, tuple[str, str]]:
    """Pairs by nickname (ids below 100) and by initial (from 100 on), of many surnames."""
    names: dict[int, tuple[str, str]] = {}
    for i, last in enumerate(["Tallow", "Quibble", "Fennimore", "Marshwood", "Underhay"]):
        names[10 * i + 1], names[10 * i + 2] = ("person", f"Bob {last}"), ("person", f"Robert {last}")
        other = last[::-1].title()
        names[100 + 10 * i + 1] = ("person", f"W. {other}")
        names[100 + 10 * i + 2] = ("person", f"Walter {other}")
    return names


def test_a_sort_of_reason_that_is_rejected_falls_below_one_that_is_not() -> None:
    found = candidates(facts(two_sorts()))
    before = suggested(found, [])
    assert [one.pair.entity < 100 for one in before] == [True] * 5 + [False] * 5, (
        "nicknames say more at first"
    )
    rejected = [
        verdict(i, one.pair, "different", one.strengths)
        for i, one in enumerate(one for one in found if one.pair.entity < 30)
    ]
    assert len(rejected) == 3
    after = suggested(found, rejected)
    assert [one.pair.entity < 100 for one in after] == [False] * 5 + [True] * 2
    assert suggested(found, []) == before, "without the verdicts all is as it was"


def test_what_was_judged_does_not_return_nor_what_follows_from_it() -> None:
    names = {1: ("person", "Bob Tallow"), 2: ("person", "Robert Tallow"), 3: ("person", "Rob Tallow")}
    found = candidates(facts(names))
    assert {one.pair for one in suggested(found, [])} == {Pair(1, 2), Pair(1, 3), Pair(2, 3)}
    different = verdict(1, Pair(1, 2), "different", [])
    assert {one.pair for one in suggested(found, [different])} == {Pair(1, 3), Pair(2, 3)}
    same = [verdict(1, Pair(1, 2), "same", []), verdict(2, Pair(2, 3), "same", [])]
    assert suggested(found, same) == [], "1 is 2 and 2 is 3"


rows = st.lists(
    st.tuples(st.lists(st.floats(0, 1), min_size=len(KINDS), max_size=len(KINDS)), st.booleans()), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_verdicts_does_not_matter(
    judged: list[tuple[list[float], bool]], chance: random.Random
) -> None:
    one = fitted([row for row, _ in judged], [same for _, same in judged])
    chance.shuffle(judged)
    two = fitted([row for row, _ in judged], [same for _, same in judged])
    np.testing.assert_allclose(one, two, atol=1e-7)
    assert np.abs(one - prior()).max() < 8


@given(st.integers(1, 10))
def test_every_rejection_lowers_the_weight_of_its_reason(times: int) -> None:
    row = [1.0 if kind == "nickname" else 0.0 for kind in KINDS]
    at = 1 + KINDS.index("nickname")
    weights = [fitted([row] * n, [False] * n)[at] for n in range(times + 1)]
    assert all(later < earlier for earlier, later in pairwise(weights))


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=12))
def test_joined_names_are_one_group_whatever_way_they_were_joined(pairs: list[tuple[int, int]]) -> None:
    joined = Joined(pairs)
    for a, b in pairs:
        assert joined.of(a) == joined.of(b)
        assert joined.group(a) == joined.group(b)
        assert joined.of(a) == min(joined.group(a))
    reached = {1}
    for _ in pairs:
        reached |= {x for a, b in pairs for x in (a, b) if {a, b} & reached}
    assert set(joined.group(1)) == reached
