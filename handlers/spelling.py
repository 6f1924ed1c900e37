"""How far a written word is from one that was meant: keys under a hand, letters under a scanner, alphabets.

A distance of 1 is one ordinary mistake; those that keyboards, scanners and transliteration make cost less.
"""

from __future__ import annotations

from functools import lru_cache

from anyascii import anyascii
from jellyfish import metaphone

_ROWS = (("1234567890", 0.0), ("qwertyuiop", 0.5), ("asdfghjkl", 0.75), ("zxcvbnm", 1.25))
_REACH = 1.2
"""Keys whose centres are not farther apart than so many widths of a key are neighbours."""

_NEIGHBOUR, _SWAP, _DOUBLED, _VOWEL, _LOOK = 0.6, 0.6, 0.5, 0.7, 0.4
_LOST = 0.9
"""A letter too many or too few; a wrong one costs 1."""
_FIRST = 0.3
"""People and scanners seldom miss the first letter."""

_ALIKE = ("0oq", "1li", "5s", "8b", "2z", "6bg", "9g", "ce", "uv", "hb", "nh", "ft", "gq", "ij", "vy")
"""Letters that a scanner takes for each other."""

_GROUPS = (
    ("rn", "m"), ("nn", "m"), ("cl", "d"), ("vv", "w"), ("ii", "u"), ("ri", "n"), ("li", "h"), ("lc", "k"),
    ("ph", "f"), ("ck", "k"), ("kh", "h"), ("zh", "j"), ("sch", "sh"), ("tz", "z"), ("ks", "x"), ("th", "t"),
    ("ae", "a"), ("oe", "o"), ("ue", "u"), ("aa", "a"), ("yo", "e"), ("yo", "o"), ("iy", "y"), ("ij", "y"),
    ("ei", "ie"), ("ov", "off"), ("ev", "eff"), ("v", "ff"), ("ch", "tsch"), ("ju", "yu"), ("ia", "ya"),
    ("shch", "sch"), ("gh", "g"), ("au", "o"), ("ou", "u"), ("oy", "ou"), ("i", "y"), ("v", "w"),
    ("j", "y"), ("c", "k"), ("x", "ks"), ("s", "z"), ("d", "cl"),
)  # fmt: skip
"""Groups of letters that are the same on bad paper, or in another way of writing an alphabet."""

_LETTERS = {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "æ": "ae", "œ": "oe", "ё": "yo"}
_SPELT = (("ae", "a"), ("oe", "o"), ("ue", "u"), ("aa", "a"))


def _neighbours() -> frozenset[tuple[str, str]]:
    places = {
        key: (shift + i, row) for row, (keys, shift) in enumerate(_ROWS) for i, key in enumerate(keys)
    }  # fmt: skip
    return frozenset(
        (a, b)
        for a, (x, y) in places.items()
        for b, (u, v) in places.items()
        if a != b and (x - u) ** 2 + (y - v) ** 2 <= _REACH**2
    )


_NEAR_KEYS = _neighbours()
_LOOKALIKE = frozenset((a, b) for group in _ALIKE for a in group for b in group if a != b)
_VOWELS = frozenset("aeiouy")


def _by_ending() -> dict[tuple[str, str], list[tuple[str, str]]]:
    ends: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for one, other in (*_GROUPS, *((b, a) for a, b in _GROUPS)):
        ends.setdefault((one[-1], other[-1]), []).append((one, other))
    return ends


_GROUPS_BY_ENDING = _by_ending()


@lru_cache(maxsize=1 << 14)
def keys_of(word: str) -> tuple[str, ...]:
    """The ways in which a word is written in Latin letters and digits, the plainest first.

    >>> keys_of("Müller"), keys_of("Mueller"), keys_of("Соколов"), keys_of("O’Hara")
    (('muller', 'mueller'), ('mueller', 'muller'), ('sokolov',), ('ohara',))
    """
    small = word.casefold()
    plain = _latin(small)
    spelt = _latin("".join(_LETTERS.get(letter, letter) for letter in small))
    found = [plain, spelt]
    for long, short in _SPELT:
        if long in plain:
            found.append(plain.replace(long, short))
    return tuple(dict.fromkeys(key for key in found if key))


def shape_of(key: str) -> str:
    """What is left of a key once all that a scanner confuses is one: equal for `clark` and `dark`.

    >>> shape_of("solheirn") == shape_of("solheim"), shape_of("s0lheim") == shape_of("solheim")
    (True, True)
    """
    for group, letter in (("rn", "m"), ("nn", "m"), ("cl", "d"), ("vv", "w"), ("ii", "u")):
        key = key.replace(group, letter)
    return key.translate(_SHAPES)


_SHAPES = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s", "8": "b", "6": "b", "2": "z", "9": "g"})


@lru_cache(maxsize=1 << 14)
def sound_of(key: str) -> str:
    """How a key sounds in English, roughly; "" where nothing can be said."""
    return metaphone(key) if key.isascii() and key.isalpha() else ""


def distance(written: str, meant: str, *, most: float = 4.0) -> float:
    """The cost of the cheapest way from one key to another; `inf` where it is more than `most`.

    Args:
        written, meant: As `keys_of` makes them.
    """
    if written == meant:
        return 0.0
    columns = len(meant)
    table = [[_LOST * j for j in range(columns + 1)]]
    for i, letter in enumerate(written, 1):
        row = [table[i - 1][0] + _edge(written, i)]
        for j, other in enumerate(meant, 1):
            best = min(
                table[i - 1][j - 1] + _swapped(letter, other),
                table[i - 1][j] + _edge(written, i),
                row[j - 1] + _edge(meant, j),
            )
            if i > 1 and j > 1 and letter == meant[j - 2] and written[i - 2] == other and letter != other:
                best = min(best, table[i - 2][j - 2] + _SWAP)
            for group, single in _GROUPS_BY_ENDING.get((letter, other), ()):
                a, b = i - len(group), j - len(single)
                if min(a, b) >= 0 and written.startswith(group, a) and meant.startswith(single, b):
                    best = min(best, table[a][b] + _LOOK)
            row.append(best)
        if min(row) > most and min(table[i - 1]) > most:
            return float("inf")
        table.append(row)
    cost = table[-1][-1]
    if written[0] != meant[0] and (written[0], meant[0]) not in _LOOKALIKE:
        cost += _FIRST
    return cost if cost <= most else float("inf")


def _swapped(letter: str, other: str) -> float:
    """What it costs to have one letter for another."""
    if letter == other:
        return 0.0
    pair = (letter, other)
    if pair in _LOOKALIKE:
        return _LOOK
    if pair in _NEAR_KEYS:
        return _NEIGHBOUR
    return _VOWEL if letter in _VOWELS and other in _VOWELS else 1.0


def _edge(word: str, end: int) -> float:
    """What it costs to have, or to lack, the letter before `end`."""
    return _DOUBLED if end > 1 and word[end - 1] == word[end - 2] else _LOST


def _latin(text: str) -> str:
    return "".join(letter for letter in anyascii(text).lower() if letter.isascii() and letter.isalnum())
