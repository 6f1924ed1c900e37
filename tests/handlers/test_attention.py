"""Attention weighs less than a vote and fades; what was passed over counts where something was opened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.attention import CLAMP, HALF_LIFE_S, WEIGHTS, learnt, weights
from storage.attention import Note

NOW = 10_000_000.0


def note(
    what: str, node: int, *, query: str = "q", evidence: int = 0, at: float = NOW, value: float = 0.0
) -> Note:
    return Note(what, node, value, query, evidence, at)


def sorts(*notes: Note) -> dict[int, str]:
    return {one.node: one.what for one in learnt(notes, NOW)}


def test_reading_counts_more_than_opening_which_says_nothing() -> None:
    found = learnt([note("view", 1), note("view", 2), note("read", 2)], NOW)
    assert {(one.what, one.node, one.weight) for one in found} == {("opened", 1, 0.0), ("read", 2, 0.3)}
    assert weights(found) == {2: 0.3}


def test_reading_again_renews_and_does_not_add() -> None:
    found = learnt([note("read", 1, at=NOW - HALF_LIFE_S), note("read", 1)], NOW)
    assert weights(found) == {1: 0.3}


def test_what_was_learnt_halves_in_a_half_life() -> None:
    found = learnt([note("read", 1, at=NOW - HALF_LIFE_S), note("read", 2, at=NOW - 2 * HALF_LIFE_S)], NOW)
    assert weights(found) == pytest.approx({1: 0.15, 2: 0.075})


def test_first_hits_are_passed_over_when_only_one_below_them_was_opened() -> None:
    first = [note("shown", node) for node in (1, 2, 3)]
    assert sorts(*first) == {}
    assert sorts(*first, note("view", 2)) == {2: "opened"}
    assert sorts(*first, note("view", 7)) == {1: "ignored", 2: "ignored", 3: "ignored", 7: "opened"}
    assert sorts(*first, note("view", 7), note("view", 2)) == {
        1: "ignored",
        2: "opened",
        3: "ignored",
        7: "opened",
    }


def test_what_was_opened_by_way_of_another_question_passes_nothing_over() -> None:
    assert sorts(note("shown", 1), note("view", 7, query="r"), note("view", 8, query="")) == {
        7: "opened",
        8: "opened",
    }


def test_a_vote_and_another_passage_of_the_same_evidence_count_as_noticed() -> None:
    first = [note("shown", 1, evidence=100), note("shown", 2, evidence=200), note("shown", 3, evidence=300)]
    seen = [note("view", 7, evidence=100), note("vote", 2, evidence=200, value=-1.0)]
    assert sorts(*first, *seen) == {3: "ignored", 7: "opened"}


def test_verdicts_that_were_taken_back_say_nothing_any_more() -> None:
    given_back = [note("accepted", 1, value=1.0), note("accepted", 1, value=-1.0)]
    assert learnt(given_back, NOW) == []
    again = [*given_back, note("accepted", 1, value=1.0), note("dismissed", 2, value=-1.0)]
    assert weights(learnt(again, NOW)) == {1: 1.0, 2: -1.0}
    assert learnt([note("dismissed", 2, value=-1.0), note("dismissed", 2, value=1.0)], NOW) == []


@given(
    st.lists(
        st.builds(
            Note,
            st.sampled_from(["view", "read", "shown", "accepted", "dismissed", "vote"]),
            st.integers(1, 5),
            st.sampled_from([-1.0, 0.0, 1.0]),
            st.sampled_from(["", "q", "r"]),
            st.sampled_from([0, 100, 200]),
            st.floats(0, 2 * NOW),
        ),
        max_size=30,
    ),
    st.randoms(use_true_random=False),
)
def test_no_order_of_the_notes_and_nothing_that_comes_later_changes_what_was_learnt(notes, chance) -> None:
    first = learnt(notes, NOW)
    shuffled = list(notes)
    chance.shuffle(shuffled)
    assert learnt(shuffled, NOW) == first
    assert learnt([one for one in notes if one.at <= NOW], NOW) == first
    assert all(abs(one.weight) <= abs(one.full) == abs(WEIGHTS[one.what]) for one in first)
    assert all(0 < abs(value) <= CLAMP for value in weights(first).values())
