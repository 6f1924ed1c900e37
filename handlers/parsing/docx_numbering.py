"""The styles of a Word document, and the numbers that it gives to headings and lists by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

from handlers.parsing import markup
from handlers.parsing.markup import Element
from handlers.parsing.package import Package

_BULLETS = {"bullet", "none"}
_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"),
          (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))  # fmt: skip
_HEADING = re.compile(r"(?:heading|title|überschrift|titre|título|rubrik|kop)\s*\d*$", re.IGNORECASE)
_MOST_BASES = 20


@dataclass(frozen=True)
class Style:
    """What a style says about its paragraphs and runs; "" where it says nothing."""

    name: str = ""
    base: str = ""
    heading: bool = False
    number: str = ""
    level: str = ""
    hidden: bool = False


@dataclass(frozen=True)
class _Level:
    form: str
    text: str
    start: int


class Numbering:
    """Styles by id, and the running numbers of every list."""

    def __init__(self, package: Package, styles: list[str], numberings: list[str]) -> None:
        self._styles = {s: style for part in styles for s, style in _styles(package.xml(part))}
        self._lists: dict[str, str] = {}
        self._levels: dict[tuple[str, int], _Level] = {}
        self._overrides: dict[tuple[str, int], int] = {}
        self._counts: dict[str, dict[int, int]] = {}
        self._begun: set[tuple[str, int]] = set()
        for part in numberings:
            self._read(package.xml(part))

    def style(self, name: str) -> Style:
        """A style with what it takes over from those that it is based on."""
        found = self._styles.get(name, Style())
        base = found
        for _ in range(_MOST_BASES):
            if not base.base or base.base not in self._styles:
                break
            base = self._styles[base.base]
            found = Style(
                found.name,
                "",
                found.heading or base.heading,
                found.number or base.number,
                found.level or base.level,
                found.hidden or base.hidden,
            )
        return found

    def label(self, properties: Element | None, style: Style) -> str | None:
        """The number or bullet before a paragraph; None where it is in no list."""
        chosen = markup.child(properties, "numPr")
        number = _value(markup.child(chosen, "numId")) or style.number
        level_said = _value(markup.child(chosen, "ilvl")) or style.level or "0"
        if not number or number == "0" or number not in self._lists:
            return None
        level = int(level_said) if level_said.isdecimal() else 0
        abstract = self._lists[number]
        counts = self._counts.setdefault(abstract, {})
        if (number, level) in self._overrides and (number, level) not in self._begun:
            counts.pop(level, None)
        self._begun.add((number, level))
        own = self._levels.get((abstract, level), _Level("decimal", f"%{level + 1}.", 1))
        start = self._overrides.get((number, level), own.start)
        counts[level] = counts[level] + 1 if level in counts else start
        for deeper in [k for k in counts if k > level]:
            del counts[deeper]
        if own.form in _BULLETS:
            return "•" if own.form == "bullet" else ""
        return re.sub(r"%(\d)", lambda found: self._number(abstract, counts, int(found[1]) - 1), own.text)

    def _number(self, abstract: str, counts: dict[int, int], level: int) -> str:
        said = self._levels.get((abstract, level), _Level("decimal", "", 1))
        return numeral(counts.get(level, said.start), said.form)

    def _read(self, root: Element | None) -> None:
        for abstract in markup.children(root, "abstractNum"):
            identity = markup.attribute(abstract, "abstractNumId")
            for level in markup.children(abstract, "lvl"):
                at = _whole(markup.attribute(level, "ilvl"), 0)
                self._levels[identity, at] = _Level(
                    _value(markup.child(level, "numFmt")) or "decimal",
                    _value(markup.child(level, "lvlText")),
                    _whole(_value(markup.child(level, "start")), 1),
                )
        for number in markup.children(root, "num"):
            identity = markup.attribute(number, "numId")
            self._lists[identity] = _value(markup.child(number, "abstractNumId"))
            for override in markup.children(number, "lvlOverride"):
                start = _value(markup.child(override, "startOverride"))
                if start:
                    at = _whole(markup.attribute(override, "ilvl"), 0)
                    self._overrides[identity, at] = _whole(start, 1)


def numeral(count: int, form: str) -> str:
    """A running number as it is written in a list.

    >>> [numeral(4, form) for form in ("decimal", "upperRoman", "lowerLetter", "decimalZero")]
    ['4', 'IV', 'd', '04']
    """
    match form:
        case "upperRoman" | "lowerRoman":
            left, said = min(max(count, 0), 5000), ""
            for value, letters in _ROMAN:
                said += letters * (left // value)
                left %= value
            return said.upper() if form == "upperRoman" else said
        case "upperLetter" | "lowerLetter":
            letter = chr(ord("a") + (max(count, 1) - 1) % 26) * min((max(count, 1) - 1) // 26 + 1, 10)
            return letter.upper() if form == "upperLetter" else letter
        case "decimalZero":
            return f"{count:02d}"
        case "none":
            return ""
    return str(count)


def is_on(properties: Element | None, name: str) -> bool:
    """Whether a property that can be on or off, such as `vanish`, is on."""
    found = markup.child(properties, name)
    return found is not None and markup.attribute(found, "val", "1").lower() not in ("0", "false", "off")


def _styles(root: Element | None) -> list[tuple[str, Style]]:
    found = []
    for style in markup.children(root, "style"):
        name = _value(markup.child(style, "name"))
        paragraph, run = markup.child(style, "pPr"), markup.child(style, "rPr")
        outline = _value(markup.child(paragraph, "outlineLvl"))
        found.append(
            (
                markup.attribute(style, "styleId"),
                Style(
                    name,
                    _value(markup.child(style, "basedOn")),
                    bool(_HEADING.match(name)) or (outline.isdecimal() and int(outline) < 9),
                    _value(markup.child(paragraph, "numPr", "numId")),
                    _value(markup.child(paragraph, "numPr", "ilvl")),
                    is_on(run, "vanish"),
                ),
            )
        )
    return found


def _value(element: Element | None) -> str:
    return "" if element is None else markup.attribute(element, "val")


def _whole(said: str, default: int) -> int:
    return int(said) if said.isdecimal() and len(said) < 10 else default
