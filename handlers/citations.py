"""Citations of cases, laws and journals, as eyecite reads them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

from handlers.found import Found

# Its warnings quote the text they are about, and case text is never logged.
logging.getLogger("eyecite").setLevel(logging.ERROR)

_NOT_REPORTERS = frozenset({"App.", "App"})
"""Taken for a reporter by eyecite; in briefs nearly always an appendix, “1 App. 24”."""

_SIGN = re.compile(r"\d\s+[A-Z][\w.’' &]{0,40}?\s+(?:\d|_)|§|\b(?:U\.?\s?S\.?\s?C|C\.?\s?F\.?\s?R)\b")


def citations(text: str) -> Iterator[Found]:
    """Full citations; the key is the normal form without spaces around."""
    if not _SIGN.search(text):
        return
    # Half a second and 30 MB, which a server never needs and a worker only where something is cited.
    from eyecite import get_citations
    from eyecite.models import FullCaseCitation, FullJournalCitation, FullLawCitation

    for citation in get_citations(text):
        if not isinstance(citation, FullCaseCitation | FullLawCitation | FullJournalCitation):
            continue
        if citation.groups.get("reporter") in _NOT_REPORTERS:
            continue
        normal = re.sub(r"\s+", " ", citation.corrected_citation()).strip(" ,;.")
        if "_" in normal or not any(c.isdigit() for c in normal):
            continue
        start, end = citation.span()
        yield Found("citation", normal.lower(), normal, start, end)
