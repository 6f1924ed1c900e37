"""Who made a document, when and with what, as the document says itself."""

from __future__ import annotations

import re
import struct
from datetime import UTC, datetime

import olefile

from handlers.parsing import markup
from handlers.parsing.facts import Facts, shorten
from handlers.parsing.package import Package

_CORE = {
    "creator": "author",
    "lastModifiedBy": "last_modified_by",
    "created": "created",
    "modified": "modified",
    "lastPrinted": "printed",
    "subject": "subject",
    "keywords": "keywords",
    "description": "description",
    "category": "category",
    "revision": "revision",
}
_APP = {"Application": "producer", "Company": "company", "Manager": "manager", "Template": "template"}

# Names that programs give to a document that has none.
_NO_TITLE = re.compile(
    r"(?:document|dokument|untitled|unbenannt|title|titel|presentation|powerpoint presentation|slide|sheet"
    r"|folie|book|mappe|microsoft \w+ - .*|.*\.(?:docx?|dotx?|xlsx?|pptx?|odt|ods|odp|rtf|wpd))\s*\d*$",
    re.IGNORECASE,
)


def titled(said: str) -> str:
    """A title that says something, in one line; "" for one that a program has set."""
    said = shorten(said, 300)
    return "" if _NO_TITLE.match(said) else said


def of_package(package: Package, facts: Facts) -> str:
    """Note an OOXML document's properties; returns its title."""
    title = ""
    for part in package.related("", "core-properties") or ["docProps/core.xml"]:
        for element in () if (root := package.xml(part)) is None else root:
            name, value = markup.local(element), markup.text_of(element)
            if name == "title":
                title = value
            elif name in _CORE:
                facts.know(_CORE[name], value)
    for part in package.related("", "extended-properties") or ["docProps/app.xml"]:
        for element in () if (root := package.xml(part)) is None else root:
            name = markup.local(element)
            if name in _APP and not markup.text_of(element).startswith("Normal"):
                facts.know(_APP[name], markup.text_of(element))
    return titled(title)


def of_ole(ole: olefile.OleFileIO, facts: Facts) -> str:
    """Note the properties of a document of Office 97-2003; returns its title."""
    try:
        said = ole.get_metadata()
    except (
        OSError,
        ValueError,
        struct.error,
        IndexError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
    ):
        facts.notice("its properties are damaged")
        return ""
    codec = f"cp{(said.codepage or 1252) & 0xFFFF}"
    for name, value in (
        ("author", said.author),
        ("last_modified_by", said.last_saved_by),
        ("created", said.create_time),
        ("modified", said.last_saved_time),
        ("printed", said.last_printed),
        ("subject", said.subject),
        ("keywords", said.keywords),
        ("description", said.comments),
        ("company", said.company),
        ("manager", said.manager),
        ("template", said.template),
        ("producer", said.creating_application),
        ("revision", said.revision_number),
    ):
        facts.know(name, _shown(value, codec))
    return titled(_shown(said.title, codec))


def _shown(value: object, codec: str) -> str:
    if isinstance(value, datetime):
        # The year 1601 is how "never" is written.
        return value.replace(tzinfo=UTC).isoformat() if value.year > 1601 else ""
    if isinstance(value, bytes):
        for name in ("utf-8" if codec == "cp65001" else codec, "cp1252", "latin-1"):
            try:
                return value.decode(name).strip("\x00 ")
            except (LookupError, UnicodeDecodeError):
                continue
    return "" if value is None else str(value).strip("\x00 ")
