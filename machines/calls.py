"""Callbacks of a chart made cheap to call: what each wants is worked out once, as the library injects it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import Parameter, getattr_static, iscoroutinefunction, signature
from types import FunctionType
from typing import Any, Literal

from statemachine import Event, State, StateChart
from statemachine.callbacks import CallbackGroup, CallbackSpec, CallbackSpecList, SpecReference
from statemachine.orderedset import OrderedSet
from statemachine.signature import SignatureAdapter
from statemachine.spec_parser import operator_mapping, parse_boolean_expr
from statemachine.transition import Transition

Call = Callable[[Any, Any], Any]
"""A callback with everything but the machine and the payload filled in: `call(body, payload)`."""

Payload = Literal["nothing", "data", "done"]
"""What comes with a trigger: nothing; the event's `data`; what the entry of a final state returned,
as `(positional, named)`."""

_MOMENT = ("event", "transition", "state", "source", "target")
_CONFIGURATIONS = ("previous_configuration", "new_configuration")
_ABSENT = frozenset({"event_data", "model", "send_id"})


class UnsupportedChart(TypeError):
    """The chart uses what its tables cannot express; the message says what and where."""


@dataclass(frozen=True, eq=False)
class Trigger:
    """What sets off a microstep: the initial entry, an event, a done event, or nothing (`event` None)."""

    event: Event | None
    payload: Payload


@dataclass(frozen=True)
class Moment:
    """What is known about a call before it happens.

    `configurations` are the states before and after the microstep; only actions on a transition
    are told.
    """

    trigger: Trigger
    transition: Transition
    state: State
    source: State
    target: State | None
    configurations: tuple[tuple[State, ...], tuple[State, ...]] | None = None


Binder = Callable[[Moment], Call]


@dataclass(frozen=True)
class Callback:
    """One callback of a state or transition.

    Attributes:
        name: As written in the chart.
        bind: Makes it callable for a moment.
        only: The one event it is for ("" for any), as with `on_<event>`.
        expected: For guards, what it must be; None otherwise.
    """

    name: str
    bind: Binder
    only: str = ""
    expected: bool | None = None

    def concerns(self, trigger: Trigger) -> bool:
        """Whether it runs at all for such a trigger."""
        return not self.only or self.only == trigger.event


def callbacks_of(
    chart: type[StateChart[Any]], specs: CallbackSpecList, group: CallbackGroup
) -> tuple[Callback, ...]:
    """The callbacks of one group in the order in which the library calls them.

    Raises:
        UnsupportedChart: One of them is not there or wants what the tables cannot give.
    """
    found: dict[str, tuple[int, Callback]] = {}
    for spec in specs:
        if spec.group == group:
            for key, bind in _resolved(chart, spec):
                callback = Callback(str(spec), bind, _only(chart, spec), spec.expected_value)
                found.setdefault(key, (spec.priority, callback))
    return tuple(callback for _, callback in sorted(found.values(), key=lambda item: item[0]))


def _only(chart: type[StateChart[Any]], spec: CallbackSpec) -> str:
    if spec.cond is None:
        return ""
    event = getattr(spec.cond, "__self__", None)
    if not isinstance(event, Event) or getattr(spec.cond, "__func__", None) is not Event.is_same_event:
        raise UnsupportedChart(f"{chart.__name__}: {spec} has a condition of its own")
    return str(event)


def _resolved(chart: type[StateChart[Any]], spec: CallbackSpec) -> Iterator[tuple[str, Binder]]:
    """Its binder under the key by which the library knows that it is there twice."""
    if spec.reference is SpecReference.NAME:
        if spec.is_convention and not _has(chart, spec.attr_name):
            return
        if spec.may_contain_boolean_expression:
            yield _expression(chart, spec.attr_name)
        else:
            yield f"{spec.attr_name}@", _named(chart, spec.attr_name)
    elif spec.reference is SpecReference.PROPERTY:
        if getattr_static(chart, spec.attr_name, None) is not spec.func:
            raise UnsupportedChart(f"{chart.__name__}: the property {spec} is not one of the chart")
        yield f"{spec.attr_name}@", _reader(spec.attr_name)
    elif not spec.is_bounded and getattr_static(chart, spec.lookup_name, None) is spec.func:
        yield f"{spec.lookup_name}@", _binder(chart, spec.func, takes_self=True)
    elif isinstance(spec.func, FunctionType):
        yield f"{spec.attr_name}-{id(spec.func)}", _binder(chart, spec.func, takes_self=False)
    else:
        raise UnsupportedChart(f"{chart.__name__}: {spec.func!r} is no plain function")


def _has(chart: type[StateChart[Any]], name: str) -> bool:
    return name not in chart._protected_attrs and any(name in vars(base) for base in chart.__mro__)


def _named(chart: type[StateChart[Any]], name: str) -> Binder:
    if not _has(chart, name) or name.startswith("__"):
        raise UnsupportedChart(f"{chart.__name__} has no method, property or value “{name}”")
    found = getattr_static(chart, name)
    if isinstance(found, FunctionType):
        return _binder(chart, found, takes_self=True)
    if isinstance(found, staticmethod) and isinstance(found.__func__, FunctionType):
        return _binder(chart, found.__func__, takes_self=False)
    if isinstance(found, Event):
        raise UnsupportedChart(f"{chart.__name__}: “{name}” is an event; an action cannot send one")
    if isinstance(found, (State, classmethod)) or callable(found):
        raise UnsupportedChart(f"{chart.__name__}: “{name}” is neither method, property nor value")
    return _reader(name)


def _reader(name: str) -> Binder:
    return lambda moment: lambda body, payload: getattr(body, name)


def _expression(chart: type[StateChart[Any]], text: str) -> tuple[str, Binder]:
    """A guard by name, or names joined by operators and `In('state')`."""
    if text.isidentifier():
        return f"{text}@", _named(chart, text)
    binders: dict[str, Binder] = {}

    def named(name: str) -> Callable[..., Any]:
        binders[name] = _named(chart, name)
        return _leaf(name, lambda body, payload: None)

    def bind(moment: Moment) -> Call:
        whole = _parsed(text, lambda name: _leaf(name, binders[name](moment)))
        return lambda body, payload: whole(body, payload, machine=_Inside(chart, body))

    try:
        return str(_parsed(text, named).unique_key), bind
    except (SyntaxError, ValueError) as error:
        raise UnsupportedChart(f"{chart.__name__}: “{text}” is no guard: {error}") from error


def _parsed(text: str, named: Callable[[str], Callable[..., Any]]) -> Any:
    return parse_boolean_expr(text, named, operator_mapping)  # type: ignore[no-untyped-call]


def _leaf(name: str, call: Call) -> Callable[..., Any]:
    def leaf(body: Any, payload: Any, **_: Any) -> Any:
        return call(body, payload)

    leaf.__name__ = name
    leaf.unique_key = f"{name}@"  # type: ignore[attr-defined]
    return leaf


class _Inside:
    """What `In('state')` asks."""

    def __init__(self, chart: type[StateChart[Any]], body: Any) -> None:
        self.configuration = [chart.states_map[name] for name in body._active]


def _binder(chart: type[StateChart[Any]], function: FunctionType, *, takes_self: bool) -> Binder:
    where = f"{chart.__name__}: {function.__qualname__}"
    if iscoroutinefunction(function):
        raise UnsupportedChart(f"{where} is asynchronous")
    wanted = list(signature(function).parameters.values())[1 if takes_self else 0 :]
    for each in wanted:
        if each.kind is Parameter.VAR_KEYWORD:
            raise UnsupportedChart(f"{where} takes **{each.name}; name what it needs")
        if each.kind is Parameter.POSITIONAL_ONLY or each.name in _ABSENT:
            raise UnsupportedChart(f"{where} cannot be given “{each.name}”")
    adapter = SignatureAdapter(wanted)  # type: ignore[no-untyped-call]

    def bind(moment: Moment) -> Call:
        if moment.trigger.payload == "done":
            return _by_library(function, adapter, moment, takes_self=takes_self)
        return _by_table(function, wanted, moment, takes_self=takes_self)

    return bind


def _known(moment: Moment) -> dict[str, Any]:
    values = (
        moment.trigger.event,
        moment.transition,
        moment.state,
        moment.source,
        moment.target,
    )
    return dict(zip(_MOMENT, values, strict=True))


def _by_library(function: Any, adapter: SignatureAdapter, moment: Moment, *, takes_self: bool) -> Call:
    """Arguments of any number and name, matched by the library itself."""
    known = _known(moment)

    def call(body: Any, payload: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
        positional, named = payload
        given = {**named, **known, "machine": body, **_configurations(moment)}
        matched = adapter.bind_expected(*positional, **given)
        first = (body,) if takes_self else ()
        return function(*first, *matched.args, **matched.kwargs)

    return call


def _by_table(function: Any, wanted: list[Parameter], moment: Moment, *, takes_self: bool) -> Call:
    """The cheapest call that gives the function what it wants and is there.

    What is not there is left out, so that a default holds and a missing argument is a `TypeError`.
    """
    known = _known(moment)
    living = {"machine"}
    if moment.trigger.payload == "data":
        living.add("data")
    if moment.configurations is not None:
        living.update(_CONFIGURATIONS)
    present = [each.name for each in wanted if each.name in known or each.name in living]
    in_order = [each.name for each in wanted[: len(present)]] == present and all(
        each.kind is Parameter.POSITIONAL_OR_KEYWORD for each in wanted[: len(present)]
    )
    rest = present[1:] if present[:1] == ["data"] else present
    if takes_self and in_order and not living.intersection(rest):
        arguments = tuple(known[name] for name in rest)
        return _with_data(function, arguments) if rest != present else _without_data(function, arguments)
    fixed = {name: known[name] for name in present if name in known}
    asked = living.intersection(present)

    def call(body: Any, payload: Any) -> Any:
        there = {"machine": body, "data": payload, **_configurations(moment)}
        given = {**fixed, **{name: there[name] for name in asked}}
        return function(body, **given) if takes_self else function(**given)

    return call


def _with_data(function: Any, arguments: tuple[Any, ...]) -> Call:
    if not arguments:
        called: Call = function
        return called
    if len(arguments) == 1:
        (one,) = arguments
        return lambda body, payload: function(body, payload, one)
    return lambda body, payload: function(body, payload, *arguments)


def _without_data(function: Any, arguments: tuple[Any, ...]) -> Call:
    if not arguments:
        return lambda body, payload: function(body)
    if len(arguments) == 1:
        (one,) = arguments
        return lambda body, payload: function(body, one)
    return lambda body, payload: function(body, *arguments)


def _configurations(moment: Moment) -> dict[str, OrderedSet[State]]:
    if moment.configurations is None:
        return {}
    return dict(zip(_CONFIGURATIONS, map(OrderedSet, moment.configurations), strict=True))
