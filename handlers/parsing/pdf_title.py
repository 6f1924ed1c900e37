"""What a PDF calls itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from handlers.parsing.parsed import clean
from handlers.parsing.pdf_lines import Row

_BARE_FILE = re.compile(r"^\S+\.\w{2,4}\b|^[^\s_]*_\S*$")
_OFFICE = re.compile(r"^Microsoft (?:Word|Excel|PowerPoint|Print To PDF)\s*-\s*", re.IGNORECASE)
_SOURCE_FILE = re.compile(r"\.(?:docx?|xlsx?|pptx?|rtf|wpd|indd|pages|odt|pdf|tiff?|qxd|p65)$", re.IGNORECASE)
_NO_TITLE = re.compile(r"^(?:untitled.*|document\d*|title|unknown|none|no ?name|scan.*|\W*)$", re.IGNORECASE)


def title_of(said: str, rows: Sequence[Row]) -> str:
    """The document's own title, else the largest print of its first page with text; "" if neither is one.

    Args:
        said: The title that its information names.
        rows: The lines of its first page with text.
    """
    said = clean(said).replace("\n", " ").strip()
    said = _SOURCE_FILE.sub("", _OFFICE.sub("", said)).strip()
    dubious = _NO_TITLE.match(said) or _BARE_FILE.match(said) or "\\" in said or "/" in said
    if not dubious and _names_something(said):
        return said
    if not rows:
        return ""
    body = Counter(round(row.size) for row in rows for _ in range(len(row.text))).most_common(1)[0][0]
    largest = max((round(row.size) for row in rows if sum(c.isalpha() for c in row.text) >= 3), default=0)
    if largest < 1.2 * body:
        return ""
    first = next(i for i, row in enumerate(rows) if round(row.size) == largest)
    words = []
    for row in rows[first : first + 3]:
        if round(row.size) != largest:
            break
        words.append(row.text)
    title = " ".join(words)
    return title if " " in title and _names_something(title) else ""


def _names_something(title: str) -> bool:
    """Rather a title than a number, a stamp or badly recognised print."""
    plain = sum(c.isalnum() or c in " ,.-'’:&()/" for c in title)
    letters = sum(c.isalpha() for c in title)
    return 4 <= letters <= len(title) <= 200 and plain >= 0.95 * len(title) and letters >= 0.4 * len(title)
