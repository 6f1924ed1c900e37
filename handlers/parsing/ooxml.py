"""Office documents that are ZIP archives (OOXML): which kind, what they hold besides, what they refer to."""

from __future__ import annotations

import importlib

from handlers.parsing import properties
from handlers.parsing.facts import Facts
from handlers.parsing.inside import Inside
from handlers.parsing.opened import opened
from handlers.parsing.package import Package
from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable
from handlers.parsing.writing import MAX_CHARACTERS, Writing

_MODULES = (("wordprocessingml", "docx"), ("ms-word", "docx"), ("spreadsheetml", "xlsx"), ("ms-excel", "xlsx"),
            ("presentationml", "pptx"), ("ms-powerpoint", "pptx"))  # fmt: skip
_FOLDERS = (("word/document.xml", "docx"), ("xl/workbook.xml", "xlsx"), ("ppt/presentation.xml", "pptx"))

_PICTURE_FOLDERS = ("/media/",)
_OBJECT_FOLDERS = ("/embeddings/",)
_LINKS = frozenset({"hyperlink"})


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read a Word, Excel or PowerPoint file of 2007 and later, also an encrypted one.

    Raises:
        PasswordNeeded: It is encrypted, and there is no password or it is wrong.
        Unreadable: It is damaged, of another kind, or unfolds to too much.
    """
    with opened(source) as file:
        package = Package(file)
        module, main = _kind(package)
        reader = importlib.import_module(f"handlers.parsing.{module}")
        parsed = reader.read(package, main, outlet)
        assert isinstance(parsed, Parsed)
        return parsed


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


def send_inside(package: Package, inside: Inside, writing: Writing) -> None:
    """Send pictures and embedded objects; the text of drawings is added to the text."""
    drawn = []
    for name in sorted(package.names):
        low = f"/{name.lower()}"
        if any(folder in low for folder in _PICTURE_FOLDERS):
            said = inside.picture(name, lambda name=name: package.open(name))
            if said and said not in drawn:
                drawn.append(said)
        elif any(folder in low for folder in _OBJECT_FOLDERS) or "/afchunk" in low:
            inside.object(name, lambda name=name: package.open(name))
    for said in drawn:
        writing.paragraph(f"[drawing: {' '.join(said.split())}]")


def finish(package: Package, writing: Writing, facts: Facts, title: str) -> Parsed:
    """What has been read, with notices about what could not be."""
    if package.damaged:
        named = ", ".join(dict.fromkeys(package.damaged[:5]))
        facts.notice(f"the document is damaged in {named}; what could be read of it was read")
    if writing.left_out:
        facts.known["left_out"] = facts.known.get("left_out", 0) + writing.left_out
        facts.notice(
            f"{writing.left_out:,} paragraphs or rows beyond {MAX_CHARACTERS:,} characters were left out"
        )
    text, pages = writing.finish()
    if package.damaged and not text:
        raise Unreadable("the document is damaged: none of its text can be read")
    return Parsed(text=text, pages=pages, title=title, meta=facts.meta())


def _kind(package: Package) -> tuple[str, str]:
    """The module that reads a package, and the package's main part."""
    types = {}
    root = package.xml("[Content_Types].xml")
    for override in () if root is None else root:
        types[override.get("PartName", "").lstrip("/").lower()] = override.get("ContentType", "")
    for main in package.related("", "officeDocument"):
        said = types.get(main.lower(), "")
        if "sheet.binary" in said or main.lower().endswith(".bin"):
            raise Unreadable("this is a binary Excel workbook (.xlsb); save it as .xlsx and upload that")
        for sign, module in _MODULES:
            if sign in said.lower():
                return module, main
    for main, module in _FOLDERS:
        if main in package:
            return module, main
    if any(name.lower().startswith("visio/") for name in package.names):
        raise Unreadable("this is a Visio drawing, which cannot be read; save it as PDF and upload that")
    raise Unreadable("this is no Word, Excel or PowerPoint document, or its main part is missing")
