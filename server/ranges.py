"""Which bytes a request asks for: `Range` and `If-Range` by RFC 9110, section 14."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

MOST_RANGES = 16
"""Of one request; more are not worth their boundaries."""

_ONE = re.compile(r"(\d{0,18})-(\d{0,18})")


class Span(NamedTuple):
    """Bytes `start`..`end`, exclusive."""

    start: int
    end: int

    def of(self, size: int) -> str:
        """As `Content-Range` tells it."""
        return f"bytes {self.start}-{self.end - 1}/{size}"


class Unsatisfiable(Exception):
    """None of the ranges overlaps the content."""


def spans_of(wanted: str | None, if_range: str | None, etag: str, size: int) -> list[Span]:
    """The ranges to send, in the order asked for; empty for the whole content.

    A header that is malformed, of another unit, or asks for too many or for overlapping ranges is
    ignored, as the standard allows; so is one whose `If-Range` names another content.

    Raises:
        Unsatisfiable: Well-formed, but nothing of it is there.

    >>> spans_of("bytes=0-3, -2", None, '"x"', 10)
    [Span(start=0, end=4), Span(start=8, end=10)]
    """
    if wanted is None or (if_range is not None and if_range.strip() != etag):
        return []
    unit, equals, listed = wanted.partition("=")
    pieces = [piece.strip() for piece in listed.split(",") if piece.strip()]
    if unit.strip().lower() != "bytes" or not equals or not 0 < len(pieces) <= MOST_RANGES:
        return []
    spans = []
    for piece in pieces:
        match = _ONE.fullmatch(piece)
        if match is None or match[0] == "-" or (match[1] and match[2] and int(match[1]) > int(match[2])):
            return []
        if match[1]:
            start, end = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
        else:
            start, end = max(0, size - int(match[2])), size
        if start < end:
            spans.append(Span(start, end))
    if not spans:
        raise Unsatisfiable
    ordered = sorted(spans)
    overlap = any(before.end > after.start for before, after in pairwise(ordered))
    return [] if overlap else spans
