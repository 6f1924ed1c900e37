"""Entries, folded, are the machine; changes lead forwards and back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machines.history import ABSENT, BEGINNING, Change, apply, changes, fold, revert
from machines.step import CHARTS
from tests.machines.entries import entry_of, lives
from tests.machines.walk import extracted_upload, verified_upload

scalars = st.one_of(st.none(), st.integers(0, 3), st.sampled_from(["", "a"]), st.lists(st.integers(0, 2)))
contexts = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(scalars, lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)),
    max_size=3,
)


@pytest.mark.parametrize("kind", sorted(CHARTS))
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_folding_all_entries_gives_every_snapshot(kind: str, data: st.DataObject) -> None:
    steps = data.draw(lives(kind))
    folded = fold(entry_of(step) for step in steps)
    assert folded[0][0] == BEGINNING
    for step, (_, now) in zip(steps, folded, strict=True):
        snapshot = step.snapshot
        assert (now.revision, list(now.configuration)) == (snapshot.revision, snapshot.configuration)
        assert (now.context, now.terminated) == (snapshot.context, snapshot.terminated)


@given(old=contexts, new=contexts)
def test_changes_lead_forwards_and_back_and_leave_what_they_are_given(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    kept = copy.deepcopy((old, new))
    steps = changes(old, new)
    assert apply(old, steps) == new
    assert revert(new, steps) == old
    assert (old, new) == kept
    assert bool(steps) == (old != new)


def test_a_change_names_the_innermost_value_that_differs() -> None:
    old = {"work": {"linking": {"status": "queued", "since": 1.0}}, "reason": "x"}
    new = {"work": {"linking": {"status": "running", "since": 1.0}}, "pages": 2}
    assert changes(old, new) == [
        Change(("pages",), ABSENT, 2),
        Change(("reason",), "x", ABSENT),
        Change(("work", "linking", "status"), "queued", "running"),
    ]


def test_a_revision_reached_twice_starts_from_the_one_before_it() -> None:
    one, two, lost = (
        {"revision": r, "from": [], "to": ["s"], "context": c, "removed": [], "terminated": False, "at": a}
        for r, c, a in ((1, {"a": 1}, 1.0), (2, {"b": 1}, 2.0), (3, {"lost": 1}, 3.0))
    )
    again = two | {"context": {"c": 1}, "at": 9.0}
    before, now = fold([one, two, lost, again])[-1]
    assert before.context == {"a": 1}
    assert now.context == {"a": 1, "c": 1}


def test_a_key_that_a_migration_took_away_is_gone() -> None:
    one = {"revision": 1, "from": [], "to": ["s"], "context": {"a": 1, "b": 2}, "removed": [], "at": 1.0}
    two = one | {"revision": 2, "context": {"c": 3}, "removed": ["a"]}
    assert fold(entry | {"terminated": False} for entry in (one, two))[-1][1].context == {"b": 2, "c": 3}


def test_states_remember_since_when_they_are_active() -> None:
    first, last = verified_upload().last, extracted_upload().last
    before, now = fold([entry_of(first), entry_of(last) | {"revision": first.snapshot.revision + 1}])[-1]
    assert before.entered == {"extracting": first.snapshot.updated_at}
    assert set(now.entered) == set(last.snapshot.configuration)
    assert set(now.entered.values()) == {last.snapshot.updated_at}
