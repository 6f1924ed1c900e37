"""XML from untrusted files: nothing outside is fetched, no entity is expanded, namespaces do not matter.

Office formats come in two editions with the same names in different namespaces, so that elements and
attributes are told by their local names here.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import IO, Any

from lxml import etree

Element = Any
"""An element of lxml, which has no types of its own."""

_SAFE = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}


@lru_cache(maxsize=1 << 12)
def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def local(element: Element) -> str:
    """The element's name without namespace; "" for comments and the like."""
    tag = element.tag
    return _local(tag) if isinstance(tag, str) else ""


def attribute(element: Element, name: str, default: str = "") -> str:
    """An attribute by its local name."""
    for key, value in element.attrib.items():
        if _local(key) == name:
            return str(value)
    return default


def child(element: Element | None, *path: str) -> Element | None:
    """The first descendant along a path of local names."""
    for name in path:
        if element is None:
            return None
        element = next((e for e in element if local(e) == name), None)
    return element


def children(element: Element | None, name: str) -> Iterator[Element]:
    """Those directly below that have this name."""
    return (e for e in (() if element is None else element) if local(e) == name)


def descendants(element: Element | None, *names: str) -> Iterator[Element]:
    """All below that have one of these names, in the order of the document."""
    return (e for e in (() if element is None else element.iter()) if local(e) in names)


def text_of(element: Element | None) -> str:
    """What stands in an element, without that of the elements below."""
    return "" if element is None else str(element.text or "")


def parse(content: bytes) -> tuple[Element | None, bool]:
    """The root of a document, and whether it is damaged; of a damaged one what can be read."""
    try:
        return etree.fromstring(content, etree.XMLParser(**_SAFE)), False
    except etree.XMLSyntaxError:
        pass
    try:
        return etree.fromstring(content, etree.XMLParser(recover=True, **_SAFE)), True
    except etree.XMLSyntaxError:
        return None, True


def stream(file: IO[bytes], *names: str) -> Iterator[Element]:
    """The elements with these local names, or all, as they end; the caller forgets what it has seen.

    Raises:
        lxml.etree.XMLSyntaxError: The document is damaged; all that could be read has been given.
    """
    tags = [f"{{*}}{name}" for name in names]
    reading = etree.iterparse(file, events=("end",), tag=tags or None, recover=True, **_SAFE)
    for _, element in reading:
        yield element
    if reading.error_log:
        raise etree.XMLSyntaxError("damaged", 0, 0, 0)


def forget(element: Element) -> None:
    """Free an element that has been read and what stood before it."""
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]
