"""The structure of a chart as plain values: what every drawing and export is made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from statemachine import HistoryState, State, StateChart
from statemachine.callbacks import CallbackGroup

NodeKind = Literal["atomic", "compound", "parallel", "final", "shallow", "deep"]
"""`shallow` and `deep` are history states."""

DONE = "done.state."
"""Begins the event of a composite state that has ended, before the state's id."""


@dataclass(frozen=True)
class Move:
    """One transition.

    Attributes:
        event: Empty where it is taken as soon as its guards hold; `done.state.<id>` where it
            follows the end of a composite state.
        targets: Empty where only actions run and nothing is left or entered.
        guards: Names that must all hold, `not name` for one that must not.
        actions: Names of what runs on the way, in order.
        internal: Whether a composite source is not left for a target within it.
    """

    source: str
    event: str
    targets: tuple[str, ...]
    guards: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    internal: bool = False

    @property
    def automatic(self) -> bool:
        """Whether it needs no event from outside."""
        return not self.event or self.event.startswith(DONE)


@dataclass(frozen=True)
class Node:
    """One state with everything below it, children in document order, history states last."""

    id: str
    kind: NodeKind
    parent: str
    initial: bool
    entry: tuple[str, ...]
    exit: tuple[str, ...]
    moves: tuple[Move, ...]
    children: tuple[Node, ...]

    @property
    def is_history(self) -> bool:
        return self.kind in ("shallow", "deep")

    @property
    def states(self) -> tuple[Node, ...]:
        """Children that can be active."""
        return tuple(child for child in self.children if not child.is_history)

    @property
    def first(self) -> Node:
        """The child that is entered first; of a parallel state the first of all."""
        return next((child for child in self.states if child.initial), self.states[0])


def outline(chart: type[StateChart[Any]]) -> tuple[Node, ...]:
    """The states at the top of a chart, in document order."""
    return tuple(_node(state) for state in chart.states)


def nodes(tops: tuple[Node, ...]) -> Iterator[Node]:
    """Every node at every level, in document order."""
    for node in tops:
        yield node
        yield from nodes(node.children)


def moves(tops: tuple[Node, ...]) -> Iterator[Move]:
    """Every transition, in document order of its source."""
    for node in nodes(tops):
        yield from node.moves


def ancestors(tops: tuple[Node, ...]) -> dict[str, tuple[str, ...]]:
    """State id → ids of what encloses it, innermost first."""
    parents = {node.id: node.parent for node in nodes(tops)}

    def above(state: str) -> tuple[str, ...]:
        parent = parents[state]
        return (parent, *above(parent)) if parent else ()

    return {state: above(state) for state in parents}


def _node(state: State) -> Node:
    children = (*(_node(child) for child in state.states), *(_node(child) for child in state.history))
    return Node(
        id=str(state.id),
        kind=_kind(state),
        parent=str(state.parent.id) if state.parent else "",
        initial=bool(state.initial),
        entry=_named(state, CallbackGroup.ENTER),
        exit=_named(state, CallbackGroup.EXIT),
        moves=tuple(_move(state, transition) for transition in state.transitions if not transition.initial),
        children=children,
    )


def _kind(state: State) -> NodeKind:
    if isinstance(state, HistoryState):
        return "deep" if state.type.value == "deep" else "shallow"
    if state.parallel:
        return "parallel"
    if state.states:
        return "compound"
    return "final" if state.final else "atomic"


def _move(state: State, transition: Any) -> Move:
    return Move(
        source=str(state.id),
        event=_event(transition),
        targets=tuple(str(target.id) for target in transition.targets),
        guards=_named(transition, CallbackGroup.COND),
        actions=tuple(
            name
            for group in (CallbackGroup.BEFORE, CallbackGroup.ON, CallbackGroup.AFTER)
            for name in _named(transition, group)
        ),
        internal=bool(transition.internal),
    )


def _event(transition: Any) -> str:
    """`done_state_x`, as an attribute of a class must spell it, is told as `done.state.x`."""
    names = [str(event) for event in transition.events]
    return next((name for name in names if name.startswith(DONE)), " ".join(names))


def _named(owner: Any, group: CallbackGroup) -> tuple[str, ...]:
    """What a chart names itself; the library adds names by convention, most of which nobody defines."""
    return tuple(
        _name(spec) if spec.expected_value is not False else f"not {_name(spec)}"
        for spec in owner._specs
        if spec.group == group and not spec.is_convention
    )


def _name(spec: Any) -> str:
    return spec.func if isinstance(spec.func, str) else spec.attr_name
