"""Whom Detective mode takes for one person, and whom a verdict keeps apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.detective_keys import Key
from handlers.detective_members import Member, joined
from handlers.detective_web import Web, weave
from tests.handlers.test_detective_web import case

BOB = case(
    "a",
    [(1, "Robert Wharton", ())],
    [(501, "poi", "Robert Wharton"), (21, "person", "Bob Wharton")],
    [(0, 501), (1, 21)],
    2,
)


def together(web: Web) -> list[set[int]]:
    return [{web.members[m].node for m in group} for group in web.identities]


def test_a_verdict_that_two_are_different_splits_a_person_of_interest_from_a_name() -> None:
    assert together(weave([BOB])) == [{1, 501, 21}]
    assert together(weave([replace(BOB, apart=[(21, 1)])])) == [{1, 501}, {21}]


def test_a_verdict_about_two_names_splits_those_two_alone() -> None:
    facts = case(
        "a",
        [],
        [
            (21, "person", "Ellen Wharton"),
            (22, "person", "Wharton"),
            (23, "email", "ellen.wharton@a.io"),
        ],
        [(0, 21), (0, 22), (0, 23)],
        1,
    )
    assert together(weave([facts])) == [{21, 22, 23}]
    assert together(weave([replace(facts, apart=[(21, 22)])]))[0] == {21, 23}
    assert together(weave([replace(facts, apart=[(21, 23)])])) == [{21, 22}, {23}]


def test_whom_a_verdict_splits_no_third_name_of_another_case_joins() -> None:
    there = case("b", [], [(121, "person", "Bob Wharton")], [(0, 121)], 1)
    (both,) = together(weave([BOB, there]))
    assert both == {1, 501, 21, 121}
    groups = together(weave([replace(BOB, apart=[(21, 1)]), there]))
    assert groups == [{1, 501}, {21, 121}], "its own name is the surer tie"


KEYS = [Key("email", "a@x"), Key("name", "ann orr"), Key("surname", "ann orr"), Key("phone", "+4712")]


@st.composite
def cast(draw: st.DrawFn) -> tuple[list[Member], list[tuple[int, int]], list[tuple[int, int]]]:
    """Members with keys that overlap, and verdicts about some pairs of them."""
    count = draw(st.integers(2, 7))
    keys = [draw(st.frozensets(st.sampled_from(KEYS), max_size=2)) for _ in range(count)]
    members = [Member("entity", 10 + i, "person", f"n{i}", 0, own) for i, own in enumerate(keys)]
    pairs = st.sampled_from(list(combinations(range(10, 10 + count), 2)))
    return members, draw(st.lists(pairs, max_size=3)), draw(st.lists(pairs, max_size=3))


def nodes_of(members: list[Member], identities: Iterable[list[int]]) -> list[set[int]]:
    return [{members[m].node for m in group} for group in identities]


@settings(deadline=None)
@given(cast())
def test_verdicts_of_difference_hold_and_split_nothing_that_they_need_not(
    told: tuple[list[Member], list[tuple[int, int]], list[tuple[int, int]]],
) -> None:
    members, same, apart = told
    whole = nodes_of(members, joined(members, same)[1])
    identity_of, identities = joined(members, same, apart)
    groups = nodes_of(members, identities)
    assert sorted(node for group in groups for node in group) == sorted(m.node for m in members)
    assert all(identity_of[m] == i for i, group in enumerate(identities) for m in group)
    assert not any({a, b} <= group for a, b in apart for group in groups)
    for old in whole:
        parts = [group for group in groups if group <= old]
        assert set().union(*parts) == old, "nobody is joined who was apart"
        if not any({a, b} <= old for a, b in apart):
            assert parts == [old]
