"""The text of charts and diagrams in OOXML documents."""

from __future__ import annotations

from handlers.parsing import markup
from handlers.parsing.markup import Element, child, children, descendants, text_of
from handlers.parsing.package import Package
from handlers.parsing.writing import CELLS

MOST_POINTS = 1000
"""Categories of a chart that are written out."""


def of_parts(package: Package, parts: list[str]) -> dict[str, str]:
    """The texts of charts and diagrams, by the names of their parts in lower case."""
    found = {}
    for part in parts:
        root = package.xml(part)
        said = _chart(root) if markup.child(root, "chart") is not None else paragraphs(root)
        if said:
            found[part.lower()] = said
    return found


def paragraphs(root: Element | None) -> str:
    """The paragraphs of a drawing, a line each."""
    lines = []
    for paragraph in descendants(root, "p"):
        line = "".join(
            "\n" if markup.local(e) == "br" else text_of(e) for e in descendants(paragraph, "t", "br")
        )
        if line.strip():
            lines.append(line.strip())
    return "\n".join(lines)


def _chart(root: Element | None) -> str:
    """Its title, then a row for each category."""
    chart = child(root, "chart")
    titles = [paragraphs(child(chart, "title"))]
    titles += [paragraphs(child(axis, "title")) for axis in descendants(chart, "catAx", "valAx", "dateAx")]
    series = list(descendants(chart, "ser"))
    lines = [f"Chart: {' – '.join(' '.join(t.split()) for t in titles if t)}".removesuffix(": ")]
    names = [" ".join(text_of(v) for v in descendants(child(ser, "tx"), "v")) for ser in series]
    if any(names):
        lines.append(CELLS.join(["", *names]).strip())
    points = [_points(child(ser, "val")) or _points(child(ser, "yVal")) for ser in series]
    labels = next(
        (p for ser in series if (p := _points(child(ser, "cat")) or _points(child(ser, "xVal")))), {}
    )
    for index in sorted({i for p in (labels, *points) for i in p})[:MOST_POINTS]:
        lines.append(CELLS.join([labels.get(index, ""), *(p.get(index, "") for p in points)]))
    return "\n".join(lines)


def _points(values: Element | None) -> dict[int, str]:
    found = {}
    for point in descendants(values, "pt"):
        index = point.get("idx", "")
        if index.isdecimal() and len(index) < 8:
            found[int(index)] = " ".join(text_of(v) for v in children(point, "v"))
    return found
