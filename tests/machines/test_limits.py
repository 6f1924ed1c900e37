"""What tables cannot express is refused when a chart is compiled, and nothing else."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from statemachine import Event as Drawn
from statemachine import HistoryState, State

from machines.calls import UnsupportedChart
from machines.chart import Chart, Context
from machines.event import Event
from machines.step import CHARTS, Incoming, spawn, step
from machines.tables import Tables, tables_of


class Spawned(Event, name="spawn", source="handler"):
    """It begins."""


class Go(Event, name="go", source="handler"):
    """Onwards."""


class Loose(Context):
    """A context with a value that validation passes on as it is."""

    anything: Any = None
    known: dict[str, int] = {}


class Tried(Chart):
    """What every chart here has."""

    kind: ClassVar[str] = "tried"
    context_type = Loose
    spawn_event = Spawned
    spawn_topics = ("case",)
    event_types = (Go,)
    validate_disconnected_states = False
    validate_trap_states = False

    context: Loose


def chart_with(**extra: Any) -> type[Tried]:
    """Two states and an event, with more in the body; `_go` are keywords of the transition."""
    one, two = State(initial=True), State()
    go = one.to(two, **extra.pop("_go", {}))
    body = {"one": one, "two": two, "go": go, "__module__": __name__, **extra}
    return type(Tried)("Made", (Tried,), body)


class Listener:
    """Listens to a chart."""


def nothing(self: Any) -> None: ...
def wants_all(self: Any, **kwargs: Any) -> None: ...
def wants_model(self: Any, model: Any) -> None: ...
def wants_event_data(self: Any, event_data: Any) -> None: ...
def positional(self: Any, data: Any, /) -> None: ...
async def slow(self: Any) -> None: ...
def sends(self: Any) -> None: self.send("go")  # fmt: skip


def calls_event(self: Any) -> None: self.go()  # fmt: skip


def asks_active(self: Any, state: State) -> bool: return state.is_active  # fmt: skip


def asks_in_lambda(self: Any) -> Any: return [x for x in "a" if self.configuration]  # fmt: skip


def asks_machine(self: Any, machine: Any) -> Any: return machine.is_terminated  # fmt: skip


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"_go": {"on": "act"}, "act": wants_all}, r"\*\*kwargs"),
        ({"_go": {"on": "act"}, "act": wants_model}, "model"),
        ({"_go": {"on": "act"}, "act": wants_event_data}, "event_data"),
        ({"_go": {"on": "act"}, "act": positional}, "data"),
        ({"_go": {"on": "act"}, "act": slow}, "asynchronous"),
        ({"_go": {"on": "missing"}}, "missing"),
        ({"_go": {"on": "go"}}, "event"),
        ({"_go": {"cond": "one.two"}}, "no guard"),
        ({"_go": {"cond": "missing or other"}}, "missing"),
        ({"_go": {"validators": "act"}, "act": nothing}, "validators"),
        ({"on_invoke_two": nothing}, "invoke"),
        ({"prepare_event": nothing}, "prepare_event"),
        ({"listeners": [Listener]}, "listeners"),
        ({"act": sends}, "self.send"),
        ({"act": calls_event}, "self.go"),
        ({"act": asks_active}, "is_active"),
        ({"act": asks_in_lambda}, "self.configuration"),
        ({"act": asks_machine}, "machine.is_terminated"),
        ({"act": property(sends)}, "self.send"),
        ({"catch_errors_as_events": True}, "catch_errors_as_events"),
        ({"atomic_configuration_update": False}, "atomic_configuration_update"),
        ({"start_configuration_values": ["two"]}, "start_configuration_values"),
        ({"three": State(value=3)}, "3"),
        ({"topic": State()}, "topic"),
        ({"event_types": ()}, None),
        ({"event_types": (Spawned,)}, "in no transition"),
        ({"on_enter_two": nothing, "enters": nothing}, None),
    ],
)
def test_what_tables_cannot_express_is_refused_by_name(extra: dict[str, Any], reason: str | None) -> None:
    chart = chart_with(**extra)
    if reason is None:
        Tables(chart)
    else:
        with pytest.raises(UnsupportedChart, match=reason):
            Tables(chart)


def test_a_delayed_event_is_refused() -> None:
    one, two = State(initial=True), State()
    go = Drawn(one.to(two), delay=5)
    chart = type(Tried)("Made", (Tried,), {"one": one, "two": two, "go": go, "__module__": __name__})
    with pytest.raises(UnsupportedChart, match="delayed"):
        Tables(chart)


def test_two_states_of_one_name_are_refused() -> None:
    inner = State(initial=True)._set_id("one")
    whole = State(states=[inner])
    with pytest.raises(UnsupportedChart, match="two states"):
        Tables(chart_with(whole=whole))


def test_a_history_outside_of_every_state_is_refused() -> None:
    with pytest.raises(UnsupportedChart, match="no parent"):
        Tables(chart_with(back=HistoryState()))


def change_anything(self: Any) -> None:
    self.context.anything["deep"].append(2)
    self.context.known["a"] = 2
    if self.actor == "fails":
        raise RuntimeError("after the change")


def test_a_step_leaves_its_snapshot_alone_and_tells_nested_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    chart = chart_with(_go={"on": "act"}, act=change_anything)
    monkeypatch.setitem(CHARTS, "tried", chart)
    first = spawn("tried", "tried-0-a", "case:c", Incoming("spawn", {}, "handler", 1.0)).snapshot
    first.context["anything"] = {"deep": [1]}
    first.context["known"] = {"a": 1}
    before = first.to_json()
    with pytest.raises(RuntimeError):
        step(first, Incoming("go", {}, "handler", 2.0, "fails"))
    assert first.to_json() == before
    done = step(first, Incoming("go", {}, "handler", 2.0))
    assert first.to_json() == before
    assert done.changed == {"anything": {"deep": [1, 2]}, "known": {"a": 2}}
    assert tables_of(chart).shares_context
    assert not tables_of(CHARTS["upload"]).shares_context
