"""The readable text of an HTML page; nothing in it is fetched or run."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree

from handlers.parsing.facts import Facts
from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable, clean
from handlers.parsing.plain import guess_encoding
from handlers.parsing.properties import titled
from handlers.parsing.writing import CELLS

MOST_BYTES = 256 << 20
FEED_CHARACTERS = 1 << 20

_UNREAD = frozenset(("script", "style", "template", "noscript", "svg", "math", "object", "iframe", "canvas"))
_BLOCK_NAMES = (
    "address article aside blockquote body center dd details dialog div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hr legend li main"
    " nav ol option p pre section summary table caption tr ul"
)
_BLOCK = frozenset(_BLOCK_NAMES.split())
_PARAGRAPH = frozenset(
    ["p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "dl", "pre", "hr", "blockquote"]
)
_EMPTY = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
_INVISIBLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?:px|pt|em|%)?\s*(?:;|$)|mso-hide\s*:\s*all",
    re.IGNORECASE,
)
_CHARSET = re.compile(rb"<meta[^>]{0,500}?charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.IGNORECASE)
_OUTSIDE = {"img": "src", "iframe": "src", "object": "data", "embed": "src", "link": "href", "frame": "src"}
_META = {"author": "author", "description": "description", "keywords": "keywords", "generator": "producer",
         "date": "created", "article:published_time": "created",
         "article:modified_time": "modified"}  # fmt: skip
_ELSEWHERE = re.compile(r"(?:https?:)?//|file:|\\\\")
_SHOW, _HIDE = "\x0f", "\x0e"


@dataclass
class _Page:
    """What lxml calls while it reads: the parts of the text, and what is found beside them."""

    facts: Facts
    links: bool
    parts: list[str] = field(default_factory=list)
    title: str = ""
    _open: list[tuple[str, bool]] = field(default_factory=list)
    _unread: int = 0
    _hidden: int = 0
    _in_title: bool = False
    _in_pre: int = 0
    _targets: list[tuple[str, int]] = field(default_factory=list)
    _cells: list[int] = field(default_factory=list)

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        address = attributes.get(_OUTSIDE[tag], "") if tag in _OUTSIDE else ""
        is_loaded = tag != "link" or "stylesheet" in attributes.get("rel", "").lower()
        if is_loaded and _ELSEWHERE.match(address):
            self.facts.refer(f"{tag} {address}")
        if tag == "meta":
            self._meta(attributes)
        if tag in _UNREAD:
            self._unread += 1
        hidden = tag not in _EMPTY and _is_hidden(tag, attributes) and not self._unread
        if tag not in _EMPTY:
            self._open.append((tag, hidden))
        if self._unread:
            return
        self._break(tag)
        if hidden:
            self._hidden += 1
            if self._hidden == 1:
                self.parts.append(_HIDE)
        match tag:
            case "title":
                self._in_title = True
            case "pre" | "textarea":
                self._in_pre += 1
            case "br":
                self.parts.append("\n")
            case "a" if self.links:
                self._targets.append((attributes.get("href", "").strip(), len(self.parts)))
            case "img" if alternative := attributes.get("alt", "").strip():
                self.parts.append(f" {alternative} " if not self.links else f" [picture: {alternative}] ")
            case "input" if attributes.get("type", "text").lower() not in ("hidden", "password"):
                self.parts.append(f" {attributes.get('value', '')} ")
            case "tr":
                self._cells.append(0)
            case "td" | "th":
                if self._cells and self._cells[-1]:
                    self.parts.append(CELLS)
                if self._cells:
                    self._cells[-1] += 1

    def end(self, tag: str) -> None:
        """An element ends; libxml2 closes what the page leaves open."""
        if tag in _EMPTY:
            return
        hidden = False
        if self._open and self._open[-1][0] == tag:
            _, hidden = self._open.pop()
        if tag in _UNREAD:
            self._unread = max(self._unread - 1, 0)
            return
        if self._unread:
            return
        match tag:
            case "title":
                self._in_title = False
            case "pre" | "textarea":
                self._in_pre = max(self._in_pre - 1, 0)
            case "a" if self._targets:
                self._link(*self._targets.pop())
            case "tr" if self._cells:
                self._cells.pop()
        if hidden:
            self._hidden -= 1
            if not self._hidden:
                self.parts.append(_SHOW)
        self._break(tag)

    def data(self, text: str) -> None:
        """Characters between the elements."""
        if self._in_title:
            self.title += text
        elif not self._unread:
            self.parts.append(text if self._in_pre else re.sub(r"\s+", " ", text))

    def close(self) -> None:
        """The page has ended."""

    def _break(self, tag: str) -> None:
        if tag not in _BLOCK:
            return
        # A paragraph in a cell of a table does not end the row.
        in_cell = self._cells and self._cells[-1] and tag != "tr"
        mark = " " if in_cell else "\n\n" if tag in _PARAGRAPH else "\n"
        if self.parts and not self.parts[-1].strip("\n"):
            self.parts[-1] = self.parts[-1] if in_cell else max(mark, self.parts[-1], key=len)
        else:
            self.parts.append(mark)

    def _link(self, target: str, begun: int) -> None:
        shown = "".join(self.parts[begun:])
        bare = re.sub(r"^(?:mailto:|https?://(?:www\.)?)", "", target).rstrip("/")
        if bare and not target.startswith(("#", "javascript:", "data:")) and bare not in shown:
            self.parts.append(f" <{target[:500]}>")

    def _meta(self, attributes: Mapping[str, str]) -> None:
        name = (attributes.get("name") or attributes.get("property") or "").lower()
        if name in _META:
            self.facts.know(_META[name], attributes.get("content", ""))
        if (
            attributes.get("http-equiv", "").lower() == "refresh"
            and "url" in attributes.get("content", "").lower()
        ):
            self.facts.refer(f"refresh {attributes['content']}")


def _is_hidden(tag: str, attributes: Mapping[str, str]) -> bool:
    said = "hidden" in attributes or bool(_INVISIBLE.search(attributes.get("style", "")))
    return said and tag not in ("html", "head", "body")


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read a web page: its text with the targets of links beside them, hidden text marked.

    Raises:
        Unreadable: It is larger than can be read.
    """
    if source.path.stat().st_size > MOST_BYTES:
        raise Unreadable(f"the page is larger than {MOST_BYTES >> 20} MiB")
    facts = Facts()
    content = source.path.read_bytes()
    encoding = encoding_of(content)
    facts.known["encoding"] = encoding
    text, title = shown(content.decode(encoding, "replace"), facts)
    heading = next((line for line in text.splitlines() if line.strip()), "")
    return Parsed(
        text=text, title=titled(title) or (heading if len(heading) <= 100 else ""), meta=facts.meta()
    )


def text_of(html: str) -> str:
    """The text that a reader of a mail's page would see, a line a block, paragraphs apart."""
    return _read(html, Facts(), links=False, hidden=False)[0]


def shown(html: str, facts: Facts) -> tuple[str, str]:
    """The text with links beside their words and hidden text marked, and the title."""
    return _read(html, facts, links=True, hidden=True)


def encoding_of(content: bytes) -> str:
    """By the mark at its beginning, by what the page says if that can be, else by guess."""
    guessed = guess_encoding(content)
    if guessed and (guessed.startswith(("utf-16", "utf-32")) or guessed == "utf-8-sig"):
        return guessed
    if said := _CHARSET.search(content[:4096]):
        try:
            name = codecs.lookup(said[1].decode("ascii")).name
            # A page that says UTF-16 in letters of one byte is not in UTF-16.
            if not name.startswith(("utf-16", "utf-32")):
                content.decode("cp1252" if name == "iso8859-1" else name)
                return "cp1252" if name == "iso8859-1" else name
        except (LookupError, UnicodeDecodeError, ValueError):
            pass
    return guessed or "latin-1"


def _read(html: str, facts: Facts, *, links: bool, hidden: bool) -> tuple[str, str]:
    if re.search(r"<body[\s>]", html, re.IGNORECASE):
        # A head that is never closed would hide the whole page.
        head, body = re.split(r"(?=<body[\s>])", html, maxsplit=1, flags=re.IGNORECASE)
        if "</head" not in head.lower():
            html = f"{head}</title></head>{body}"
    page = _Page(facts, links)
    html = html.replace("\x00", "").translate({0x0E: None, 0x0F: None})
    parser = etree.HTMLParser(target=page, encoding="utf-8", no_network=True, huge_tree=False)
    try:
        for at in range(0, len(html), FEED_CHARACTERS):
            parser.feed(html[at : at + FEED_CHARACTERS].encode("utf-8", "replace"))
        parser.close()
    except etree.XMLSyntaxError:
        if not page.parts and html.strip():
            facts.notice("the page is damaged; what could be read of it was read")
    text = "".join(page.parts)
    if hidden:
        text = re.sub(f"{_HIDE}([^{_SHOW}]*)(?:{_SHOW}|$)", lambda found: facts.hide(found[1]), text)
    text = clean(text)
    text = "\n".join(line.strip(" \t") for line in re.sub(r"[ \t]{2,}", " ", text).split("\n"))
    if "|" in text:
        text = re.sub(r"(?m)^\|(?: \|)*(?: |$)|(?: \|)+$", "", re.sub(r"(?m)^[| ]+$", "", text))
    return re.sub(r"\n{3,}", "\n\n", text).strip(), " ".join(page.title.split())
