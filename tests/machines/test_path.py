"""The arrows of a drawing that an entry has gone along."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machines.outline import ancestors, moves, outline
from machines.path import taken
from machines.step import CHARTS, Step
from tests.machines.entries import lives
from tests.machines.walk import Walk, extracted_upload, verified_upload


def way(step: Step) -> list[tuple[str, str]]:
    return taken(step.snapshot.kind, step.event, step.before, step.snapshot.configuration)


@pytest.mark.parametrize("kind", sorted(CHARTS))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_change_of_states_goes_along_arrows_of_the_chart(kind: str, data: st.DataObject) -> None:
    tops = outline(CHARTS[kind])
    arrows = {(m.source, target) for m in moves(tops) for target in m.targets}
    above = ancestors(tops)
    # Entering a state enters what is within it; leaving the last of these ends what is around it.
    inside = {s: {t for t in above if t == s or s in above[t] or t in above[s]} for s in above}
    for step in data.draw(lives(kind))[1:]:
        before, now = set(step.before), set(step.snapshot.configuration)
        found = way(step)
        assert set(found) <= arrows
        if before == now:
            continue
        assert found[0][0] in before
        # The way begins where the machine was, goes on from where it came to, and ends where it is.
        reached = before | {child for _, target in found for child in inside[target]}
        assert {source for source, _ in found} <= reached
        assert {target for _, target in found} & now


def test_a_new_upload_waits_at_the_start() -> None:
    assert way(Walk("upload", filename="a.pdf", bytes=3).last) == []


def test_a_question_goes_straight_on_to_its_three_legs() -> None:
    assert way(Walk("query", question="Who?").last) == [("received", "retrieving")]


def test_the_four_analyses_are_entered_through_their_first_states() -> None:
    found = way(extracted_upload().last)
    assert found[0] == ("extracting", "analysing")
    assert set(found[1:]) == {
        ("vectors_due", "embedding"),
        ("links_due", "linking"),
        ("tags_due", "tagging"),
        ("summary_due", "summarising"),
    }


def test_the_last_analysis_leads_out_of_all_of_them() -> None:
    walk = extracted_upload()
    walk.send("embedded", effect=walk.effect("EmbedChunks"), chunks=2)
    walk.send("indexed", effect=walk.effect("IndexChunks"), chunks=2)
    walk.send("linked", effect=walk.effect("LinkEntities"), entities=1, mentions=1)
    walk.send("tagged", effect=walk.effect("TagEvidence"), tags=[])
    walk.send("summarised", effect=walk.effect("SummariseEvidence"), sentences=1)
    assert way(walk.last) == [("summarising", "summary_well"), ("analysing", "ready")]


def test_of_two_ways_out_the_one_that_was_taken_is_told() -> None:
    walk = verified_upload()
    effect = walk.effect("ExtractText")
    walk.send("extracted", effect=effect, pages=1, characters=0, chunks=0)
    assert way(walk.last) == [("extracting", "ready")]


def test_an_event_that_only_runs_actions_goes_along_no_arrow() -> None:
    walk = verified_upload()
    walk.send("started", effect=walk.effect("ExtractText"), stage="extracting")
    assert way(walk.last) == []
