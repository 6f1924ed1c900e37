"""The entries of an RSS or Atom feed as one text, each a page of it; nothing that it links to is read."""

from __future__ import annotations

from typing import Any

from handlers.parsing.html import text_of
from handlers.parsing.markup import Element, attribute, child, children, descendants, local, parse
from handlers.parsing.markup import text_of as plain
from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable, clean

MOST_ENTRIES = 50
_BODIES = ("encoded", "content", "description", "summary")


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read a feed; `meta["entries"]` holds `title`, `url` and `at` (as written) of each page.

    Raises:
        Unreadable: It is no feed.
    """
    root, _ = parse(source.path.read_bytes())
    if root is None or local(root) not in ("rss", "feed", "RDF"):
        raise Unreadable("it is no RSS or Atom feed")
    parts, pages, entries, at = list[str](), list[tuple[int, int]](), list[dict[str, Any]](), 0
    for entry in list(descendants(root, "item", "entry"))[:MOST_ENTRIES]:
        title = clean(" ".join(text_of(_all(child(entry, "title"))).split()))
        text = f"{title}\n\n{clean(_body(entry))}".strip()
        if not text:
            continue
        parts.append(text)
        pages.append((at, at + len(text)))
        at += len(text) + 2
        date = next((plain(one) for one in descendants(entry, "pubDate", "updated", "published", "date")), "")
        entries.append({"title": title[:300], "url": _link(entry)[:2000], "at": date.strip()[:60]})
    title = next((clean(" ".join(plain(one).split())) for one in descendants(root, "title")), "")
    return Parsed("\n\n".join(parts), pages, title=title[:300], meta={"entries": entries})


def _body(entry: Element) -> str:
    found = [text_of(_all(one)) for name in _BODIES for one in children(entry, name)]
    return max(found, key=len, default="")


def _all(element: Element | None) -> str:
    """Text that may hold markup, or markup that stands there as it is."""
    return "" if element is None else "".join(str(text) for text in element.itertext())


def _link(entry: Element) -> str:
    for link in children(entry, "link"):
        address = attribute(link, "href") or plain(link)
        web = address.strip().startswith(("http://", "https://"))
        if web and attribute(link, "rel", "alternate") == "alternate":
            return address.strip()
    return ""
