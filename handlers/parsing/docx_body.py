"""The paragraphs and tables of a Word document, in the order in which they are read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from handlers.parsing import markup
from handlers.parsing.blocks import LONG_CELL, Block, Kind
from handlers.parsing.docx_numbering import Numbering, Style, is_on
from handlers.parsing.facts import Facts
from handlers.parsing.markup import Element, attribute, child, local
from handlers.parsing.package import Relation

_SKIPPED = frozenset(
    ("pPr", "rPr", "tblPr", "tblGrid", "trPr", "tcPr", "sdtPr", "sdtEndPr", "bookmarkStart", "bookmarkEnd",
     "proofErr", "Fallback", "sectPr", "softHyphen", "lastRenderedPageBreak", "annotationRef", "footnoteRef",
     "endnoteRef", "separator", "continuationSeparator", "customXmlPr", "smartTagPr", "ctrlPr", "del",
     "moveFrom")
)  # fmt: skip
_MARKS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_OUTSIDE = re.compile(
    r"\s*(?:INCLUDEPICTURE|INCLUDETEXT|INCLUDE|DDE|DDEAUTO|LINK|IMPORT|RD|DATABASE)\b", re.I
)
_LINK = re.compile(r'\s*HYPERLINK\s+(?!\\)"?([^"\s]+)', re.IGNORECASE)

_DELETED, _HIDE, _SHOW = "\x02", "\x0e", "\x0f"
"""Marks within a paragraph while it is read; such characters cannot stand in a document."""
_HIDDEN = re.compile(f"{_HIDE}([^{_SHOW}]*){_SHOW}")

Gone = list[tuple[str, str, str]]
"""Author, time and text of what was deleted from a paragraph."""


class Body:
    """Reads the blocks of one part; what is found beside the text goes to `facts`.

    Args:
        relations: What the part refers to.
        notes: Footnotes and endnotes by kind and id.
        charts: The text of charts and diagrams by the names of their parts, in lower case.
    """

    def __init__(
        self,
        facts: Facts,
        numbering: Numbering,
        relations: dict[str, Relation],
        notes: dict[tuple[str, str], Element],
        charts: dict[str, str],
    ) -> None:
        self._facts = facts
        self._numbering = numbering
        self._relations = relations
        self._notes = notes
        self._charts = charts
        self._note_count = 0
        self._pending: list[Block] = []
        self._endnotes: list[Block] = []
        self._fields: list[str] = []
        self._commented: dict[str, list[str]] = {}
        self.anchors: dict[str, str] = {}
        """What each comment, by its id, is on."""

    def blocks(self, element: Element) -> Iterator[Block]:
        """A paragraph, a table or what holds such."""
        match local(element):
            case "p":
                yield from self._paragraph(element)
                yield from self._drain()
            case "tbl":
                for row in self._rows(element):
                    yield from self._row(row)
                    yield from self._drain()
            case "AlternateContent":
                for part in self._chosen(element):
                    yield from self.blocks(part)
            case name if name not in _SKIPPED:
                for part in element:
                    yield from self.blocks(part)

    def endnotes(self) -> list[Block]:
        """The endnotes that have been referred to."""
        return self._endnotes

    def _drain(self) -> Iterator[Block]:
        """What hangs on the last block: text boxes and footnotes."""
        while self._pending:
            pending, self._pending = self._pending, []
            yield from pending

    def _paragraph(self, paragraph: Element) -> Iterator[Block]:
        properties = child(paragraph, "pPr")
        named = child(properties, "pStyle")
        style = self._numbering.style(attribute(named, "val") if named is not None else "")
        label = self._numbering.label(properties, style)
        gone: Gone = []
        text = self._marked(self._text(paragraph, style, gone)).strip()
        for author, at, deleted in gone:
            self._facts.delete(deleted, author, at, text)
        if not text:
            return
        outline = child(properties, "outlineLvl")
        heading = style.heading or (outline is not None and attribute(outline, "val") in "012345678")
        kind: Kind = "heading" if heading else "text" if label is None else "item"
        yield Block(kind, f"{label} {text}" if label else text)

    def _marked(self, text: str) -> str:
        """Hidden text in brackets, run after run as one."""
        text = re.sub(f"{_SHOW}(\\s*){_HIDE}", r"\1", text.replace(_DELETED, ""))
        return _HIDDEN.sub(lambda found: self._facts.hide(found[1]), text)

    def _text(self, parent: Element, style: Style, gone: Gone) -> str:
        out: list[str] = []
        self._walk(parent, style, out, gone)
        return "".join(out)

    def _walk(self, parent: Element, style: Style, out: list[str], gone: Gone) -> None:
        for element in parent:
            name = local(element)
            match name:
                case "r":
                    self._run(element, style, out, gone)
                case "del" | "moveFrom":
                    self._deleted(element, out, gone)
                case "hyperlink":
                    inner = self._text(element, style, gone)
                    relation = self._relations.get(attribute(element, "id"))
                    out.append(inner + _beside(inner, relation.target if relation else ""))
                case "fldSimple":
                    self._field(attribute(element, "instr"))
                    self._walk(element, style, out, gone)
                case "commentRangeStart":
                    self._commented[attribute(element, "id")] = []
                case "commentRangeEnd":
                    identity = attribute(element, "id")
                    self.anchors[identity] = "".join(self._commented.pop(identity, ()))
                case "oMath" | "oMathPara":
                    self._emit("".join(markup.text_of(t) for t in markup.descendants(element, "t")), out)
                case "AlternateContent":
                    for part in self._chosen(element):
                        self._walk(part, style, out, gone)
                case _ if name not in _SKIPPED:
                    self._walk(element, style, out, gone)

    def _emit(self, text: str, out: list[str]) -> None:
        out.append(text)
        for on in self._commented.values():
            on.append(text)

    def _run(self, run: Element, style: Style, out: list[str], gone: Gone) -> None:
        properties = child(run, "rPr")
        hidden = False
        if properties is not None:
            named = child(properties, "rStyle")
            own = named is not None and self._numbering.style(attribute(named, "val")).hidden
            said = child(properties, "vanish") is not None
            hidden = is_on(properties, "vanish") if said else own or style.hidden
        else:
            hidden = style.hidden
        written: list[str] = []
        for element in run:
            self._piece(element, style, written, gone)
        text = "".join(written)
        self._emit(f"{_HIDE}{text}{_SHOW}" if hidden and text else text, out)

    def _piece(self, element: Element, style: Style, out: list[str], gone: Gone) -> None:
        match local(element):
            case "t":
                out.append(markup.text_of(element))
            case "tab" | "ptab" | "br" | "cr" | "noBreakHyphen" as mark:
                out.append(_MARKS[mark])
            case "sym":
                code = attribute(element, "char")
                value = int(code, 16) if re.fullmatch("[0-9A-Fa-f]{1,5}", code) else 0
                out.append(chr(value) if 0x20 < value < 0xE000 else "•")
            case "footnoteReference" | "endnoteReference" as kind:
                out.append(self._note(kind.removesuffix("Reference"), attribute(element, "id")))
            case "fldChar":
                self._mark_field(element, out)
            case "instrText":
                if self._fields:
                    self._fields[-1] += markup.text_of(element)
            case "drawing" | "pict" | "object":
                self._drawing(element)
            case "AlternateContent":
                for part in self._chosen(element):
                    self._piece(part, style, out, gone)
            case "Choice" | "ruby" | "rt" | "rubyBase":
                for part in element:
                    if local(part) == "r":
                        self._run(part, style, out, gone)
                    else:
                        self._piece(part, style, out, gone)

    def _deleted(self, element: Element, out: list[str], gone: Gone) -> None:
        names = ("delText", "t", "tab", "br")
        text = "".join(
            markup.text_of(e) or _MARKS.get(local(e), "") for e in markup.descendants(element, *names)
        )
        author, at = attribute(element, "author"), attribute(element, "date")
        last = gone[-1] if gone else None
        # Word splits one deletion into many runs; only what is visible parts them.
        if last and last[:2] == (author, at) and "".join(out).endswith(_DELETED):
            gone[-1] = (author, at, last[2] + text)
        else:
            gone.append((author, at, text))
            out.append(_DELETED)

    def _mark_field(self, element: Element, out: list[str]) -> None:
        match attribute(element, "fldCharType"):
            case "begin":
                self._fields.append("")
                for box in markup.descendants(element, "checkBox"):
                    chosen = child(box, "checked")
                    ticked = is_on(box, "checked") if chosen is not None else is_on(box, "default")
                    out.append("☒" if ticked else "☐")
            case "end" if self._fields:
                instruction = self._fields.pop()
                self._field(instruction)
                if link := _LINK.match(instruction):
                    out.append(_beside("".join(out), link[1]))

    def _field(self, instruction: str) -> None:
        if _OUTSIDE.match(instruction):
            self._facts.refer(f"field {instruction.strip()}")

    def _note(self, kind: str, identity: str) -> str:
        note = self._notes.get((kind, identity))
        if note is None:
            return ""
        self._note_count += 1
        number = self._note_count
        inner = Body(self._facts, self._numbering, self._relations, {}, self._charts)
        said = "\n".join(block.text for part in note for block in inner.blocks(part))
        (self._endnotes if kind == "endnote" else self._pending).append(Block("note", f"[{number}] {said}"))
        return f"[{number}]"

    def _drawing(self, drawing: Element) -> None:
        """Text boxes are read after the paragraph that holds them; pictures say what they show."""
        for element in markup.descendants(drawing, "docPr", "txbxContent", "textpath", "chart", "relIds"):
            match local(element):
                case "docPr" if described := attribute(element, "descr"):
                    self._pending.append(Block("text", f"[picture: {described}]"))
                case "textpath" if said := attribute(element, "string"):
                    self._pending.append(Block("text", said))
                case "txbxContent" if not any(local(e) == "Fallback" for e in element.iterancestors()):
                    held, self._pending = self._pending, []
                    inner = [block for part in element for block in self.blocks(part)]
                    self._pending = held + inner
                case "chart" | "relIds" as name:
                    identity = attribute(element, "id" if name == "chart" else "dm")
                    relation = self._relations.get(identity)
                    if relation and (said := self._charts.get(relation.target.lower(), "")):
                        self._pending.append(Block("text", said))

    def _chosen(self, alternatives: Element) -> list[Element]:
        """Of several ways to say the same, the newest."""
        return list(markup.children(alternatives, "Choice"))[:1] or list(
            markup.children(alternatives, "Fallback")
        )

    def _rows(self, table: Element) -> Iterator[Element]:
        for element in table:
            if local(element) == "tr":
                yield element
            elif local(element) not in _SKIPPED:
                yield from self._rows(element)

    def _row(self, row: Element) -> Iterator[Block]:
        held, self._pending = self._pending, []
        cells = [self._cell(cell) for cell in markup.descendants(row, "tc") if _row_of(cell) is row]
        self._pending = held + self._pending
        filled = [cell for cell in cells if cell]
        texts = [" ".join(block.text for block in cell) for cell in cells]
        if len(filled) == 1 or any(len(text) > LONG_CELL for text in texts):
            for cell in filled:
                yield from cell
        elif filled:
            yield Block("row", " ".join(texts), tuple(texts))

    def _cell(self, cell: Element) -> list[Block]:
        notes: list[Block] = []
        found: list[Block] = []
        for part in cell:
            for block in self.blocks(part):
                (notes if block.kind == "note" else found).append(block)
        self._pending += notes
        return found


def _row_of(cell: Element) -> Element | None:
    return next((e for e in cell.iterancestors() if local(e) == "tr"), None)


def _beside(text: str, target: str) -> str:
    """The address of a link, unless its text says it."""
    bare = re.sub(r"^(?:mailto:|https?://(?:www\.)?)", "", target).rstrip("/")
    return f" <{target}>" if bare and not target.startswith("#") and bare not in text else ""
