"""One event applied to one machine: snapshot in, snapshot and requests out, nothing else touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import ValidationError
from statemachine.exceptions import TransitionNotAllowed
from statemachine.orderedset import OrderedSet

from machines.case import CaseChart
from machines.chart import Chart, Memory, Timer, all_states, chart_hash, events_of
from machines.effect import Effect
from machines.errors import (
    BadPayload,
    BrokenSnapshot,
    Forbidden,
    NotAllowed,
    Stale,
    UnknownEvent,
    UnknownKind,
)
from machines.event import Event, Result, Role, Source, at_least
from machines.notification import NotificationChart
from machines.query import QueryChart
from machines.releases import brought_up
from machines.snapshot import Snapshot
from machines.upload import UploadChart
from machines.work import Started

CHARTS: dict[str, type[Chart]] = {
    chart.kind: chart for chart in (CaseChart, NotificationChart, QueryChart, UploadChart)
}


@dataclass(frozen=True)
class Incoming:
    """An event as it arrives.

    Attributes:
        name: Event name, one of the chart's.
        data: Its payload, validated here.
        source: Where it comes from; a client can never claim another.
        at: Unix time in seconds, stamped by the server.
        actor: User id, or `system`.
        role: The client's role on the topic; None for other sources.
    """

    name: str
    data: Mapping[str, Any]
    source: Source
    at: float
    actor: str = "system"
    role: Role | None = None


@dataclass(frozen=True)
class Step:
    """What one event did.

    Attributes:
        snapshot: The new revision.
        effects: Effect id → effect, in order of emission.
        timers: Timers to set and clear, in order.
        settled: Effect ids that are awaited no more: answered, or left behind.
        changed: Context keys with their new values.
        removed: Context keys that are gone.
        before: The configuration before the event, empty for a spawn.
        event: Name of the event; `spawn` for a spawn.
    """

    snapshot: Snapshot
    effects: dict[str, Effect] = field(default_factory=dict)
    timers: list[Timer] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    changed: dict[str, Any] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    event: str = "spawn"


def chart_of(kind: str) -> type[Chart]:
    """The chart of a kind.

    Raises:
        UnknownKind: There is none; the message lists those there are.
    """
    try:
        return CHARTS[kind]
    except KeyError:
        raise UnknownKind(f"there is no chart “{kind}”; the charts are {', '.join(sorted(CHARTS))}") from None


@cache
def hash_of(kind: str) -> str:
    """The definition hash of a kind, computed once."""
    return chart_hash(chart_of(kind))


def spawn(kind: str, machine: str, topic: str, incoming: Incoming) -> Step:
    """Create a machine; `incoming.name` is `spawn` and its data the chart's spawn event.

    Raises:
        UnknownKind, Forbidden, BadPayload: Nothing was created.
    """
    chart = chart_of(kind)
    if incoming.source != "handler":
        _check_sender(chart.spawn_event, incoming, ())
    if topic.partition(":")[0] not in chart.spawn_topics:
        topics = ", ".join(f"{prefix}:…" for prefix in chart.spawn_topics)
        raise Forbidden(f"a {kind} cannot live on “{topic}”; its topics are {topics}", event="spawn")
    data = _payload(chart.spawn_event, incoming)
    instance = _instance(
        chart,
        None,
        context=chart.context_type(),
        machine=machine,
        topic=topic,
        at=incoming.at,
        actor=incoming.actor,
        awaiting={},
        timers={},
        history={},
        data=data,
    )
    done = _result(chart, instance, None, incoming)
    _give_back(instance)
    return done


def step(snapshot: Snapshot, incoming: Incoming) -> Step:
    """Apply one event.

    Raises:
        StepError: One of the family in `machines.errors`; the snapshot is still the truth.
    """
    chart = chart_of(snapshot.kind)
    stored = snapshot
    snapshot = brought_up(snapshot, hash_of(snapshot.kind))
    check_configuration(snapshot)
    event = events_of(chart).get(incoming.name)
    may = (
        allowed(snapshot, incoming.role)
        if incoming.source == "client"
        else allowed_from(snapshot, incoming.source)
    )
    if event is None:
        raise UnknownEvent(
            f"a {snapshot.kind} knows no event “{incoming.name}”",
            event=incoming.name,
            states=snapshot.configuration,
            allowed=may,
        )
    _check_sender(event, incoming, may)
    data = _payload(event, incoming)
    if isinstance(data, (Result, Started)) and data.effect not in snapshot.awaiting:
        raise Stale(f"nobody awaits {data.effect} any more", event=event.name, states=snapshot.configuration)
    instance = _restore(chart, snapshot, incoming)
    try:
        instance.send(event.name, data=data)
    except TransitionNotAllowed:
        _give_back(instance)
        raise NotAllowed(
            f"“{event.name}” is not possible while the {snapshot.kind} is {_active(snapshot)}",
            event=event.name,
            states=snapshot.configuration,
            allowed=may,
        ) from None
    if isinstance(data, Result):
        instance.awaiting.pop(data.effect, None)
    done = _result(chart, instance, stored, incoming)
    _give_back(instance)
    return done


def allowed(snapshot: Snapshot, role: Role | None) -> list[str]:
    """Client events that this state takes from this role, sorted by name."""
    return [] if snapshot.terminated else allowed_in(snapshot.kind, tuple(snapshot.configuration), role)


def allowed_in(kind: str, configuration: tuple[str, ...], role: Role | None) -> list[str]:
    """Client events that a machine of a kind takes in a configuration from a role, sorted by name."""
    if role is None:
        return []
    events = events_of(chart_of(kind))
    return sorted(
        name
        for name in _outgoing(kind, configuration)
        if name in events and events[name].source == "client" and at_least(role, events[name].role)
    )


def allowed_from(snapshot: Snapshot, source: Source) -> list[str]:
    """Events of a source that this state takes, sorted by name."""
    if snapshot.terminated:
        return []
    events = events_of(chart_of(snapshot.kind))
    outgoing = _outgoing(snapshot.kind, tuple(snapshot.configuration))
    return sorted(name for name in outgoing if name in events and events[name].source == source)


@cache
def _states(kind: str) -> dict[str, Any]:
    return {state.id: state for state in all_states(chart_of(kind))}


@cache
def _outgoing(kind: str, configuration: tuple[str, ...]) -> frozenset[str]:
    """States of an older definition allow nothing."""
    states = _states(kind)
    return frozenset(
        str(event)
        for state in configuration
        if state in states
        for transition in states[state].transitions
        for event in transition.events
    )


def _check_sender(event: type[Event], incoming: Incoming, may: tuple[str, ...] | list[str]) -> None:
    if event.source != incoming.source:
        raise Forbidden(
            f"“{event.name}” cannot be sent by a {incoming.source}", event=event.name, allowed=may
        )
    if incoming.source == "client" and not at_least(incoming.role, event.role):
        raise Forbidden(f"“{event.name}” needs the role {event.role}", event=event.name, allowed=may)


def _payload(event: type[Event], incoming: Incoming) -> Event:
    try:
        return event.model_validate(dict(incoming.data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadPayload(
            f"the data of “{incoming.name}” does not fit: {where or 'data'}: {first['msg']}",
            event=incoming.name,
        ) from error


def _active(snapshot: Snapshot) -> str:
    return ", ".join(snapshot.configuration)


def _restore(chart: type[Chart], snapshot: Snapshot, incoming: Incoming) -> Chart:
    if snapshot.terminated:
        raise NotAllowed(
            f"the {snapshot.kind} has ended in {_active(snapshot)}",
            event=incoming.name,
            states=snapshot.configuration,
        )
    try:
        context = chart.context_type.model_validate(snapshot.context)
    except ValidationError as error:
        raise BrokenSnapshot(f"the context of {snapshot.id} does not fit its chart: {error}") from error
    return _instance(
        chart,
        OrderedSet(snapshot.configuration),
        context=context,
        machine=snapshot.id,
        topic=snapshot.topic,
        at=incoming.at,
        actor=incoming.actor,
        awaiting=snapshot.awaiting,
        timers=snapshot.timers,
        history=snapshot.history,
    )


_IDLE: dict[type[Chart], list[Chart]] = {}
"""Instances whose step is over; one whose action raised is not among them."""


def _instance(chart: type[Chart], configuration: OrderedSet[str] | None, **life: Any) -> Chart:
    """An instance of the chart, a used one if there is any."""
    try:
        instance = _IDLE[chart].pop()
    except (KeyError, IndexError):
        return chart(memory=Memory(configuration), **life)
    instance.resume(configuration, **life)
    return instance


def _give_back(instance: Chart) -> None:
    _IDLE.setdefault(type(instance), []).append(instance)


def check_configuration(snapshot: Snapshot) -> None:
    """Refuse a configuration that the chart cannot be in; the library accepts any.

    Raises:
        BrokenSnapshot: A state is unknown, a parent is missing, or a compound has not one child.
    """
    states = _states(snapshot.kind)
    active = set(snapshot.configuration)
    if not active or not active <= states.keys():
        raise BrokenSnapshot(f"{snapshot.id}: no such states: {sorted(active - states.keys())}")
    tops = [s for s in active if states[s].parent is None]
    problems = [] if len(tops) == 1 else [f"{len(tops)} top states"]
    for name in active:
        state = states[name]
        if state.parent is not None and state.parent.id not in active:
            problems.append(f"{name} without {state.parent.id}")
        children = [child.id for child in state.states if child.id in active]
        expected = len(list(state.states)) if state.parallel else min(1, len(list(state.states)))
        if len(children) != expected:
            problems.append(f"{name} with {len(children)} active children")
    if problems:
        raise BrokenSnapshot(f"{snapshot.id}: {'; '.join(problems)}")


def _result(chart: type[Chart], instance: Chart, before: Snapshot | None, incoming: Incoming) -> Step:
    revision = 1 if before is None else before.revision + 1
    effects = {f"{instance.machine}:{revision}:{i}": e for i, e in enumerate(instance.emitted)}
    asked = {key: e.state for key, e in effects.items() if e.state}
    instance.note_ids(asked)
    awaiting = instance.awaiting | asked
    configuration = [str(value) for value in instance.configuration_values]
    states = _states(chart.kind)
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
