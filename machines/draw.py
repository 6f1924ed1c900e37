"""A chart as a picture: DOT for Graphviz, Mermaid for documents, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from statemachine import State

from machines.chart import Chart, all_states, events_of, spawner
from machines.step import chart_of, hash_of

FORMATS = ("dot", "mermaid", "json")

QUIET = frozenset({"started", "broke", "deadline", "again"})
"""Events that keep work going; drawn only where they leave a state."""


def draw(kind: str, form: str, active: Collection[str] = ()) -> str:
    """Draw a chart with the `active` states lit.

    Args:
        kind: Name of the chart.
        form: One of `FORMATS`.
        active: State ids to light; unknown ones are ignored, since a picture may be of an older chart.

    Raises:
        UnknownKind: No such chart.
        ValueError: No such format; the message lists those there are.
    """
    chart = chart_of(kind)
    if form == "dot":
        return _dot(chart, frozenset(active))
    if form == "mermaid":
        return _mermaid(chart, frozenset(active))
    if form == "json":
        return json.dumps(describe(kind), indent=2)
    raise ValueError(f"“{form}” is no drawing format; choose one of {', '.join(FORMATS)}")


def describe(kind: str) -> dict[str, Any]:
    """Chart facts in JSON values: states as a tree, transitions, events with source and role."""
    chart = chart_of(kind)
    source, role = spawner(chart)
    return {
        "kind": kind,
        "version": chart.version,
        "hash": hash_of(kind),
        "spawn": {"source": source, "role": role, "topics": list(chart.spawn_topics)},
        "states": [_tree(state) for state in chart.states],
        "transitions": [
            {"event": event, "source": state.id, "targets": targets}
            for state, event, targets in _moves(chart)
        ],
        "events": [
            {"name": e.name, "source": e.source, "role": e.role, "doc": (e.__doc__ or "").strip()}
            for e in events_of(chart).values()
        ],
    }


def _tree(state: State) -> dict[str, Any]:
    return {
        "id": state.id,
        "initial": bool(state.initial),
        "final": bool(state.final),
        "parallel": bool(state.parallel),
        "states": [_tree(child) for child in state.states],
    }


def _moves(chart: type[Chart]) -> Iterator[tuple[State, str, list[str]]]:
    """Transitions that lead somewhere: source, event ("" when eventless), targets."""
    for state in all_states(chart):
        for transition in state.transitions:
            targets = [target.id for target in transition.targets]
            if targets and not transition.initial:
                yield state, str(transition.event or ""), targets


def _label(event: str) -> str:
    return "" if event.startswith("done") else event.replace("_", " ")


def _arrows(chart: type[Chart]) -> dict[tuple[str, str], list[str]]:
    """(source, target) → labels, each pair once, so that the picture stays readable."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for state, event, targets in _moves(chart):
        for target in targets:
            labels = arrows.setdefault((state.id, target), [])
            label = _label(event)
            if label and label not in labels and (event not in QUIET or event == "broke"):
                labels.append(label)
    return arrows


def _inner(state: State) -> str:
    """A simple state inside, since a Graphviz edge cannot end at a cluster."""
    while state.states:
        children = list(state.states)
        state = next((child for child in children if child.initial), children[0])
    return str(state.id)


def _dot(chart: type[Chart], active: frozenset[str]) -> str:
    lines = [
        f"digraph {chart.kind} {{",
        "  compound=true; rankdir=TB; nodesep=0.35; ranksep=0.4; bgcolor=transparent;",
        '  node [shape=box style="rounded,filled" fontname="Helvetica" fontsize=11 margin="0.14,0.07"'
        ' color="#8a94a6" fillcolor="#f6f7f9" fontcolor="#1d2430"];',
        '  edge [fontname="Helvetica" fontsize=9 color="#8a94a6" fontcolor="#5b6472" arrowsize=0.7];',
        '  graph [fontname="Helvetica" fontsize=11 style="rounded" color="#b8c0cc" fontcolor="#5b6472"];',
    ]

    def add(state: State, depth: int) -> None:
        pad = "  " * depth
        lit = state.id in active
        if state.states:
            lines.append(f"{pad}subgraph cluster_{state.id} {{")
            style = "dashed,rounded" if state.parallel else "rounded"
            color = "#c2410c" if lit else "#b8c0cc"
            width = 2 if lit else 1
            lines.append(
                f'{pad}  label="{_label(state.id)}"; style="{style}"; color="{color}"; penwidth={width};'
            )
            for child in state.states:
                add(child, depth + 1)
            lines.append(f"{pad}}}")
            return
        extra = []
        if lit:
            extra.append('fillcolor="#c2410c" color="#9a3412" fontcolor="#ffffff" penwidth=2 class="active"')
        if state.final:
            extra.append("peripheries=2")
        lines.append(f'{pad}{state.id} [label="{_label(state.id)}" {" ".join(extra)}];')

    for state in chart.states:
        add(state, 1)
    states = {state.id: state for state in all_states(chart)}
    for (source, target), labels in _arrows(chart).items():
        extra = ['label="' + r"\n".join(labels) + '"'] if labels else []
        if states[source].states:
            extra.append(f"ltail=cluster_{source}")
        if states[target].states:
            extra.append(f"lhead=cluster_{target}")
        lines.append(f"  {_inner(states[source])} -> {_inner(states[target])} [{' '.join(extra)}];")
    lines.append("}")
    return "\n".join(lines) + "\n"


def _mermaid(chart: type[Chart], active: frozenset[str]) -> str:
    lines = ["stateDiagram-v2", "  classDef active fill:#c2410c,color:#fff,stroke:#9a3412"]

    def add(state: State, depth: int) -> None:
        pad = "  " * depth
        if state.initial:
            lines.append(f"{pad}[*] --> {state.id}")
        if state.states:
            lines.append(f"{pad}state {state.id} {{")
            for i, child in enumerate(state.states):
                if i and state.parallel:
                    lines.append(f"{pad}  --")
                add(child, depth + 1)
            lines.append(f"{pad}}}")
        elif state.final:
            lines.append(f"{pad}{state.id} --> [*]")

    for state in chart.states:
        add(state, 1)
    for (source, target), labels in _arrows(chart).items():
        label = f" : {' / '.join(labels)}" if labels else ""
        lines.append(f"  {source} --> {target}{label}")
    known = {state.id for state in all_states(chart)}
    lines.extend(f"  class {state} active" for state in sorted(active & known))
    return "\n".join(lines) + "\n"
