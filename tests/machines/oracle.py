"""The same step as the library itself takes it: what `machines.step` is compared with.

An instance of the chart is driven by python-statemachine, either built for each event (`restored`)
or taken from those used before (`pooled`).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ValidationError
from statemachine import StateChart
from statemachine.exceptions import TransitionNotAllowed
from statemachine.orderedset import OrderedSet

from machines.chart import Chart, Context, all_states, events_of
from machines.errors import BadPayload, BrokenSnapshot, NotAllowed, Stale, UnknownEvent
from machines.event import Event, Result
from machines.snapshot import Snapshot
from machines.step import Incoming, Step, hash_of
from machines.work import Started

Way = Literal["restored", "pooled"]

_IDLE: dict[type[Chart], list[Chart]] = {}
"""Instances whose step is over; one whose action raised is not among them."""


class Memory:
    """Where the library keeps the configuration of one instance."""

    def __init__(self, state: Any = None) -> None:
        self.state = state


def library_instance(
    chart: type[Chart],
    configuration: list[str] | None,
    *,
    history: dict[str, list[str]],
    data: Event | None = None,
    way: Way = "restored",
    **life: Any,
) -> Chart:
    """A machine driven by the library; without a configuration a new one, spawned by `data`."""
    state = None if configuration is None else OrderedSet(configuration)
    states = {state.id: state for state in chart.states_map.values()}
    remembered = {key: [states[each] for each in ids] for key, ids in history.items()}
    if way == "pooled" and _IDLE.get(chart):
        instance = _IDLE[chart].pop()
        instance.become(**life)
        instance.model.state = state
        instance.history_values = remembered
        instance._engine = instance._get_engine()  # type: ignore[no-untyped-call]
        instance._engine.start(data=data)
        return instance
    instance = object.__new__(chart)
    instance.become(**life)
    StateChart.__init__(instance, model=Memory(state), data=data)
    instance.history_values = remembered or instance.history_values
    return instance


def give_back(instance: Chart) -> None:
    """Keep an instance for the next pooled step."""
    _IDLE.setdefault(type(instance), []).append(instance)


def forget(chart: type[Chart]) -> None:
    """Drop the instances of a chart that is not used any more."""
    _IDLE.pop(chart, None)


def payload(event: type[Event], incoming: Incoming) -> Event:
    """The event's data."""
    try:
        return event.model_validate(dict(incoming.data))
    except ValidationError as error:
        raise BadPayload(str(error), event=incoming.name) from error


def spawn(chart: type[Chart], machine: str, topic: str, incoming: Incoming, *, way: Way = "restored") -> Step:
    """Create a machine."""
    instance = library_instance(
        chart,
        None,
        history={},
        data=payload(chart.spawn_event, incoming),
        way=way,
        context=chart.context_type(),
        machine=machine,
        topic=topic,
        at=incoming.at,
        actor=incoming.actor,
        awaiting={},
        timers={},
    )
    done = result(instance, None, incoming)
    give_back(instance)
    return done


def step(chart: type[Chart], snapshot: Snapshot, incoming: Incoming, *, way: Way = "restored") -> Step:
    """Apply one event that its sender may send, to a snapshot of the present definition."""
    event = events_of(chart).get(incoming.name)
    if event is None:
        raise UnknownEvent(incoming.name)
    data = payload(event, incoming)
    if isinstance(data, (Result, Started)) and data.effect not in snapshot.awaiting:
        raise Stale(f"nobody awaits {data.effect} any more")
    if snapshot.terminated:
        raise NotAllowed("ended")
    instance = library_instance(
        chart,
        snapshot.configuration,
        history=snapshot.history,
        way=way,
        context=context_of(chart, snapshot),
        machine=snapshot.id,
        topic=snapshot.topic,
        at=incoming.at,
        actor=incoming.actor,
        awaiting=snapshot.awaiting,
        timers=snapshot.timers,
    )
    try:
        instance.send(event.name, data=data)
    except TransitionNotAllowed:
        give_back(instance)
        raise NotAllowed("not allowed") from None
    if isinstance(data, Result):
        instance.awaiting.pop(data.effect, None)
    done = result(instance, snapshot, incoming)
    give_back(instance)
    return done


def context_of(chart: type[Chart], snapshot: Snapshot) -> Context:
    """The context as its model."""
    try:
        return chart.context_type.model_validate(snapshot.context)
    except ValidationError as error:
        raise BrokenSnapshot(str(error)) from error


def result(instance: Chart, before: Snapshot | None, incoming: Incoming) -> Step:
    """What the instance has done since `before`."""
    chart = type(instance)
    revision = 1 if before is None else before.revision + 1
    effects = {f"{instance.machine}:{revision}:{i}": e for i, e in enumerate(instance.emitted)}
    asked = {key: e.state for key, e in effects.items() if e.state}
    instance.note_ids(asked)
    awaiting = instance.awaiting | asked
    configuration = [str(value) for value in instance.configuration_values]
    states = {state.id: state for state in all_states(chart)}
    context = instance.context.model_dump(mode="json")
    old = {} if before is None else before.context
    snapshot = Snapshot(
        id=instance.machine,
        kind=chart.kind,
        chart_version=chart.version,
        chart_hash=hash_of(chart.kind),
        topic=instance.topic,
        revision=revision,
        configuration=configuration,
        history={key: [s.id for s in value] for key, value in instance.history_values.items()},
        context=context,
        awaiting=awaiting,
        timers=instance.timers_set,
        terminated=any(states[s].final and states[s].parent is None for s in configuration),
        updated_at=incoming.at,
    )
    return Step(
        snapshot=snapshot,
        effects={key: e.effect for key, e in effects.items()},
        timers=instance.timers,
        settled=[] if before is None else [key for key in before.awaiting if key not in awaiting],
        changed={key: value for key, value in context.items() if key not in old or old[key] != value},
        removed=[key for key in old if key not in context],
        before=[] if before is None else before.configuration,
        event=incoming.name,
    )
