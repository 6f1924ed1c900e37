"""What `step` refuses, and what it says."""

from dataclasses import replace

import pytest

from machines.chart import all_states, events_of
from machines.errors import (
    BadPayload,
    BrokenSnapshot,
    Forbidden,
    NotAllowed,
    UnknownEvent,
    UnknownKind,
    WrongChart,
)
from machines.event import Event
from machines.step import CHARTS, Incoming, hash_of, spawn, step
from tests.machines.walk import Walk, extracted_upload

CLIENT = Incoming("cancel", {}, "client", 1.0, "u", "owner")


@pytest.mark.parametrize(
    "name", ["__initial__", "error.execution", "done.state.analysing", "send", "model", ""]
)
def test_names_outside_the_chart_are_unknown(name: str) -> None:
    with pytest.raises(UnknownEvent) as caught:
        step(extracted_upload().last.snapshot, Incoming(name, {}, "client", 1.0, "u", "owner"))
    assert caught.value.allowed == ("cancel",)
    assert "analysing" in caught.value.states


def test_data_that_is_not_declared_is_refused() -> None:
    snapshot = Walk("query", question="Who paid?").last.snapshot
    with pytest.raises(BadPayload, match="state"):
        step(snapshot, Incoming("cancel", {"state": "answered"}, "client", 1.0, "u", "owner"))


def test_a_snapshot_of_another_definition_is_never_loaded() -> None:
    snapshot = replace(extracted_upload().last.snapshot, chart_hash="0" * 16)
    with pytest.raises(WrongChart, match="upload"):
        step(snapshot, CLIENT)


@pytest.mark.parametrize(
    "configuration",
    [
        [],
        ["ready", "failed"],
        ["analysing"],
        ["vectors", "embedding"],
        ["nowhere"],
        ["ready", "ready"],
        [
            "analysing",
            "vectors",
            "links",
            "tags",
            "summary",
            "embedding",
            "indexing",
            "linking",
            "tagging",
            "summarising",
        ],
    ],
)
def test_an_impossible_configuration_is_refused(configuration: list[str]) -> None:
    with pytest.raises(BrokenSnapshot):
        step(replace(extracted_upload().last.snapshot, configuration=configuration), CLIENT)


def test_an_ended_machine_takes_nothing_more() -> None:
    walk = extracted_upload().send("cancel", source="client")
    walk.send("forgotten", effect=walk.effect("ForgetEvidence"))
    with pytest.raises(NotAllowed, match="ended"):
        walk.send("cancel", source="client")


def test_a_refused_step_changes_nothing() -> None:
    snapshot = extracted_upload().last.snapshot
    before = snapshot.to_json()
    with pytest.raises(NotAllowed):
        step(snapshot, Incoming("unlock", {"secret": "12345678"}, "client", 1.0, "u", "owner"))
    assert snapshot.to_json() == before


def test_a_step_tells_what_changed() -> None:
    walk = Walk("case", title="Old").send("rename", source="client", title="New")
    assert walk.last.changed == {"title": "New"}
    assert walk.last.before == ["open"]
    assert walk.last.snapshot.revision == 2


def test_an_unknown_kind_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownKind, match="case, detective, import, notification, poi_search, query, upload"):
        spawn("nothing", "nothing-0-a", "case:c", Incoming("spawn", {}, "client", 1.0))


def test_kinds_live_only_on_their_topics() -> None:
    with pytest.raises(Forbidden, match="case:"):
        spawn(
            "query",
            "query-0-a",
            "user:u",
            Incoming("spawn", {"question": "Who?"}, "client", 1.0, "u", "owner"),
        )


@pytest.mark.parametrize("kind", sorted(CHARTS))
def test_events_declared_and_events_drawn_are_the_same(kind: str) -> None:
    chart = CHARTS[kind]
    drawn = {
        str(event)
        for state in all_states(chart)
        for transition in state.transitions
        for event in transition.events
        if not str(event).startswith("done")
    }
    assert drawn == set(events_of(chart))


@pytest.mark.parametrize("kind", sorted(CHARTS))
def test_every_event_says_where_it_comes_from(kind: str) -> None:
    for event in CHARTS[kind].event_types:
        assert event.source in ("client", "handler", "timer")
        assert event.__doc__ != Event.__doc__


def test_the_hash_sees_a_changed_guard() -> None:
    before = hash_of("upload")
    from machines.chart import chart_hash
    from machines.upload import UploadChart

    transition = next(t for t in UploadChart.states_map["failed"].transitions if t.cond)
    spec = next(iter(transition.cond))
    original, spec.func = spec.func, "something_else"
    try:
        assert chart_hash(UploadChart) != before
    finally:
        spec.func = original
    assert chart_hash(UploadChart) == before
