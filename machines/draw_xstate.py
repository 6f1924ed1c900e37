"""A chart as a machine of XState, version 5, in JSON, which the editors of Stately read.

Every state has its id, by which targets name it (`#embedding`); guards and actions are names for
whoever implements them. A transition's `meta` tells the event's one source and least role.
"""

from __future__ import annotations

from typing import Any

from machines.chart import Chart, events_of
from machines.event import Event
from machines.outline import DONE, Move, Node, nodes, outline


def xstate(chart: type[Chart]) -> dict[str, Any]:
    """The machine's configuration in JSON values."""
    tops = outline(chart)
    events = events_of(chart)
    first = next(node.id for node in tops if node.initial)
    return {
        "id": chart.kind,
        "description": (chart.__doc__ or "").strip(),
        "version": str(chart.version),
        "initial": first,
        "states": {node.id: _state(node, events) for node in tops},
    }


def _state(node: Node, events: dict[str, type[Event]]) -> dict[str, Any]:
    if node.is_history:
        target = {"target": f"#{node.moves[0].targets[0]}"} if node.moves else {}
        return {"id": node.id, "type": "history", "history": node.kind} | target
    state: dict[str, Any] = {"id": node.id}
    if node.kind in ("parallel", "final"):
        state["type"] = node.kind
    if node.kind == "compound":
        state["initial"] = node.first.id
    if node.entry:
        state["entry"] = list(node.entry)
    if node.exit:
        state["exit"] = list(node.exit)
    for move in node.moves:
        _place(state, node, move, events)
    if node.children:
        state["states"] = {child.id: _state(child, events) for child in node.children}
    return state


def _place(state: dict[str, Any], node: Node, move: Move, events: dict[str, type[Event]]) -> None:
    transition = _transition(move, {node.id, *(inner.id for inner in nodes(node.children))})
    if not move.event:
        state.setdefault("always", []).append(transition)
    elif move.event == f"{DONE}{node.id}":
        state.setdefault("onDone", []).append(transition)
    else:
        for name in move.event.split():
            on = state.setdefault("on", {}).setdefault(name, [])
            event = events.get(name)
            meta = {"source": event.source, "role": event.role} if event is not None else {}
            on.append(transition | ({"meta": meta} if meta else {}))


def _transition(move: Move, inside: set[str]) -> dict[str, Any]:
    transition: dict[str, Any] = {}
    if move.targets:
        targets = [f"#{target}" for target in move.targets]
        transition["target"] = targets[0] if len(targets) == 1 else targets
        # A source is left for a target within it only where XState is told to; elsewhere it always is.
        if inside.intersection(move.targets) and not move.internal:
            transition["reenter"] = True
    if move.guards:
        transition["guard"] = " and ".join(move.guards)
    if move.actions:
        transition["actions"] = list(move.actions)
    return transition
