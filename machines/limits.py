"""What a chart may not use, since its tables could not do the same: found when it is compiled."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType, FunctionType

from statemachine import Event, State, StateChart
from statemachine.callbacks import CallbackGroup
from statemachine.graph import iterate_states_and_transitions
from statemachine.state import HistoryState
from statemachine.transition import Transition

from machines.calls import UnsupportedChart
from machines.chart import Chart, all_states, events_of

_FLAGS = {
    "catch_errors_as_events": False,
    "allow_event_without_transition": False,
    "atomic_configuration_update": True,
}

_ENGINE = {
    name
    for name, value in vars(StateChart).items()
    if isinstance(value, (FunctionType, property)) and not name.startswith("__")
} | {"model", "history_values", "state_field", "_callbacks", "_config", "_engine", "_listeners"}
"""What only the library's own instance has."""


def check_limits(chart: type[Chart]) -> None:
    """See that the tables can do all that the chart asks for.

    Raises:
        UnsupportedChart: They cannot; the message says what stands in the way.
    """
    for fault in _faults(chart):
        raise UnsupportedChart(f"{chart.__name__}: {fault}")


def _faults(chart: type[Chart]) -> Iterator[str]:
    for flag, value in _FLAGS.items():
        if getattr(chart, flag) is not value:
            yield f"{flag} must be {value}"
    if chart._class_listeners:
        yield "listeners are not supported"
    if chart.start_configuration_values:
        yield "start_configuration_values is not supported; mark the initial state"
    if any("prepare_event" in vars(base) for base in chart.__mro__):
        yield "prepare_event is not supported"
    states = list(all_states(chart))
    yield from _state_faults(chart, states)
    yield from _event_faults(chart)
    for visited in iterate_states_and_transitions(chart.states):
        for spec in visited._specs:
            if spec.group == CallbackGroup.VALIDATOR:
                yield f"{visited}: validators are not supported; use a guard"
            if spec.group == CallbackGroup.INVOKE and (
                not spec.is_convention or any(spec.attr_name in vars(base) for base in chart.__mro__)
            ):
                yield f"{visited}: invoke is not supported; emit an effect"
    yield from _code_faults(chart, {state.id for state in states if state.parent is not None})


def _state_faults(chart: type[Chart], states: list[State]) -> Iterator[str]:
    seen: set[str] = set()
    for state in states:
        if state.id in seen:
            yield f"two states are called {state.id}"
        seen.add(state.id)
        if state.value != state.id:
            yield f"{state.id} has the value {state.value!r}; snapshots hold ids"
        if state.id in _BODY:
            yield f"a state cannot be called {state.id}, which every machine has"
        if isinstance(state, HistoryState):
            if state.parent is None:
                yield f"the history {state.id} has no parent"
            if any(not transition.targets for transition in state.transitions):
                yield f"the history {state.id} has a default without a target"
        for transition in state.transitions:
            yield from _transition_faults(transition, seen={id(each) for each in states})


_BODY = frozenset(
    {"context", "machine", "topic", "at", "actor", "awaiting", "timers_set", "emitted", "timers"}
)


def _transition_faults(transition: Transition, seen: set[int]) -> Iterator[str]:
    if any(id(target) not in seen for target in transition.targets):
        yield f"{transition} leads out of the chart"
    if any(event.delay for event in transition.events):
        yield f"{transition}: a delayed event is not supported; set a timer"


def _event_faults(chart: type[Chart]) -> Iterator[str]:
    for name in events_of(chart):
        if not isinstance(getattr(chart, name, None), Event):
            yield f"the event {name} is in no transition"


def _code_faults(chart: type[Chart], nested: set[str]) -> Iterator[str]:
    """Uses of the engine in the chart's own methods, which its light machines do not have."""
    for base in chart.__mro__:
        if base is Chart:
            return
        for name, value in vars(base).items():
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if isinstance(function, FunctionType):
                for owner, used in _attributes(function):
                    if used == "is_active":
                        yield f"{name} asks for is_active; use a guard In('state')"
                    elif owner in ("self", "machine") and (
                        used in _ENGINE or used in nested or isinstance(getattr(chart, used, None), Event)
                    ):
                        yield f"{name} uses {owner}.{used}, which only the library's engine has"


def _attributes(function: FunctionType) -> Iterator[tuple[str, str]]:
    """The attributes that a function and those within it read, with the variable they are read of."""
    codes: list[CodeType] = [function.__code__]
    while codes:
        code = codes.pop()
        codes += [each for each in code.co_consts if isinstance(each, CodeType)]
        variable = ""
        for instruction in dis.get_instructions(code):
            if instruction.opname.startswith(("LOAD_ATTR", "LOAD_METHOD")):
                yield variable, instruction.argval
            loaded = instruction.argval if instruction.opname.startswith(("LOAD_FAST", "LOAD_DEREF")) else ""
            variable = loaded[-1] if isinstance(loaded, tuple) else loaded
