"""The paragraphs, tables and notes of OpenDocument files, in the order in which they are read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from handlers.parsing.blocks import LONG_CELL, Block, Kind
from handlers.parsing.facts import Facts, comment
from handlers.parsing.markup import Element, attribute, child, children, descendants, forget, local, text_of
from handlers.parsing.package import Package

MOST_REPEATED = 1000
"""Spaces or columns that one element may stand for."""

_SPACE = re.compile(r"[ \t\r\n]+")
_HIDDEN, _SHOWN = "\x0e", "\x0f"
_SKIPPED = frozenset(
    ("tracked-changes", "forms", "sequence-decls", "variable-decls", "user-field-decls", "table-column",
     "table-columns", "table-header-columns", "bookmark", "bookmark-start", "bookmark-end", "change-start",
     "change-end", "soft-page-break", "event-listeners", "image-map", "automatic-styles", "settings",
     "date-time-decl", "footer-decl", "header-decl", "page-thumbnail", "annotation-end",
     "index-title-template")
)  # fmt: skip


class Styles:
    """Which styles hide text, and the headers and footers."""

    def __init__(self, package: Package) -> None:
        self._hidden: set[str] = set()
        self._hidden_pages: set[str] = set()
        self._root = package.xml("styles.xml")
        self._read(self._root)
        for element in package.stream("content.xml", "automatic-styles"):
            self._read(element)
            break

    def margins(self, name: str) -> Iterator[Element]:
        """The different headers or footers of the pages."""
        seen = set()
        for page in descendants(child(self._root, "master-styles"), "master-page"):
            for element in page:
                if local(element) in (name, f"{name}-left", f"{name}-first"):
                    said = "".join(element.itertext())
                    if said.strip() and said not in seen:
                        seen.add(said)
                        yield element

    def is_hidden(self, style: str) -> bool:
        """Whether text of this style is not shown."""
        return style in self._hidden

    def is_hidden_page(self, style: str) -> bool:
        """Whether slides of this style are left out of the show."""
        return style in self._hidden_pages

    def _read(self, root: Element | None) -> None:
        for style in descendants(root, "style"):
            name = attribute(style, "name")
            for properties in style:
                if attribute(properties, "display") == "none":
                    self._hidden.add(name)
                if (
                    local(properties) == "drawing-page-properties"
                    and attribute(properties, "visibility") == "hidden"
                ):
                    self._hidden_pages.add(name)


class Text:
    """Reads blocks; what is found beside the text goes to `facts`."""

    def __init__(self, package: Package, facts: Facts, styles: Styles) -> None:
        self._package = package
        self._facts = facts
        self.styles = styles
        self.page = 0
        self.endnotes: list[Block] = []
        self._pending: list[Block] = []
        self._notes = 0
        self._written = 0
        self._deletions: dict[str, tuple[str, str, str]] = {}

    def body(self) -> Iterator[Block]:
        """The blocks of a text document, while its content is read."""
        for element in self._package.stream("content.xml"):
            parent = element.getparent()
            grand = parent.getparent() if parent is not None else None
            if grand is None or local(grand) != "body" or local(parent) != "text":
                continue
            if local(element) == "tracked-changes":
                self._read_changes(element)
            else:
                yield from self.blocks(element)
            forget(element)

    def blocks(self, element: Element) -> Iterator[Block]:
        """A paragraph, a list, a table or what holds such."""
        name = local(element)
        match name:
            case "p" | "h":
                text = self._paragraph(element)
                if text:
                    yield Block("heading" if name == "h" else "text", text)
                yield from self._drain()
            case "list-item" | "list-header":
                for part in element:
                    for block in self.blocks(part):
                        kind: Kind = "item" if block.kind == "text" else block.kind
                        marked = block.text if block.kind != "text" else f"• {block.text}"
                        yield Block(kind, marked, block.cells)
            case "table":
                yield from self._table(element)
            case "annotation":
                self._annotate(element)
            case "section" if attribute(element, "display") in ("none", "condition"):
                text = "\n".join(block.text for part in element for block in self.blocks(part))
                if text:
                    yield Block("text", self._facts.hide(text))
            case "frame" | "custom-shape" | "rect" | "line" | "g" | "text-box" | "object" | "image":
                yield from self._shape(element)
            case _ if name not in _SKIPPED and name:
                for part in element:
                    yield from self.blocks(part)

    def new_comments(self) -> list[str]:
        """The comments found since the last call, as they are written into the text."""
        found = [comment(note) for note in self._facts.annotations[self._written :]]
        self._written = len(self._facts.annotations)
        return found

    def inline(self, element: Element) -> str:
        """The text of a paragraph or a part of it, with marks around what is hidden."""
        # Line ends and indentation of the file are no text; what is has elements of its own.
        parts = [_SPACE.sub(" ", text_of(element))]
        for part in element:
            parts.append(self._part(part))
            parts.append(_SPACE.sub(" ", part.tail or ""))
        return "".join(parts)

    def _part(self, element: Element) -> str:
        match local(element):
            case "s":
                count = attribute(element, "c", "1")
                return " " * min(int(count) if count.isdecimal() and len(count) < 8 else 1, MOST_REPEATED)
            case "tab":
                return "\t"
            case "line-break":
                return "\n"
            case "note":
                return self._note(element)
            case "annotation":
                self._annotate(element)
                return ""
            case "change":
                return f"\x02{attribute(element, 'change-id')}\x03"
            case "a":
                inner, target = self.inline(element), attribute(element, "href")
                bare = (
                    target.removeprefix("mailto:")
                    .removeprefix("https://")
                    .removeprefix("http://")
                    .rstrip("/")
                )
                return inner if not bare or target.startswith("#") or bare in inner else f"{inner} <{target}>"
            case "span" if self.styles.is_hidden(attribute(element, "style-name")):
                return f"{_HIDDEN}{self.inline(element)}{_SHOWN}"
            case "hidden-text" | "hidden-paragraph":
                return f"{_HIDDEN}{attribute(element, 'string-value') or self.inline(element)}{_SHOWN}"
            case "frame" | "custom-shape" | "rect" | "g" | "line":
                self._pending += self._aside(self._shape(element))
                return ""
            case "ruby-text" | "bookmark" | "":
                return ""
            case "dde-connection":
                self._facts.refer(f"DDE {attribute(element, 'connection-name')}")
        return self.inline(element)

    def _paragraph(self, element: Element) -> str:
        text, gone = _changes(self.inline(element))
        for identity in gone:
            if identity in self._deletions:
                author, at, deleted = self._deletions.pop(identity)
                self._facts.delete(deleted, author, at, text)
        if self.styles.is_hidden(attribute(element, "style-name")):
            text = f"{_HIDDEN}{text.replace(_HIDDEN, '').replace(_SHOWN, '')}{_SHOWN}"
        if _HIDDEN in text:
            text = _marked(text, self._facts)
        return text.strip()

    def _drain(self) -> Iterator[Block]:
        pending, self._pending = self._pending, []
        yield from pending

    def _aside(self, blocks: Iterator[Block]) -> list[Block]:
        """Blocks of their own: what is pending around them stays so."""
        held, self._pending = self._pending, []
        found = [*blocks, *self._drain()]
        self._pending = held
        return found

    def _note(self, element: Element) -> str:
        self._notes += 1
        number = self._notes
        body = child(element, "note-body")
        parts = () if body is None else body
        said = "\n".join(block.text for block in self._aside(b for part in parts for b in self.blocks(part)))
        block = Block("note", f"[{number}] {said}")
        (self.endnotes if attribute(element, "note-class") == "endnote" else self._pending).append(block)
        return f"[{number}]"

    def _annotate(self, element: Element) -> None:
        paragraphs = ["".join(self.inline(p)) for p in descendants(element, "p")]
        self._facts.annotate(
            "comment",
            text_of(child(element, "creator")),
            "\n".join(paragraphs),
            text_of(child(element, "date")),
            page=self.page,
        )

    def _shape(self, element: Element) -> Iterator[Block]:
        """The text of a frame or shape, of a picture what it shows; what lies outside is noted."""
        for part in element:
            match local(part):
                case "desc" | "title" if text_of(part).strip():
                    yield Block("text", f"[picture: {text_of(part).strip()}]")
                case "image" | "object" | "plugin" | "floating-frame" | "applet":
                    target = attribute(part, "href")
                    if "://" in target or target.startswith(("//", "\\\\")):
                        self._facts.refer(f"{local(part)} {target}")
                    yield from self._shape(part)
                case name if name not in _SKIPPED:
                    yield from self.blocks(part)

    def _table(self, table: Element) -> Iterator[Block]:
        for row in _rows(table):
            cells: list[list[Block]] = []
            for cell in row:
                if local(cell) == "table-cell":
                    cells.append(self._aside(block for part in cell for block in self.blocks(part)))
            notes = [block for cell in cells for block in cell if block.kind == "note"]
            cells = [[block for block in cell if block.kind != "note"] for cell in cells]
            texts = [" ".join(block.text for block in cell) for cell in cells]
            filled = [cell for cell in cells if cell]
            if len(filled) == 1 or any(len(text) > LONG_CELL for text in texts):
                for cell in filled:
                    yield from cell
            elif filled:
                yield Block("row", " ".join(texts), tuple(texts))
            yield from notes

    def _read_changes(self, changes: Element) -> None:
        for region in children(changes, "changed-region"):
            deletion = child(region, "deletion")
            if deletion is None:
                continue
            author = text_of(child(deletion, "change-info", "creator"))
            at = text_of(child(deletion, "change-info", "date"))
            text = "\n".join(self.inline(p) for p in descendants(deletion, "p", "h"))
            self._deletions[attribute(region, "id")] = (author, at, text)


def _rows(table: Element) -> Iterator[Element]:
    for element in table:
        if local(element) == "table-row":
            yield element
        elif local(element) in ("table-rows", "table-header-rows", "table-row-group"):
            yield from _rows(element)


def _changes(text: str) -> tuple[str, list[str]]:
    """The text without the marks of deletions, and which stood in it."""
    gone = []
    while "\x02" in text:
        before, _, rest = text.partition("\x02")
        identity, _, after = rest.partition("\x03")
        gone.append(identity)
        text = before + after
    return text, gone


def _marked(text: str, facts: Facts) -> str:
    parts = text.split(_HIDDEN)
    out = [parts[0]]
    for part in parts[1:]:
        hidden, _, shown = part.partition(_SHOWN)
        out.append(facts.hide(hidden) + shown)
    return "".join(out)
