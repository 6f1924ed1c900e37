"""What Word, Excel and PowerPoint files have in common: properties, macros, pictures, what lies outside."""

from __future__ import annotations

from functools import partial

from handlers.parsing import properties
from handlers.parsing.enclosed import Enclosed
from handlers.parsing.facts import Facts
from handlers.parsing.package import Package
from handlers.parsing.parsed import Parsed, Unreadable
from handlers.parsing.writing import Writing

_LINKS = frozenset({"hyperlink"})
"""Their targets stand in the text."""


def describe(package: Package, facts: Facts) -> str:
    """Note properties, macros and what lies outside; returns the title."""
    title = properties.of_package(package, facts)
    if any(name.lower().endswith(("vbaproject.bin", "/macrosheets/sheet1.xml")) for name in package.names):
        facts.known["macros"] = True
    for name in package.names:
        if name.lower().endswith(".rels"):
            folder, _, base = name.rpartition("/")
            owner = f"{folder.removesuffix('_rels')}{base[:-5]}"
            for relation in package.relations(owner if base != ".rels" else "").values():
                if relation.external and relation.kind not in _LINKS:
                    facts.refer(f"{relation.kind} {relation.target}")
    return title


def send_inside(package: Package, enclosed: Enclosed, writing: Writing) -> None:
    """Send pictures and embedded objects; the text of drawings is added to the text."""
    drawn = []
    for name in sorted(package.names):
        low = f"/{name.lower()}"
        if "/media/" in low:
            said = enclosed.picture(name, partial(package.open, name))
            if said and said not in drawn:
                drawn.append(said)
        elif "/embeddings/" in low or "/afchunk" in low:
            enclosed.embedded(name, partial(package.open, name))
    for said in drawn:
        writing.paragraph(f"[drawing: {' '.join(said.split())}]")


def finish(package: Package, writing: Writing, facts: Facts, title: str) -> Parsed:
    """What has been read, with notices about what could not be."""
    if package.damaged:
        named = ", ".join(package.damaged[:5])
        facts.notice(f"the document is damaged in {named}; what could be read of it was read")
    facts.note_left_out(writing)
    text, pages = writing.finish()
    if package.damaged and not text:
        raise Unreadable("the document is damaged: none of its text can be read")
    return Parsed(text=text, pages=pages, title=title, meta=facts.meta())
