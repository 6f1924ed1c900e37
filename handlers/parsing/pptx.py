"""PowerPoint presentations: a page for each slide with its text, tables, charts, notes and comments."""

from __future__ import annotations

from collections.abc import Iterator

from handlers.parsing import graphics, ooxml_parts
from handlers.parsing.enclosed import Enclosed
from handlers.parsing.facts import Facts, comment
from handlers.parsing.markup import Element, attribute, child, children, descendants, local, text_of
from handlers.parsing.package import Package, Relation
from handlers.parsing.parsed import Outlet, Parsed
from handlers.parsing.writing import Writing

_TITLES = ("title", "ctrTitle")
_MARGINS = ("dt", "ftr", "sldNum", "hdr")
"""Placeholders for date, footer and number, which are alike on every slide."""


def read(package: Package, main: str, outlet: Outlet) -> Parsed:
    """Read a presentation slide by slide.

    Raises:
        Unreadable: Its main part is missing or unfolds to too much.
    """
    facts, writing = Facts(), Writing()
    title = ooxml_parts.describe(package, facts)
    relations = package.relations(main)
    slides = [_relation_id(s) for s in descendants(package.xml(main), "sldId")]
    parts = [relations[s].target for s in slides if s in relations and relations[s].target in package]
    people = _people(package, main)
    first = ""
    for number, part in enumerate(parts, 1):
        writing.page()
        heading = _Slide(package, part, facts, writing, number).read(people)
        first = first or heading
        outlet.progress(number, len(parts), "slides")
    enclosed = Enclosed(outlet, facts)
    ooxml_parts.send_inside(package, enclosed, writing)
    enclosed.close()
    return ooxml_parts.finish(package, writing, facts, title or (first if len(first) <= 200 else ""))


def _relation_id(element: Element) -> str:
    """The attribute `id` of the namespace of relations: one without namespace stands beside it."""
    return next((str(v) for k, v in element.attrib.items() if k.startswith("{") and k.endswith("}id")), "")


def _people(package: Package, main: str) -> dict[str, str]:
    found = {}
    for part in package.related(main, "commentAuthors", "authors"):
        for author in descendants(package.xml(part), "cmAuthor", "author"):
            found[attribute(author, "id")] = attribute(author, "name")
    return found


class _Slide:
    def __init__(self, package: Package, part: str, facts: Facts, writing: Writing, number: int) -> None:
        self._package = package
        self._part = part
        self._facts = facts
        self._writing = writing
        self._number = number
        self._relations = package.relations(part)
        self._charts = graphics.of_parts(package, package.related(part, "chart", "diagramData"))

    def read(self, people: dict[str, str]) -> str:
        """Write the slide; returns its title."""
        root = self._package.xml(self._part)
        if root is None:
            return ""
        if attribute(root, "show") in ("0", "false"):
            self._facts.hidden.append(f"slide {self._number}")
            self._writing.paragraph("[hidden slide]")
        tree = child(root, "cSld", "spTree")
        shapes = list(_shapes(tree))
        titles = [shape for shape in shapes if _placeholder(shape) in _TITLES]
        for shape in titles + [shape for shape in shapes if shape not in titles]:
            if _placeholder(shape) not in _MARGINS:
                self._shape(shape)
        for part in self._package.related(self._part, "notesSlide"):
            self._notes(part)
        for part in self._package.related(self._part, "comments"):
            self._comments(part, people)
        return " ".join(" ".join(_paragraphs(t, self._relations)) for t in titles).strip()

    def _shape(self, shape: Element) -> None:
        properties = next(descendants(shape, "cNvPr"), None)
        hidden = properties is not None and attribute(properties, "hidden") in ("1", "true")
        described = attribute(properties, "descr") if properties is not None else ""
        match local(shape):
            case "graphicFrame":
                self._frame(shape)
            case "sp" | "cxnSp":
                lines = _paragraphs(shape, self._relations)
                if hidden and lines:
                    lines = [self._facts.hide(" / ".join(lines))]
                for line in lines:
                    self._writing.line(line)
                self._writing.apart()
        if described and local(shape) == "pic":
            self._writing.paragraph(f"[picture: {described}]")

    def _frame(self, frame: Element) -> None:
        for row in descendants(frame, "tr"):
            self._writing.row(" ".join(_paragraphs(cell, self._relations)) for cell in children(row, "tc"))
        self._writing.apart()
        for element in descendants(frame, "chart", "relIds"):
            relation = self._relations.get(attribute(element, "id" if local(element) == "chart" else "dm"))
            if relation and (said := self._charts.get(relation.target.lower())):
                self._writing.paragraph(said)

    def _notes(self, part: str) -> None:
        lines = []
        for shape in _shapes(child(self._package.xml(part), "cSld", "spTree")):
            if _placeholder(shape) not in (*_MARGINS, "sldImg"):
                lines += _paragraphs(shape, self._package.relations(part))
        if lines:
            self._writing.paragraph("Notes: " + "\n".join(lines))

    def _comments(self, part: str, people: dict[str, str]) -> None:
        for said in descendants(self._package.xml(part), "cm", "reply"):
            text = text_of(child(said, "text")) or "\n".join(_paragraphs(child(said, "txBody"), {}))
            author = people.get(attribute(said, "authorId"), "")
            at = attribute(said, "dt") or attribute(said, "created")
            before = len(self._facts.annotations)
            self._facts.annotate("comment", author, text, at, page=self._number)
            for note in self._facts.annotations[before:]:
                self._writing.paragraph(comment(note))


def _shapes(tree: Element | None) -> Iterator[Element]:
    """The shapes of a slide in their order, those of groups where the group stands."""
    for element in () if tree is None else tree:
        match local(element):
            case "grpSp":
                yield from _shapes(element)
            case "AlternateContent":
                choice = child(element, "Choice")
                yield from _shapes(choice if choice is not None else child(element, "Fallback"))
            case "sp" | "graphicFrame" | "pic" | "cxnSp":
                yield element


def _placeholder(shape: Element) -> str:
    found = next(descendants(shape, "ph"), None)
    return "" if found is None else attribute(found, "type", "body")


def _paragraphs(element: Element | None, relations: dict[str, Relation]) -> list[str]:
    lines = []
    for paragraph in descendants(element, "p"):
        parts = []
        for run in descendants(paragraph, "r", "br", "fld"):
            if local(run) == "br":
                parts.append("\n")
                continue
            text = text_of(child(run, "t"))
            link = child(run, "rPr", "hlinkClick")
            relation = relations.get(_relation_id(link)) if link is not None else None
            beside = relation.external and relation.target not in text if relation else False
            parts.append(f"{text} <{relation.target}>" if relation and beside else text)
        if line := "".join(parts).strip():
            lines.append(line)
    return lines
