"""A chart in DOT, for Graphviz: composite states are clusters, several arrows of one pair are one.

Whoever shows the drawing finds states and arrows in it again: a state has the id `state-<id>`, an
arrow `arrow-<source>-<target>`, and what is lit the class `active`.
"""

from __future__ import annotations

from machines.outline import DONE, Node, moves, nodes

_HEAD = (
    "  compound=true; rankdir=TB; nodesep=0.35; ranksep=0.4; bgcolor=transparent;",
    '  node [shape=box style="rounded,filled" fontname="Helvetica" fontsize=11 margin="0.14,0.07"'
    ' color="#8a94a6" fillcolor="#f6f7f9" fontcolor="#1d2430"];',
    '  edge [fontname="Helvetica" fontsize=9 color="#8a94a6" fontcolor="#5b6472" arrowsize=0.7];',
    '  graph [fontname="Helvetica" fontsize=11 style="rounded" color="#b8c0cc" fontcolor="#5b6472"];',
)
_LIT = 'fillcolor="#c2410c" color="#9a3412" fontcolor="#ffffff" penwidth=2 class="active"'

QUIET = frozenset({"started", "deadline", "again"})
"""Events that keep work going; arrows are not labelled with them."""


def dot(name: str, tops: tuple[Node, ...], active: frozenset[str]) -> str:
    """The graph called `name` with the `active` states lit."""
    lines = [f"digraph {name} {{", *_HEAD]
    for node in tops:
        _add(lines, node, active, 1)
    known = {node.id: node for node in nodes(tops)}
    for (source, target), labels in arrows(tops).items():
        extra = [f'id="arrow-{source}-{target}"']
        if labels:
            extra.append('label="' + r"\n".join(labels) + '"')
        if known[source].states:
            extra.append(f"ltail=cluster_{source}")
        if known[target].states:
            extra.append(f"lhead=cluster_{target}")
        lines.append(f"  {_inner(known[source])} -> {_inner(known[target])} [{' '.join(extra)}];")
    return "\n".join([*lines, "}"]) + "\n"


def arrows(tops: tuple[Node, ...]) -> dict[tuple[str, str], list[str]]:
    """(source, target) → labels, each pair once, so that the picture stays readable."""
    found: dict[tuple[str, str], list[str]] = {}
    for move in moves(tops):
        for target in move.targets:
            labels = found.setdefault((move.source, target), [])
            label = "" if move.event.startswith(DONE) else words(move.event)
            if label and label not in labels and move.event not in QUIET:
                labels.append(label)
    return found


def words(name: str) -> str:
    """An id as words."""
    return name.replace("_", " ")


def _add(lines: list[str], node: Node, active: frozenset[str], depth: int) -> None:
    pad, lit = "  " * depth, node.id in active
    if not node.states:
        shape = {"shallow": ' shape=circle label="H"', "deep": ' shape=circle label="H*"'}
        label = shape.get(node.kind, f' label="{words(node.id)}"')
        extra = f" {_LIT}" if lit else ""
        double = " peripheries=2" if node.kind == "final" else ""
        lines.append(f'{pad}{node.id} [id="state-{node.id}"{label}{extra}{double}];')
        return
    style = "dashed,rounded" if node.kind == "parallel" else "rounded"
    color, width = ("#c2410c", 2) if lit else ("#b8c0cc", 1)
    lines.append(f"{pad}subgraph cluster_{node.id} {{")
    lines.append(
        f'{pad}  id="state-{node.id}"; label="{words(node.id)}"; style="{style}"; color="{color}";'
        # Told in any case, since a cluster within would inherit it.
        f' penwidth={width}; class="{"lit" if lit else ""}";'
    )
    for child in node.children:
        _add(lines, child, active, depth + 1)
    lines.append(f"{pad}}}")


def _inner(node: Node) -> str:
    """A simple state inside, since a Graphviz edge cannot end at a cluster."""
    while node.states:
        node = node.first
    return node.id
