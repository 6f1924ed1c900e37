"""The words in an SVG picture; it is read as text and never shown."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from handlers.parsing.parsed import Outlet, Parsed, Source, clean
from handlers.parsing.plain import decode

_SAID = frozenset({"title", "desc", "text"})


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self.lines: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SAID:
            self._inside.append(tag)
            self.lines.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._inside:
            del self._inside[self._inside.index(tag) :]

    def handle_data(self, data: str) -> None:
        if not self._inside:
            return
        self.lines[-1] = " ".join(f"{self.lines[-1]} {data}".split())
        if self._inside == ["title"] and not self.title:
            self.title = self.lines[-1]


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read the texts, titles and descriptions of an SVG picture.

    Raises:
        Unreadable: The content is no text.
    """
    content, _ = decode(source.path.read_bytes())
    words = _Words()
    words.feed(content)
    words.close()
    text = clean("\n".join(line for line in words.lines if line))
    meta = {"notice": "only the words of the picture were read; it is not shown, for it could hold programs"}
    return Parsed(text=text, title=re.sub(r"\s+", " ", clean(words.title)).strip(), meta=meta)
