"""A chart as a state diagram of Mermaid.

An arrow stands in the innermost composite state around both its ends: Mermaid takes a state that is
named elsewhere for another one of the same name.
"""

from __future__ import annotations

from machines.draw_dot import arrows
from machines.outline import Node, ancestors, nodes

Arrows = dict[tuple[str, str], list[str]]


def mermaid(tops: tuple[Node, ...], active: frozenset[str]) -> str:
    """The diagram with the `active` states lit."""
    above = ancestors(tops)
    placed: dict[str, list[str]] = {}
    for (source, target), labels in arrows(tops).items():
        label = f" : {' / '.join(labels)}" if labels else ""
        placed.setdefault(_around(above, source, target), []).append(f"{source} --> {target}{label}")
    lines = ["stateDiagram-v2", "  classDef active fill:#c2410c,color:#fff,stroke:#9a3412"]
    _add(lines, tops, placed.get("", []), placed, 1)
    known = {node.id for node in nodes(tops)}
    lines.extend(f"  class {state} active" for state in sorted(active & known))
    return "\n".join(lines) + "\n"


def _around(above: dict[str, tuple[str, ...]], source: str, target: str) -> str:
    """The innermost state that encloses both without being one of them, empty at the top."""
    return next((state for state in above[source] if state in above[target]), "")


def _add(
    lines: list[str], children: tuple[Node, ...], inside: list[str], placed: dict[str, list[str]], depth: int
) -> None:
    pad = "  " * depth
    for node in children:
        if node.initial:
            lines.append(f"{pad}[*] --> {node.id}")
        if node.states:
            lines.append(f"{pad}state {node.id} {{")
            _within(lines, node, placed, depth + 1)
            lines.append(f"{pad}}}")
        elif node.kind == "final":
            lines.append(f"{pad}{node.id} --> [*]")
        elif node.is_history:
            lines.append(f'{pad}state "{"H*" if node.kind == "deep" else "H"}" as {node.id}')
        else:
            lines.append(f"{pad}state {node.id}")
    lines.extend(f"{pad}{arrow}" for arrow in inside)


def _within(lines: list[str], node: Node, placed: dict[str, list[str]], depth: int) -> None:
    inside = placed.get(node.id, [])
    if node.kind != "parallel":
        _add(lines, node.children, inside, placed, depth)
        return
    # A region of its own for each child; an arrow from one to another has no place in any.
    for number, child in enumerate(node.children):
        if number:
            lines.append("  " * depth + "--")
        _add(lines, (child,), inside if number == len(node.children) - 1 else [], placed, depth)
