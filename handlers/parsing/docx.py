"""Word documents: body, notes, headers, comments and tracked changes in one text."""

from __future__ import annotations

from collections.abc import Iterator

from handlers.parsing import graphics, markup, ooxml_parts
from handlers.parsing.blocks import Block, write
from handlers.parsing.docx_body import Body
from handlers.parsing.docx_numbering import Numbering
from handlers.parsing.enclosed import Enclosed
from handlers.parsing.facts import Facts
from handlers.parsing.markup import Element, attribute, descendants, local
from handlers.parsing.package import Package
from handlers.parsing.parsed import Outlet, Parsed
from handlers.parsing.writing import Writing

_BLOCKS = ("p", "tbl", "sdt", "AlternateContent", "customXml", "ins", "moveTo")
_EVERY = 200
"""Blocks between two reports of progress."""


def read(package: Package, main: str, outlet: Outlet) -> Parsed:
    """Read a Word document; its pages are not known, since only a layout makes them.

    Raises:
        Unreadable: Its main part is missing or unfolds to too much.
    """
    facts, writing = Facts(), Writing()
    title = ooxml_parts.describe(package, facts)
    relations = package.relations(main)
    numbering = Numbering(package, package.related(main, "styles"), package.related(main, "numbering"))
    charts = graphics.of_parts(package, package.related(main, "chart", "diagramData"))
    body = Body(facts, numbering, relations, _notes(package, main), charts)
    margins: set[str] = set()
    for part in package.related(main, "header"):
        _margin(package, part, numbering, facts, writing, margins)
    first = ""
    for count, block in enumerate(_blocks(package, main, body)):
        if not first and block.kind == "heading":
            first = block.text
        write([block], writing)
        if count % _EVERY == _EVERY - 1:
            outlet.progress(count + 1, 0, "paragraphs")
    write(body.endnotes(), writing)
    for part in package.related(main, "footer"):
        _margin(package, part, numbering, facts, writing, margins)
    _comments(package, main, body, numbering, facts)
    facts.write(writing)
    enclosed = Enclosed(outlet, facts)
    ooxml_parts.send_inside(package, enclosed, writing)
    enclosed.close()
    return ooxml_parts.finish(package, writing, facts, title or (first if len(first) <= 200 else ""))


def _blocks(package: Package, main: str, body: Body) -> Iterator[Block]:
    for element in package.stream(main, *_BLOCKS):
        parent = element.getparent()
        if parent is not None and local(parent) == "body":
            yield from body.blocks(element)
            markup.forget(element)


def _notes(package: Package, main: str) -> dict[tuple[str, str], Element]:
    found = {}
    for part in package.related(main, "footnotes", "endnotes"):
        for note in descendants(package.xml(part), "footnote", "endnote"):
            if attribute(note, "type") in ("", "normal"):
                found[local(note), attribute(note, "id")] = note
    return found


def _margin(
    package: Package, part: str, numbering: Numbering, facts: Facts, writing: Writing, written: set[str]
) -> None:
    """A header or footer; one that says the same as another is written once."""
    root = package.xml(part)
    if root is None:
        return
    charts = graphics.of_parts(package, package.related(part, "chart", "diagramData"))
    body = Body(facts, numbering, package.relations(part), {}, charts)
    blocks = [block for element in root for block in body.blocks(element)]
    text = " ".join(" ".join(block.text.split()) for block in blocks)
    if text not in written:
        written.add(text)
        write(blocks, writing)


def _comments(package: Package, main: str, body: Body, numbering: Numbering, facts: Facts) -> None:
    for part in package.related(main, "comments"):
        inner = Body(facts, numbering, package.relations(part), {}, {})
        for comment in descendants(package.xml(part), "comment"):
            text = "\n".join(block.text for element in comment for block in inner.blocks(element))
            on = body.anchors.get(attribute(comment, "id"), "")
            facts.annotate("comment", attribute(comment, "author"), text, attribute(comment, "date"), on=on)
