"""One event applied to one machine: snapshot in, snapshot and requests out, nothing else touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import ValidationError
from statemachine.exceptions import TransitionNotAllowed

from machines.case import CaseChart
from machines.chart import Chart, Context, Timer
from machines.detective import DetectiveChart
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
from machines.importing import ImportChart
from machines.interpret import apply, begin
from machines.notification import NotificationChart
from machines.poi_search import PoiSearchChart
from machines.query import QueryChart
from machines.releases import brought_up
from machines.snapshot import Snapshot
from machines.tables import Tables, keep, tables_of
from machines.upload import UploadChart
from machines.work import Started

CHARTS: dict[str, type[Chart]] = {
    chart.kind: chart
    for chart in (
        CaseChart,
        DetectiveChart,
        ImportChart,
        NotificationChart,
        PoiSearchChart,
        QueryChart,
        UploadChart,
    )
}
for _chart in CHARTS.values():
    tables_of(_chart)  # a chart that its tables cannot express is found here, not by its first machine


_ABSENT = object()


class Incoming(NamedTuple):
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


def hash_of(kind: str) -> str:
    """The definition hash of a kind, computed once."""
    return tables_of(chart_of(kind)).hash


def spawn(kind: str, machine: str, topic: str, incoming: Incoming) -> Step:
    """Create a machine; `incoming.name` is `spawn` and its data the chart's spawn event.

    Raises:
        UnknownKind, Forbidden, BadPayload: Nothing was created.
    """
    chart = chart_of(kind)
    tables = tables_of(chart)
    if incoming.source != "handler":
        _check_sender(chart.spawn_event, incoming, list)
    if topic.partition(":")[0] not in chart.spawn_topics:
        topics = ", ".join(f"{prefix}:…" for prefix in chart.spawn_topics)
        raise Forbidden(f"a {kind} cannot live on “{topic}”; its topics are {topics}", event="spawn")
    data = _payload(chart.spawn_event, incoming)
    body = _body(tables, chart.context_type(), machine, topic, incoming, {}, {})
    return _result(tables, body, begin(tables, body, data), None, incoming)


def step(snapshot: Snapshot, incoming: Incoming) -> Step:
    """Apply one event.

    Raises:
        StepError: One of the family in `machines.errors`; the snapshot is still the truth.
    """
    tables = tables_of(chart_of(snapshot.kind))
    stored = snapshot
    if snapshot.chart_hash != tables.hash:
        snapshot = brought_up(snapshot, tables.hash)
    configuration = tuple(snapshot.configuration)
    if tables.problems.get(configuration) != "":
        check_configuration(snapshot)
    event = tables.events.get(incoming.name)

    def may() -> list[str]:
        if incoming.source == "client":
            return allowed(snapshot, incoming.role)
        return allowed_from(snapshot, incoming.source)

    if event is None:
        raise UnknownEvent(
            f"a {snapshot.kind} knows no event “{incoming.name}”",
            event=incoming.name,
            states=snapshot.configuration,
            allowed=may(),
        )
    _check_sender(event, incoming, may)
    data = _payload(event, incoming)
    if isinstance(data, (Result, Started)) and data.effect not in snapshot.awaiting:
        raise Stale(f"nobody awaits {data.effect} any more", event=event.name, states=snapshot.configuration)
    if snapshot.terminated:
        raise NotAllowed(
            f"the {snapshot.kind} has ended in {_active(snapshot)}",
            event=incoming.name,
            states=snapshot.configuration,
        )
    body = _body(
        tables, _context(tables, snapshot), snapshot.id, snapshot.topic, incoming,
        snapshot.awaiting, snapshot.timers,
    )  # fmt: skip
    history = _history(tables, snapshot)
    try:
        rest = apply(tables, body, configuration, history, event.name, data)
    except TransitionNotAllowed:
        why = f"while the {snapshot.kind} is {_active(snapshot)}"
        if event.name in may():
            why = f"with this data: the {snapshot.kind} holds nothing that it fits"
        raise NotAllowed(
            f"“{event.name}” is not possible {why}",
            event=event.name,
            states=snapshot.configuration,
            allowed=may(),
        ) from None
    if isinstance(data, Result):
        body.awaiting.pop(data.effect, None)
    return _result(tables, body, rest, stored, incoming)


def allowed(snapshot: Snapshot, role: Role | None) -> list[str]:
    """Client events that this state takes from this role, sorted by name."""
    return [] if snapshot.terminated else allowed_in(snapshot.kind, tuple(snapshot.configuration), role)


def allowed_in(kind: str, configuration: tuple[str, ...], role: Role | None) -> list[str]:
    """Client events that a machine of a kind takes in a configuration from a role, sorted by name."""
    if role is None:
        return []
    events = tables_of(chart_of(kind)).events
    return sorted(
        name
        for name in _outgoing(kind, configuration)
        if name in events and events[name].source == "client" and at_least(role, events[name].role)
    )


def allowed_from(snapshot: Snapshot, source: Source) -> list[str]:
    """Events of a source that this state takes, sorted by name."""
    if snapshot.terminated:
        return []
    events = tables_of(chart_of(snapshot.kind)).events
    outgoing = _outgoing(snapshot.kind, tuple(snapshot.configuration))
    return sorted(name for name in outgoing if name in events and events[name].source == source)


def _outgoing(kind: str, configuration: tuple[str, ...]) -> frozenset[str]:
    """States of an older definition allow what their present name does, or nothing."""
    chart = chart_of(kind)
    tables, formerly = tables_of(chart), chart.formerly
    found = tables.outgoing.get(configuration)
    if found is None:
        found = frozenset(
            str(event)
            for name in (formerly.get(name, name) for name in configuration)
            if name in tables.nodes
            for edge in tables.nodes[name].edges
            for event in edge.transition.events
        )
        keep(tables.outgoing, configuration, found)
    return found


def _check_sender(event: type[Event], incoming: Incoming, may: Callable[[], list[str]]) -> None:
    if event.source != incoming.source:
        raise Forbidden(
            f"“{event.name}” cannot be sent by a {incoming.source}", event=event.name, allowed=may()
        )
    if incoming.source == "client" and not at_least(incoming.role, event.role):
        raise Forbidden(f"“{event.name}” needs the role {event.role}", event=event.name, allowed=may())


def _payload(event: type[Event], incoming: Incoming) -> Event:
    try:
        data: Event = event.__pydantic_validator__.validate_python(dict(incoming.data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadPayload(
            f"the data of “{incoming.name}” does not fit: {where or 'data'}: {first['msg']}",
            event=incoming.name,
        ) from error
    return data


def _active(snapshot: Snapshot) -> str:
    return ", ".join(snapshot.configuration)


def _context(tables: Tables, snapshot: Snapshot) -> Context:
    context = deepcopy(snapshot.context) if tables.shares_context else snapshot.context
    try:
        made: Context = tables.chart.context_type.__pydantic_validator__.validate_python(context)
    except ValidationError as error:
        raise BrokenSnapshot(f"the context of {snapshot.id} does not fit its chart: {error}") from error
    return made


def _body(
    tables: Tables,
    context: Context,
    machine: str,
    topic: str,
    incoming: Incoming,
    awaiting: dict[str, str],
    timers: dict[str, str],
) -> Chart:
    """A machine that actions can act on, without the library's engine."""
    body: Chart = object.__new__(tables.chart)
    body.become(context, machine, topic, incoming.at, incoming.actor, awaiting, timers)
    return body


def _history(tables: Tables, snapshot: Snapshot) -> tuple[tuple[str, ...] | None, ...]:
    """What each history state of the chart remembers.

    Raises:
        BrokenSnapshot: One remembers a state that is not there.
    """
    if not tables.histories:
        return ()
    remembered = snapshot.history
    for name in {each for ids in remembered.values() for each in ids} - tables.nodes.keys():
        raise BrokenSnapshot(f"{snapshot.id} remembers {name}, which its chart does not have")
    return tuple(tuple(remembered[name]) if name in remembered else None for name in tables.histories)


def check_configuration(snapshot: Snapshot) -> None:
    """Refuse a configuration that the chart cannot be in; the library accepts any.

    Raises:
        BrokenSnapshot: A state is unknown, a parent is missing, or a compound has not one child.
    """
    tables = tables_of(chart_of(snapshot.kind))
    configuration = tuple(snapshot.configuration)
    problem = tables.problems.get(configuration)
    if problem is None:
        problem = _problem(tables, configuration)
        keep(tables.problems, configuration, problem)
    if problem:
        raise BrokenSnapshot(f"{snapshot.id}: {problem}")


def _problem(tables: Tables, configuration: tuple[str, ...]) -> str:
    """What is wrong with a configuration, "" for a legal one."""
    nodes, active = tables.nodes, set(configuration)
    if not active or not active <= nodes.keys():
        return f"no such states: {sorted(active - nodes.keys())}"
    tops = [name for name in active if nodes[name].parent is None]
    problems = [] if len(tops) == 1 else [f"{len(tops)} top states"]
    if len(active) < len(configuration):
        problems.append("a state twice")
    for name in configuration:
        node = nodes[name]
        if node.parent is not None and node.parent.id not in active:
            problems.append(f"{name} without {node.parent.id}")
        children = [child.id for child in node.children if child.id in active]
        if len(children) != (len(node.children) if node.parallel else min(1, len(node.children))):
            problems.append(f"{name} with {len(children)} active children")
    return "; ".join(problems)


def _result(
    tables: Tables,
    body: Chart,
    rest: tuple[tuple[str, ...], tuple[tuple[str, ...] | None, ...]],
    before: Snapshot | None,
    incoming: Incoming,
) -> Step:
    configuration, history = rest
    revision = 1 if before is None else before.revision + 1
    effects: dict[str, Effect] = {}
    asked: dict[str, str] = {}
    for number, emitted in enumerate(body.emitted):
        key = f"{body.machine}:{revision}:{number}"
        effects[key] = emitted.effect
        if emitted.state:
            asked[key] = emitted.state
    body.note_ids(asked)
    awaiting = body.awaiting | asked
    context = tables.chart.context_type.__pydantic_serializer__.to_python(body.context, mode="json")
    old = {} if before is None else before.context
    awaited = () if before is None else before.awaiting
    # Not by their constructors: those of frozen dataclasses take four times as long.
    snapshot = object.__new__(Snapshot)
    vars(snapshot).update(
        id=body.machine,
        kind=tables.chart.kind,
        chart_version=tables.chart.version,
        chart_hash=tables.hash,
        topic=body.topic,
        revision=revision,
        configuration=list(configuration),
        context=context,
        updated_at=incoming.at,
        history={
            name: list(ids) for name, ids in zip(tables.histories, history, strict=True) if ids is not None
        }
        if history
        else {},
        awaiting=awaiting,
        timers=body.timers_set,
        terminated=not tables.top_finals.isdisjoint(configuration),
    )
    done = object.__new__(Step)
    vars(done).update(
        snapshot=snapshot,
        effects=effects,
        timers=body.timers,
        settled=[key for key in awaited if key not in awaiting],
        changed={key: value for key, value in context.items() if old.get(key, _ABSENT) != value},
        removed=[key for key in old if key not in context],
        before=[] if before is None else before.configuration,
        event=incoming.name,
    )
    return done
