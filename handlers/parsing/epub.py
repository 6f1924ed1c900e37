"""Electronic books (EPUB): a page for each chapter, in reading order."""

from __future__ import annotations

import posixpath
from functools import partial
from urllib.parse import unquote

from handlers.parsing import html
from handlers.parsing.enclosed import Enclosed
from handlers.parsing.facts import Facts
from handlers.parsing.markup import attribute, descendants, local, text_of
from handlers.parsing.package import Damaged, Package
from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable
from handlers.parsing.writing import Writing

_FACTS = {"creator": "author", "date": "created", "publisher": "company", "subject": "subject",
          "description": "description"}  # fmt: skip


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read a book.

    Raises:
        Unreadable: It is damaged, protected by its seller, or unfolds to too much.
    """
    package = Package(source.path)
    if "META-INF/rights.xml" in package:
        raise Unreadable("the book is protected by its seller (DRM) and cannot be read")
    facts, writing = Facts(), Writing()
    files = [
        attribute(f, "full-path") for f in descendants(package.xml("META-INF/container.xml"), "rootfile")
    ]
    main = next((name for name in files if name in package), "")
    root = package.xml(main) if main else None
    if root is None:
        raise Unreadable("this is no book (EPUB), or its table of parts is missing")
    title = next((text_of(e) for e in descendants(root, "title")), "")
    for element in descendants(root, *_FACTS):
        facts.know(_FACTS[local(element)], text_of(element))
    folder = posixpath.dirname(main)
    items = {
        attribute(item, "id"): posixpath.normpath(posixpath.join(folder, unquote(attribute(item, "href"))))
        for item in descendants(root, "item")
    }
    spine = [items.get(attribute(entry, "idref"), "") for entry in descendants(root, "itemref")]
    for done, name in enumerate(spine, 1):
        writing.page()
        if name in package:
            try:
                content = package.content(name)
            except Damaged:
                package.damaged.append(name)
                continue
            text, _ = html.shown(content.decode(html.encoding_of(content), "replace"), facts)
            writing.paragraph(text)
        outlet.progress(done, len(spine), "chapters")
    enclosed = Enclosed(outlet, facts)
    for name in sorted(package.names):
        if name.lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".webp")):
            enclosed.picture(name, partial(package.open, name))
    enclosed.close()
    if package.damaged:
        facts.notice("the book is damaged; what could be read of it was read")
    facts.note_left_out(writing)
    said, pages = writing.finish()
    if package.damaged and not said:
        raise Unreadable("the book is damaged: none of its text can be read")
    return Parsed(text=said, pages=pages, title=title.strip(), meta=facts.meta())
