"""A chart as tables: its states and transitions with their callbacks, in the library's order.

python-statemachine stays the definition. What it works out anew for every event is looked up here:
which transitions an event may take in a configuration (`choices`), and what taking them does
(`plans`, worked out by `machines.plan`). Both fill as machines reach what they hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import BaseModel
from statemachine import State
from statemachine.callbacks import CallbackGroup
from statemachine.event import BoundEvent
from statemachine.state import HistoryState
from statemachine.transition import Transition

from machines.calls import Call, Callback, Moment, Trigger, callbacks_of
from machines.chart import Chart, chart_hash, events_of
from machines.event import Event
from machines.limits import check_limits

_KEPT = 4096
"""Entries of a lookup before it begins anew; a chart reaches a few hundred."""

EVENTLESS = Trigger(None, "nothing")


@dataclass(eq=False)
class Node:
    """A state.

    Attributes:
        order: The library's document order; states of different parents may share one.
        above: Its ancestors, nearest first.
        history: `shallow`, `deep`, or "" for a state that is not a history.
        edges: Its transitions in order, default entries (`initial`) among them.
    """

    id: str
    state: State
    order: int
    above: tuple[Node, ...]
    history: str
    children: list[Node] = field(default_factory=list)
    histories: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    enter: tuple[Callback, ...] = ()
    exit: tuple[Callback, ...] = ()

    @property
    def parent(self) -> Node | None:
        """The nearest ancestor."""
        return self.above[0] if self.above else None

    @property
    def parallel(self) -> bool:
        """All its children are active with it."""
        return bool(self.state.parallel)

    @property
    def compound(self) -> bool:
        """One of its children is active with it."""
        return bool(self.children) and not self.parallel

    @property
    def final(self) -> bool:
        """It ends its parent."""
        return bool(self.state.final)

    def within(self, other: Node) -> bool:
        """Whether it lies below `other`, at any depth."""
        return other in self.above


@dataclass(eq=False)
class Edge:
    """A transition; `targets` is empty where nothing is left or entered."""

    transition: Transition
    source: Node | None
    targets: tuple[Node, ...]
    guards: tuple[Callback, ...] = ()
    before: tuple[Callback, ...] = ()
    on: tuple[Callback, ...] = ()
    after: tuple[Callback, ...] = ()

    @property
    def target(self) -> Node | None:
        """The first of its targets, which callbacks are told of."""
        return self.targets[0] if self.targets else None


@dataclass(frozen=True, eq=False)
class Entered:
    """What entering one state runs.

    Attributes:
        enter: Its entry actions.
        then: Actions of the default entry and of the history it was entered by.
        done: Ids of the states that it ends; `enter` returns the data of their done events.
        finished: The top parallel state, if it ended that.
        ends: The machine ends.
    """

    enter: tuple[Call, ...]
    then: tuple[Call, ...]
    done: tuple[str, ...]
    finished: Node | None
    ends: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """A microstep worked out.

    Attributes:
        leave: Calls before the configuration changes: before, exit, on.
        entered: Per entered state that has any, its calls afterwards.
        after: Calls at the end.
        configuration: State ids afterwards, in the library's order.
        history: What is remembered afterwards, of all histories.
    """

    leave: tuple[Call, ...]
    entered: tuple[Entered, ...]
    after: tuple[Call, ...]
    configuration: tuple[str, ...]
    history: tuple[tuple[str, ...] | None, ...]


Choice = tuple[tuple[Edge, tuple[tuple[Call, bool], ...]], ...]
"""Transitions that one active state may take, most preferred first, with their guards."""


class Tables:
    """Everything that a step looks up of one chart; made by `tables_of`.

    Attributes:
        nodes: States by id, in document order, without histories.
        histories: History states, by id, in document order.
        context: Checks and dumps its contexts.
    """

    def __init__(self, chart: type[Chart]) -> None:
        check_limits(chart)
        self.chart = chart
        self.hash = chart_hash(chart)
        self.events: dict[str, type[Event]] = events_of(chart)
        self.nodes: dict[str, Node] = {}
        self.histories: dict[str, Node] = {}
        self._edges: dict[int, Edge] = {}
        self._place(list(chart.states), ())
        every = {id(node.state): node for node in (*self.nodes.values(), *self.histories.values())}
        for node in every.values():
            self._connect(node, every)
        self.initial = self._initial_edge()
        self.starting = Trigger(BoundEvent("__initial__"), "data")
        self.triggers = {name: Trigger(self._event(name), "data") for name in self.events}
        self.done = {node.id: self._done(node) for node in self.nodes.values() if node.children}
        self.shares_context = _holds_anything(chart.context_type)
        self.choices: dict[tuple[Trigger, tuple[str, ...]], tuple[Choice, ...]] = {}
        self.plans: dict[Any, Plan] = {}
        self.outgoing: dict[tuple[str, ...], frozenset[str]] = {}
        self.problems: dict[tuple[str, ...], str] = {}
        self.top_finals = {n.id for n in self.nodes.values() if n.final and n.parent is None}

    def _place(self, states: list[State], above: tuple[Node, ...]) -> list[Node]:
        made = []
        for state in states:
            kind = state.type.value if isinstance(state, HistoryState) else ""
            node = Node(state.id, state, state.document_order, above, kind)
            (self.histories if kind else self.nodes)[state.id] = node
            node.children = self._place(state.states, (node, *above))
            node.histories = self._place(list(state.history), (node, *above))
            made.append(node)
        return made

    def _connect(self, node: Node, every: dict[int, Node]) -> None:
        chart, specs = self.chart, node.state._specs
        node.enter = callbacks_of(chart, specs, CallbackGroup.ENTER)
        node.exit = callbacks_of(chart, specs, CallbackGroup.EXIT)
        for transition in node.state.transitions:
            node.edges.append(
                Edge(
                    transition,
                    node,
                    tuple(every[id(target)] for target in transition.targets),
                    callbacks_of(chart, transition._specs, CallbackGroup.COND),
                    callbacks_of(chart, transition._specs, CallbackGroup.BEFORE),
                    callbacks_of(chart, transition._specs, CallbackGroup.ON),
                    callbacks_of(chart, transition._specs, CallbackGroup.AFTER),
                )
            )

    def _initial_edge(self) -> Edge:
        first = self.chart.initial_state
        assert first is not None  # the library refuses a chart without
        return Edge(Transition(State(), first, event="__initial__"), None, (self.nodes[first.id],))

    def _event(self, name: str) -> BoundEvent:
        drawn = getattr(self.chart, name)
        return BoundEvent(name, name=drawn.name, internal=drawn.internal)

    def _done(self, node: Node) -> tuple[Trigger, Trigger]:
        event = BoundEvent(f"done.state.{node.id}", internal=True)
        return Trigger(event, "nothing"), Trigger(event, "done")

    def choices_in(self, trigger: Trigger, configuration: tuple[str, ...]) -> tuple[Choice, ...]:
        """What each active atomic state may take, itself first, then its ancestors."""
        found = self.choices.get((trigger, configuration))
        if found is None:
            atomic = (node for name in configuration if not (node := self.nodes[name]).children)
            chosen = (self._choice(trigger, node) for node in atomic)
            found = tuple(choice for choice in chosen if choice)
            keep(self.choices, (trigger, configuration), found)
        return found

    def _choice(self, trigger: Trigger, node: Node) -> Choice:
        return tuple(
            (edge, _guards(trigger, edge))
            for state in (node, *node.above)
            for edge in state.edges
            if not edge.transition.initial and edge.transition.events.match(trigger.event)
        )


def keep(table: dict[Any, Any], key: Any, value: Any) -> None:
    """Add to a lookup that must not grow without end."""
    if len(table) >= _KEPT:
        table.clear()
    table[key] = value


def _guards(trigger: Trigger, edge: Edge) -> tuple[tuple[Call, bool], ...]:
    assert edge.source is not None
    source = edge.source.state
    moment = Moment(trigger, edge.transition, source, source, edge.transition.target)
    return tuple((guard.bind(moment), guard.expected is not False) for guard in edge.guards)


def _holds_anything(model: type[BaseModel]) -> bool:
    """Whether a field takes values unseen, which validation then passes on without a copy."""

    def schemas(part: Any) -> Iterator[Any]:
        if isinstance(part, dict):
            yield part.get("type")
            for value in part.values():
                yield from schemas(value)
        elif isinstance(part, (list, tuple)):
            for value in part:
                yield from schemas(value)

    return "any" in schemas(model.__pydantic_core_schema__)


@cache
def tables_of(chart: type[Chart]) -> Tables:
    """The tables of a chart, compiled at the first call.

    Raises:
        UnsupportedChart: The chart uses what its tables cannot express.
    """
    return Tables(chart)
