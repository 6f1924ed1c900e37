"""What stands together: units of evidence, how rare a name is among them, which evidence is one family."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from storage.detective import CaseFacts, File
from storage.graph import rarity

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SHORT = 3
"""Passages of evidence that is one unit; of longer evidence each passage is one, since what stands a
hundred pages apart is not joined by it."""


def cut_units(cases: Sequence[CaseFacts], at: dict[int, int]) -> tuple[dict[int, int], list[int], Floats]:
    """Chunk → unit; the file of each unit, and the share of its words that are in lower case."""
    unit_of: dict[int, int] = {}
    unit_file: list[int] = []
    shares: list[float] = []
    for case in cases:
        chunks: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        for chunk, evidence, _, words, prose in case.chunks.tolist():
            chunks[evidence].append((chunk, words, prose))
        for evidence, own in chunks.items():
            for group in [own] if len(own) <= SHORT else [[chunk] for chunk in own]:
                unit_of |= dict.fromkeys((chunk for chunk, _, _ in group), len(unit_file))
                unit_file.append(at[evidence])
                shares.append(sum(p for _, _, p in group) / max(1, sum(w for _, w, _ in group)))
    return unit_of, unit_file, np.array(shares, dtype=np.float64)


def rare_in(units: Ints, named: Ints, case_of_unit: Ints, cases: int, by_word: Ints) -> Floats:
    """The rarity of each mention's identity in its case, in units of the rarest possible there.

    Args:
        by_word: Shape of `units`: how often it is named in another way, at least.
    """
    rare = np.zeros(len(units))
    for case in range(cases):
        here = case_of_unit[units] == case
        size = int((case_of_unit == case).sum())
        own, back, counts = np.unique(named[here], return_inverse=True, return_counts=True)
        if len(own):
            shares = np.array([rarity(int(n), size) for n in counts]) / rarity(1, size)
            known = np.array([rarity(n, max(size, n)) for n in by_word[here].tolist()]) / rarity(1, size)
            rare[here] = np.minimum(
                1.0, np.where(by_word[here] > 0, np.minimum(known, shares[back]), shares[back])
            )
    return rare


def families(cases: Sequence[CaseFacts], files: Sequence[File], at: dict[int, int]) -> Ints:
    """Evidence that is known to belong together: copies, what came in one file, a conversation, mails of one
    subject.
    """
    ties: list[list[object]] = [[("sha256", file.sha256)] for file in files]
    for place, file in enumerate(files):
        ties[place] += [("thread", one) for one in sorted(file.thread)]
        ties[place] += [("file", file.node), ("file", file.parent or file.node)]
        # Two opinions of one court, or two agreements, have one title and nothing else in common.
        if len(subject := subject_of(file.subject)) > 3:
            ties[place].append(("subject", subject))
    for case in cases:
        for a, b in case.copies:
            if a in at and b in at:
                ties[at[a]].append(("copies", a, b))
                ties[at[b]].append(("copies", a, b))
    return roots(ties)


def roots(ties: Sequence[Sequence[object]]) -> Ints:
    """The first of those with which each shares a tie, directly or by way of others.

    >>> roots([["a"], ["b"], ["a", "c"], ["c"]]).tolist()
    [0, 1, 0, 0]
    """
    root = list(range(len(ties)))

    def find(one: int) -> int:
        while root[one] != one:
            root[one] = root[root[one]]
            one = root[one]
        return one

    first: dict[object, int] = {}
    for place, own in enumerate(ties):
        for tie in own:
            a, b = find(place), find(first.setdefault(tie, place))
            root[max(a, b)] = min(a, b)
    return np.array([find(one) for one in range(len(ties))], dtype=np.int64)


def subject_of(title: str) -> str:
    """A subject without the marks of answers and forwards.

    >>> subject_of("RE: FW: The gate"), subject_of("The gate")
    ('the gate', 'the gate')
    """
    words = title.strip().casefold()
    while True:
        head, colon, rest = words.partition(":")
        if not colon or head.strip() not in ("re", "fw", "fwd", "aw", "wg", "sv", "antw"):
            return " ".join(words.split())
        words = rest.strip()
