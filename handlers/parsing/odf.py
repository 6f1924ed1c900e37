"""OpenDocument files: texts, spreadsheets, presentations and drawings, also encrypted ones."""

from __future__ import annotations

from functools import partial

from handlers.parsing.blocks import write
from handlers.parsing.enclosed import Enclosed
from handlers.parsing.facts import Facts
from handlers.parsing.markup import Element, attribute, descendants, forget, local, text_of
from handlers.parsing.odf_locked import Unlocked
from handlers.parsing.odf_sheets import read_sheets
from handlers.parsing.odf_text import Styles, Text
from handlers.parsing.package import Package
from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable
from handlers.parsing.properties import titled
from handlers.parsing.writing import Writing

_PROPERTIES = {"initial-creator": "author", "creator": "last_modified_by", "creation-date": "created",
               "date": "modified", "print-date": "printed", "generator": "producer", "subject": "subject",
               "keyword": "keywords", "description": "description"}  # fmt: skip

_PAGED = ("spreadsheet", "presentation", "graphics")


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read an OpenDocument file; slides, drawings' pages and groups of rows are its pages.

    Raises:
        PasswordNeeded: It is encrypted, and there is no password or it is wrong.
        Unreadable: It is damaged, of another kind, or unfolds to too much.
    """
    with open(source.path, "rb") as file:
        package = Unlocked(file, source.password)
        inner = package.whole
        if inner is not None:
            package = Unlocked(inner, "")
        return _read(package, outlet)


def _read(package: Package, outlet: Outlet) -> Parsed:
    facts, writing = Facts(), Writing()
    title = _describe(package, facts)
    if "content.xml" not in package:
        raise Unreadable("this is no OpenDocument file, or its content is missing")
    styles = Styles(package)
    text = Text(package, facts, styles)
    kind = _kind(package)
    match kind:
        case "spreadsheet":
            read_sheets(package, text, facts, writing, outlet)
        case "presentation" | "graphics":
            _slides(package, text, facts, writing, outlet)
        case _:
            margins = [block for element in styles.margins("header") for block in text.blocks(element)]
            write(margins, writing)
            first = ""
            for block in text.body():
                first = first or (block.text if block.kind == "heading" else "")
                write([block], writing)
            write(text.endnotes, writing)
            write([block for element in styles.margins("footer") for block in text.blocks(element)], writing)
            title = title or (first if len(first) <= 200 else "")
            facts.write(writing)
    enclosed = Enclosed(outlet, facts)
    _send_inside(package, enclosed, writing)
    enclosed.close()
    if package.damaged:
        facts.notice("the document is damaged; what could be read of it was read")
    facts.note_left_out(writing)
    said, pages = writing.finish()
    if package.damaged and not said:
        raise Unreadable("the document is damaged: none of its text can be read")
    return Parsed(text=said, pages=pages, title=title, meta=facts.meta())


def _kind(package: Package) -> str:
    """What the document says that it is; its list of parts repeats it."""
    said = package.content("mimetype").decode("latin-1") if "mimetype" in package else ""
    if "opendocument" not in said:
        entries = descendants(package.xml("META-INF/manifest.xml"), "file-entry")
        said = next((attribute(e, "media-type") for e in entries if attribute(e, "full-path") == "/"), "")
    return next((kind for kind in _PAGED if kind in said), "text")


def _describe(package: Package, facts: Facts) -> str:
    title = ""
    for element in () if (root := package.xml("meta.xml")) is None else root:
        for found in element:
            name = local(found)
            if name == "title":
                title = text_of(found)
            elif name in _PROPERTIES:
                facts.know(_PROPERTIES[name], text_of(found))
            elif name == "template" and (target := attribute(found, "href")):
                facts.know("template", target)
                if "://" in target:
                    facts.refer(f"template {target}")
    low = [name.lower() for name in package.names]
    if any(n.startswith(("basic/", "scripts/")) and not n.endswith((".xlc", "script-lc.xml")) for n in low):
        facts.known["macros"] = True
    return titled(title)


def _slides(package: Package, text: Text, facts: Facts, writing: Writing, outlet: Outlet) -> None:
    number = 0
    for page in package.stream("content.xml", "page"):
        number += 1
        writing.page()
        if text.styles.is_hidden_page(attribute(page, "style-name")):
            facts.hidden.append(f"slide {number}")
            writing.paragraph("[hidden slide]")
        text.page = number
        notes: list[Element] = []
        for element in page:
            if local(element) == "notes":
                notes.append(element)
                continue
            write(text.blocks(element), writing)
        for note in notes:
            said = "\n".join(block.text for block in text.blocks(note) if block.text.strip())
            writing.paragraph(f"Notes: {said}" if said else "")
        for said in text.new_comments():
            writing.paragraph(said)
        forget(page)
        outlet.progress(number, 0, "slides")


def _send_inside(package: Package, enclosed: Enclosed, writing: Writing) -> None:
    drawn = []
    for name in sorted(package.names):
        low = name.lower()
        if low.startswith(("pictures/", "media/")) or "/pictures/" in low:
            if said := enclosed.picture(name, partial(package.open, name)):
                drawn.append(said)
        elif low.startswith("object ") and "/" not in low:
            enclosed.embedded(name, partial(package.open, name))
        elif low.startswith("object ") and low.endswith("/content.xml"):
            said = _object_text(package.xml(name))
            if said:
                drawn.append(said)
    for said in dict.fromkeys(drawn):
        writing.paragraph(f"[drawing: {' '.join(said.split())}]")


def _object_text(root: Element | None) -> str:
    """What a chart or formula inside says."""
    return "\n".join(
        " ".join("".join(element.itertext()).split()) for element in descendants(root, "p", "annotation")
    )
