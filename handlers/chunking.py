"""Cut a text into overlapping chunks that end with sentences and never cross a page."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from handlers.parsing.parsed import Line
from handlers.sentences import Sentence, sentences
from storage.evidence import ChunkDraft

TARGET = 200
"""Tokens of a chunk, by `estimate`: what the encoder reads at once (256) less a margin."""

OVERLAP = 40
"""Tokens of a chunk's last sentence up to which the next chunk repeats it."""

TINY = 40
"""Tokens of a page's last chunk below which it joins the one before."""

_PIECE = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"\S+\s*")
_LINE = re.compile(r"\S[^\n]*")


@dataclass(frozen=True)
class Piece:
    """A sentence, or a part of one that is too long for a chunk, with its size in tokens."""

    start: int
    end: int
    closes: bool
    size: int


def cut(
    text: str,
    pages: Sequence[tuple[int, int]] = (),
    lines: Sequence[Line] = (),
    *,
    target: int = TARGET,
) -> list[ChunkDraft]:
    """Cut `text` into chunks of about `target` tokens, in the order of the text.

    Args:
        text: The whole text.
        pages: `(start, end)` of each page, in order; without any the whole text counts as page 0.
        lines: The lines of the pages with their boxes, by `start`.
        target: Size to aim at; a chunk is larger only by the tiny rest of its page.

    Returns:
        Chunks with `chunk.text == text[chunk.start:chunk.end]`, pages from 1. Every character but
        space lies in a chunk; a chunk may begin with the last sentence of the one before.
    """
    spans = [(i + 1, start, end) for i, (start, end) in enumerate(pages)] or [(0, 0, len(text))]
    starts = [line.start for line in lines]
    drafts: list[ChunkDraft] = []
    for page, page_start, page_end in spans:
        pieces = list(_pieces(text, page_start, page_end, target))
        # A page a little too long for one chunk becomes two of like size, not a large and a tiny one.
        size = sum(piece.size for piece in pieces)
        goal = min(target, int(1.15 * size / max(1, -(-size // target)))) if page else target
        for start, end in _pack(pieces, goal):
            # Lines are disjoint, so only the one before the first may reach into the chunk.
            first = max(bisect_left(starts, start) - 1, 0)
            boxes = [
                list(line.box)
                for line in lines[first : bisect_left(starts, end)]
                if line.page == page and line.end > start
            ]
            drafts.append(ChunkDraft(len(drafts), page, start, end, text[start:end], boxes))
    return drafts


def estimate(text: str) -> int:
    """About how many tokens a text has: one a mark or short word, more for a long or foreign one."""
    return sum(1 + (len(p) - 1) // 7 if p.isascii() else len(p) for p in _PIECE.findall(text))


def _pieces(text: str, start: int, end: int, target: int) -> Iterator[Piece]:
    for sentence in sentences(text, start, end):
        size = estimate(text[sentence.start : sentence.end])
        if size <= target:
            yield Piece(*sentence, size)
        else:
            yield from _parts(text, sentence, target)


def _parts(text: str, sentence: Sentence, target: int) -> Iterator[Piece]:
    """An overlong sentence by its lines, an overlong line by its words, an overlong word as it comes."""
    spans: list[tuple[int, int]] = []
    for line in _LINE.finditer(text, sentence.start, sentence.end):
        if estimate(line.group()) <= target:
            spans.append(line.span())
            continue
        for word in _WORD.finditer(text, *line.span()):
            spans.extend((i, min(i + target, word.end())) for i in range(word.start(), word.end(), target))
    begun, size = spans[0][0], 0
    for start, end in spans:
        more = estimate(text[start:end])
        if size and size + more > target:
            yield Piece(begun, _trim(text, begun, start), False, size)
            begun, size = start, 0
        size += more
    yield Piece(begun, sentence.end, sentence.closes, size)


def _trim(text: str, start: int, end: int) -> int:
    while end > start and text[end - 1].isspace():
        end -= 1
    return end


def _pack(pieces: Sequence[Piece], target: int) -> list[tuple[int, int]]:
    """Fill chunks with pieces; a chunk that is three quarters full closes with a paragraph."""
    chunks: list[tuple[int, int]] = []
    held: list[Piece] = []
    size = 0
    for piece in pieces:
        full = size + piece.size > target or (size >= 0.75 * target and held and held[-1].closes)
        if held and full:
            chunks.append((held[0].start, held[-1].end))
            last = held[-1]
            repeats = len(held) > 1 and last.size <= OVERLAP and last.size + piece.size <= target
            held = [last] if repeats else []
            size = last.size if repeats else 0
        held.append(piece)
        size += piece.size
    if held:
        new = size - (held[0].size if chunks and held[0].end <= chunks[-1][1] else 0)
        if chunks and new < TINY:
            chunks[-1] = (chunks[-1][0], held[-1].end)
        else:
            chunks.append((held[0].start, held[-1].end))
    return chunks
