"""Rare rules of the library, each shown by the smallest chart that obeys it, by table and by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from statemachine import HistoryState, State

from machines import step as stepping
from machines.errors import BrokenSnapshot, NotAllowed
from machines.snapshot import Snapshot
from machines.step import Incoming, Step
from tests.machines import oracle
from tests.machines.logged import KIND, LoggedChart


def named(name: str, **keywords: Any) -> State:
    """A state to be nested."""
    return State(**keywords)._set_id(name)


class Both:
    """A chart stepped by table and by the library, with one result or one error."""

    def __init__(self, **body: Any) -> None:
        idle = State(initial=not any(each.initial for each in body.values() if isinstance(each, State)))
        for name in ("a", "b", "c", "answered"):
            idle.to(None, event=name)
        body = {"idle": idle, **body, "__module__": __name__}
        self.chart = type(LoggedChart)("Small", (LoggedChart,), body)
        stepping.CHARTS[KIND] = self.chart

    def spawn(self, at: float = 1000.0) -> Step:
        incoming = Incoming("spawn", {}, "handler", at)
        done = stepping.spawn(KIND, f"{KIND}-0-a", "case:c", incoming)
        assert done == oracle.spawn(self.chart, f"{KIND}-0-a", "case:c", incoming)
        return done

    def step(self, snapshot: Snapshot, name: str, at: float) -> Step:
        incoming = Incoming(name, {}, "handler", at)
        done = stepping.step(snapshot, incoming)
        assert done == oracle.step(self.chart, snapshot, incoming)
        return done


@pytest.fixture(autouse=True)
def charts_as_they_were() -> Iterator[None]:
    yield
    stepping.CHARTS.pop(KIND, None)


def test_after_a_targetless_transition_the_configurations_are_told() -> None:
    here, there = State(initial=True), State()
    here.to(None, event="a", after="configurations")
    here.to(there, event="b", after="configurations")
    both = Both(here=here, there=there)
    first = both.spawn().snapshot
    assert both.step(first, "a", 1001.0).snapshot.context["log"] == ["configurations(here, here, ())"]
    assert both.step(first, "b", 1001.0).snapshot.context["log"] == ["configurations(None, None, ())"]


def test_an_event_is_dropped_when_the_top_parallel_state_ends_before_it() -> None:
    busy, done = named("busy", initial=True), named("done", final=True)
    region = named("region", states=[busy, done])
    whole = State(initial=True, parallel=True, states=[region])
    busy.to(done, cond="odd_time")
    whole.to(None, event="a", on="nothing")
    both = Both(whole=whole)
    first = both.spawn(at=1000.0).snapshot
    assert both.step(first, "a", 1002.0).snapshot.context["log"] == ["nothing()"]
    dropped = both.step(first, "a", 1001.0).snapshot
    assert (dropped.configuration, dropped.context["log"]) == (["whole", "region", "done"], [])


def test_a_done_event_after_the_end_of_the_machine_is_refused() -> None:
    """Only a transition to two places that exclude each other can get there."""
    end, inner = State(final=True), named("inner", final=True)
    whole, here = State(states=[named("start", initial=True), inner]), State(initial=True)
    here.to([end, inner], event="a")
    both = Both(here=here, end=end, whole=whole)
    first = both.spawn().snapshot
    incoming = Incoming("a", {}, "handler", 1001.0)
    with pytest.raises(NotAllowed):
        stepping.step(first, incoming)
    with pytest.raises(NotAllowed):
        oracle.step(both.chart, first, incoming)


def test_states_of_one_document_order_keep_the_order_of_the_configuration() -> None:
    """The library numbers the states of each level on from their parent, so cousins share numbers."""
    left = named("left", states=[named("one", initial=True), named("two")])
    right = named("right", states=[named("three", initial=True)])
    whole = State(initial=True, parallel=True, states=[left, right])
    whole.to(None, event="b")
    assert [left.document_order, right.document_order] == [0, 0]
    both = Both(whole=whole)
    orders = {name: state.document_order for name, state in both.chart.states_map.items()}
    assert orders["one"] == orders["right"]
    assert both.spawn().snapshot.configuration == ["whole", "left", "one", "right", "three"]


def test_a_history_of_a_state_that_is_not_there_is_refused() -> None:
    back = HistoryState(type="deep")._set_id("back")
    inner = named("inner", initial=True)
    inside = State(initial=True, states=[inner], history=[back])
    outside = State()
    inside.to(outside, event="a")
    outside.to(back, event="a")
    both = Both(inside=inside, outside=outside)
    left = both.step(both.spawn().snapshot, "a", 1001.0).snapshot
    assert left.history == {"back": ["inner"]}
    assert both.step(left, "a", 1002.0).snapshot.configuration == ["inside", "inner"]
    with pytest.raises(BrokenSnapshot, match="nowhere"):
        both.step(replace(left, history={"back": ["nowhere"]}), "a", 1002.0)
