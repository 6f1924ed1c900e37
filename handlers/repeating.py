"""Whether a text has begun to say the same again and again, as small language models do."""

from __future__ import annotations

TIMES = 6
"""The same so often in a row, `LEAST` characters of it at least, is repetition."""
LEAST = 240
LONGEST_UNIT = 400
_EACH = 60


class Repetition:
    """Hears an answer piece by piece."""

    def __init__(self) -> None:
        self._tail, self._unlooked = "", 0

    def heard(self, piece: str) -> bool:
        """Whether the answer repeats itself by now; looked at every few words."""
        self._tail = (self._tail + piece)[-TIMES * LONGEST_UNIT :]
        self._unlooked += len(piece)
        if self._unlooked < _EACH:
            return False
        self._unlooked = 0
        return repeats(self._tail)


def repeats(text: str) -> bool:
    """Whether a text ends with one unit written `TIMES` times or more.

    >>> repeats("He paid. " * 40), repeats("He paid. " * 5)
    (True, False)
    """
    backwards = text[::-1]
    # The prefix function of Knuth, Morris and Pratt: `borders[i]` is how much of the beginning the first
    # i + 1 characters end with, so that they have the period i + 1 - borders[i].
    borders = [0] * len(backwards)
    for i in range(1, len(backwards)):
        border = borders[i - 1]
        while border and backwards[i] != backwards[border]:
            border = borders[border - 1]
        borders[i] = border + (backwards[i] == backwards[border])
        length = i + 1
        if length >= LEAST and length >= TIMES * (length - borders[i]):
            return True
    return False
