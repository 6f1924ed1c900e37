"""Excel workbooks: the sheets with their values as shown, comments, text boxes and charts."""

from __future__ import annotations

import re
from typing import Any

from handlers.parsing import graphics, ooxml_parts
from handlers.parsing.enclosed import Enclosed
from handlers.parsing.facts import Facts
from handlers.parsing.markup import Element, attribute, child, children, descendants, forget, local, text_of
from handlers.parsing.number_format import BUILT_IN, general, shown
from handlers.parsing.package import Package
from handlers.parsing.parsed import Outlet, Parsed
from handlers.parsing.tables import Table, column_name
from handlers.parsing.writing import Writing

MOST_COLUMNS = 16_384
_EVERY = 2_000
"""Rows between two reports of progress."""

_REFERENCE = re.compile(r"([A-Z]{1,3})(\d{1,7})")


class Workbook:
    """What the cells of all sheets refer to."""

    def __init__(self, package: Package, main: str) -> None:
        self.strings: list[str] = []
        for part in package.related(main, "sharedStrings"):
            for item in package.stream(part, "si"):
                self.strings.append(_rich(item))
                forget(item)
        self.formats: list[str] = []
        for part in package.related(main, "styles"):
            self._read_styles(package.xml(part))
        self.from_1904 = False

    def _read_styles(self, root: Element | None) -> None:
        own = {
            f.get("numFmtId"): f.get("formatCode", "") for f in descendants(child(root, "numFmts"), "numFmt")
        }
        for style in children(child(root, "cellXfs"), "xf"):
            number = style.get("numFmtId", "0")
            self.formats.append(own.get(number) or BUILT_IN.get(int(number) if number.isdecimal() else 0, ""))

    def format(self, style: str) -> str:
        """The format code of a cell's style."""
        at = int(style) if style.isdecimal() else 0
        return self.formats[at] if at < len(self.formats) else ""


def read(package: Package, main: str, outlet: Outlet) -> Parsed:
    """Read a workbook sheet by sheet; groups of rows are its pages.

    Raises:
        Unreadable: Its main part is missing or unfolds to too much.
    """
    facts, writing = Facts(), Writing()
    title = ooxml_parts.describe(package, facts)
    workbook = Workbook(package, main)
    root = package.xml(main)
    properties = child(root, "workbookPr")
    workbook.from_1904 = properties is not None and attribute(properties, "date1904") in ("1", "true")
    relations = package.relations(main)
    sheets = list(children(child(root, "sheets"), "sheet"))
    places: list[str] = []
    names = []
    for done, sheet in enumerate(sheets):
        name = attribute(sheet, "name")
        names.append(name)
        state = attribute(sheet, "state")
        relation = relations.get(attribute(sheet, "id"))
        if relation is not None and relation.target in package:
            hidden = state in ("hidden", "veryHidden")
            table = Table(writing, facts, name, places, hidden=hidden)
            _Sheet(package, relation.target, workbook, facts, name).read(table, outlet)
        outlet.progress(done + 1, len(sheets), "sheets")
    _outside(package, facts)
    facts.known["sheets"] = names
    facts.known["places"] = places
    enclosed = Enclosed(outlet, facts)
    ooxml_parts.send_inside(package, enclosed, writing)
    enclosed.close()
    return ooxml_parts.finish(package, writing, facts, title)


class _Sheet:
    def __init__(self, package: Package, part: str, workbook: Workbook, facts: Facts, name: str) -> None:
        self._package = package
        self._part = part
        self._workbook = workbook
        self._facts = facts
        self._name = name

    def read(self, table: Table, outlet: Outlet) -> None:
        number = 0
        for element in self._package.stream(self._part, "row", "col"):
            if local(element) == "col":
                self._column(element)
                continue
            said = element.get("r", "")
            number = int(said) if said.isdecimal() else number + 1
            hidden = element.get("hidden") in ("1", "true")
            cells = self._cells(element)
            table.row(number, cells, hidden=hidden)
            if number % _EVERY == 0:
                outlet.progress(number, 0, "rows")
            forget(element)
        self._beside(table)
        table.close()

    def _column(self, column: Element) -> None:
        if column.get("hidden") in ("1", "true"):
            first, last = (int(column.get(k, "1")) - 1 for k in ("min", "max"))
            self._facts.hidden.append(f"sheet {self._name} columns {column_name(first)}–{column_name(last)}")

    def _cells(self, row: Element) -> list[str]:
        cells: list[str] = []
        for cell in row:
            place = _REFERENCE.match(cell.get("r", ""))
            if place:
                at = 0
                for letter in place[1]:
                    at = 26 * at + ord(letter) - 64
                if at > MOST_COLUMNS:
                    continue
                if at - 1 > len(cells):
                    cells.extend([""] * (at - 1 - len(cells)))
            cells.append(self._value(cell))
        return cells

    def _value(self, cell: Element) -> str:
        value = formula = ""
        for part in cell:
            match local(part):
                case "v":
                    value = part.text or ""
                case "f":
                    formula = part.text or "…"
                case "is":
                    value = _rich(part)
        if not value:
            return f"={formula}" if formula else ""
        match cell.get("t", "n"):
            case "s":
                at = int(value) if value.isdecimal() else -1
                return self._workbook.strings[at] if 0 <= at < len(self._workbook.strings) else ""
            case "b":
                return "TRUE" if value == "1" else "FALSE"
            case "n":
                try:
                    number = float(value)
                except ValueError:
                    return value
                code = self._workbook.format(cell.get("s", "0"))
                return shown(number, code, from_1904=self._workbook.from_1904) if code else general(number)
        return value

    def _beside(self, table: Table) -> None:
        """Comments, text boxes and charts."""
        package = self._package
        people = {
            attribute(person, "id"): attribute(person, "displayName")
            for name in package.names
            if name.lower().startswith("xl/persons/")
            for person in descendants(package.xml(name), "person")
        }
        threads = package.related(self._part, "threadedComment")
        said: list[str] = []
        for part in threads:
            for comment in descendants(package.xml(part), "threadedComment"):
                author = people.get(attribute(comment, "personId"), "")
                at, where = attribute(comment, "dT"), attribute(comment, "ref")
                said.append(self._comment(where, author, text_of(child(comment, "text")), at))
        if not threads:
            for part in package.related(self._part, "comments"):
                root = package.xml(part)
                authors = [text_of(author) for author in descendants(root, "author")]
                for comment in descendants(root, "comment"):
                    index = comment.get("authorId", "")
                    author = authors[int(index)] if index.isdecimal() and int(index) < len(authors) else ""
                    said.append(
                        self._comment(comment.get("ref", ""), author, _rich(child(comment, "text")), "")
                    )
        for part in package.related(self._part, "drawing"):
            root = package.xml(part)
            said.append(graphics.paragraphs(root))
            charts = package.related(part, "chart", "diagramData")
            said.extend(graphics.of_parts(package, charts).values())
        table.note("\n\n".join(text for text in said if text.strip()))

    def _comment(self, where: str, author: str, text: str, at: str) -> str:
        if not text.strip():
            return ""
        note: dict[str, Any] = {
            "page": 0,
            "kind": "comment",
            "author": author,
            "text": text.strip(),
            "at": at,
        }
        self._facts.annotations.append(note | {"on": f"{self._name}!{where}"})
        by = f" by {author}" if author else ""
        return f"Comment on {where}{by}{', ' + at if at else ''}: {text.strip()}"


def _rich(item: Element | None) -> str:
    """A string with its runs, without the readings of Japanese words."""
    if item is None:
        return ""
    parts = []
    for part in item:
        match local(part):
            case "t":
                parts.append(part.text or "")
            case "r":
                parts.extend(t.text or "" for t in children(part, "t"))
    return "".join(parts)


def _outside(package: Package, facts: Facts) -> None:
    """Links to programs (DDE) and databases; links to files are among the relations."""
    for name in package.names:
        low = name.lower()
        if low.startswith("xl/externallinks/") and low.endswith(".xml"):
            for link in descendants(package.xml(name), "ddeLink"):
                facts.refer(f"DDE {attribute(link, 'ddeService')} {attribute(link, 'ddeTopic')}")
        elif low == "xl/connections.xml":
            for link in descendants(package.xml(name), "dbPr", "webPr", "textPr"):
                target = (
                    attribute(link, "connection") or attribute(link, "url") or attribute(link, "sourceFile")
                )
                facts.refer(f"connection {target}")
        elif low.startswith("xl/pivotcache/pivotcacherecords"):
            facts.notice("it keeps a copy of the data of a pivot table, which is not read")
