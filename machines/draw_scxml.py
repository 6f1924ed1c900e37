"""A chart as a document of SCXML 1.0, the W3C's notation for state charts.

Guards are told as names in `cond`, actions as `<log>` with their name as label: what they do is
Python, which no other tool would run.

Source: W3C Recommendation, State Chart XML (SCXML), 1 September 2015.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from machines.outline import Move, Node

NAMESPACE = "http://www.w3.org/2005/07/scxml"

_TAGS = {"atomic": "state", "compound": "state", "parallel": "parallel", "final": "final"}


def scxml(name: str, tops: tuple[Node, ...]) -> str:
    """The document of a chart called `name`."""
    root = Element("scxml", {"xmlns": NAMESPACE, "version": "1.0", "name": name})
    first = [node.id for node in tops if node.initial]
    if first:
        root.set("initial", " ".join(first))
    for node in tops:
        _add(root, node)
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _add(above: Element, node: Node) -> None:
    if node.is_history:
        history = SubElement(above, "history", {"id": node.id, "type": node.kind})
        for move in node.moves:
            _transition(history, move)
        return
    element = SubElement(above, _TAGS[node.kind], {"id": node.id})
    if node.kind == "compound":
        element.set("initial", node.first.id)
    for tag, names in (("onentry", node.entry), ("onexit", node.exit)):
        if names:
            _actions(SubElement(element, tag), names)
    for move in node.moves:
        _transition(element, move)
    for child in node.children:
        _add(element, child)


def _transition(above: Element, move: Move) -> None:
    element = SubElement(above, "transition")
    if move.event:
        element.set("event", move.event)
    if move.guards:
        element.set("cond", " and ".join(move.guards))
    if move.targets:
        element.set("target", " ".join(move.targets))
    if move.internal:
        element.set("type", "internal")
    _actions(element, move.actions)


def _actions(above: Element, names: tuple[str, ...]) -> None:
    for name in names:
        SubElement(above, "log", {"label": name})
