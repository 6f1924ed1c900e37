"""The sentence in which something stands."""

from __future__ import annotations

from handlers.sentences import sentences

MOST = 320
"""Characters of a sentence that are shown; a longer one is cut to what stands around the place."""


def sentence_around(text: str, start: int, end: int, *, most: int = MOST) -> tuple[int, int]:
    """Where the sentence begins and ends that holds characters `start`..`end` of the text.

    Of a sentence of more than `most` characters the part around the place, in whole words.

    >>> sentence_around("It rained. On 3 May 2024 she left. Nobody saw it.", 14, 24)
    (11, 34)
    """
    first, last = start, end
    for one in sentences(text):
        if one.start <= start < one.end:
            first = one.start
        if one.start < end <= one.end:
            last = one.end
    if last - first > most:
        room = max(0, most - (end - start)) // 2
        left, right = max(first, start - room), min(last, end + room)
        while left > first and left < start and not text[left - 1].isspace():
            left += 1
        while right < last and right > end and not text[right].isspace():
            right -= 1
        first, last = left, right
    return first, last
