"""Where a name is said: in running text or in a list, for the first time or once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handlers.detective_units import Floats, Ints
from storage.detective import CaseFacts

PROSE = 0.35
"""Share of words in lower case from which a place counts in full: running text has more than that."""

LISTS = 0.15
"""Below this share a place is a list, a header or a table: whoever stands side by side there is not thereby
joined."""

CROWDED = 5.0
"""Names in a unit from which each counts for less: a list of people says little of any two."""

CROWD = 12
"""Names from which a unit is a list, however many words stand between them."""

MOST_WORDS = 100_000
"""More words than a passage has."""

FEW_WORDS = 8
"""Words beside a name below which the whole unit tells whether it stands in running text."""


@dataclass(frozen=True, eq=False)
class Mentions:
    """The mentions of several cases; each unit and identity once, by unit and identity.

    Attributes:
        units, named, through, passages, says, plain: See `Web`.
        is_list: See `Web`.
        spot_of: Shape (spots,): the mention of each place in running text, rising.
        spot_at: Shape (spots,): its first character in the evidence's text.
        spot_words: See `Web`.
    """

    units: Ints
    named: Ints
    through: Ints
    passages: Ints
    says: Floats
    plain: NDArray[np.bool_]
    is_list: NDArray[np.bool_]
    spot_of: Ints
    spot_at: Ints
    spot_words: Ints


def mentions_of(
    cases: Sequence[CaseFacts],
    unit_of: Mapping[int, int],
    member_at: Mapping[int, int],
    identity_of: Ints,
    unit_file: Ints,
    share: Floats,
) -> Mentions:
    """Join the mentions of members in units, and tell which of them running text says for the first time.

    Args:
        unit_of: Passage → unit.
        member_at: Entity → place among the members.
        share: Shape (units,): share of words in lower case.
    """
    rows = [case.mentions for case in cases if len(case.mentions)]
    table = np.concatenate(rows) if rows else np.zeros((0, 8), dtype=np.int64)
    unit = np.array([unit_of.get(chunk, -1) for chunk in table[:, 0].tolist()], dtype=np.int64)
    member = np.array([member_at.get(entity, -1) for entity in table[:, 1].tolist()], dtype=np.int64)
    known = (unit >= 0) & (member >= 0)
    table, unit, member = table[known], unit[known], member[known]
    identity = identity_of[member]
    words, prose = table[:, 3], table[:, 4]
    here = np.where(words >= FEW_WORDS, prose / np.maximum(words, 1), share[unit])
    running = here >= LISTS
    crowd = _distinct(unit[running], identity[running], len(unit_file))
    is_list = crowd > CROWD
    copied = _copied(identity, unit_file[unit], table[:, 5]) | _copied(identity, unit_file[unit], table[:, 6])
    spoken = running & ~is_list[unit] & ~copied
    # Of each unit and identity the place in running text comes first, then the earliest one.
    order = np.lexsort((member, table[:, 2], table[:, 0], ~spoken, identity, unit))
    pairs = np.stack([unit, identity], axis=1)[order]
    first = np.flatnonzero(np.any(np.diff(pairs, axis=0, prepend=-1), axis=1))
    row_of = np.cumsum(np.any(np.diff(pairs, axis=0, prepend=-1), axis=1)) - 1
    chosen = order[first]
    says = np.minimum(1.0, CROWDED / np.maximum(crowd, 1))[unit[chosen]]
    says = np.maximum(says * np.minimum(1.0, here[chosen] / PROSE), 1e-3)
    at = np.flatnonzero(spoken[order])
    return Mentions(
        units=unit[chosen],
        named=identity[chosen],
        through=member[chosen],
        passages=table[chosen, 0],
        says=says,
        plain=spoken[chosen],
        is_list=is_list,
        spot_of=row_of[at],
        spot_at=table[order[at], 2],
        spot_words=table[order[at], 0] * MOST_WORDS + table[order[at], 7],
    )


def _distinct(unit: Ints, identity: Ints, count: int) -> Ints:
    """How many identities each unit names."""
    pairs = np.unique(np.stack([unit, identity], axis=1), axis=0) if len(unit) else np.zeros((0, 2), np.int64)
    return np.bincount(pairs[:, 0], minlength=count)


def _copied(identity: Ints, file: Ints, beside: Ints) -> NDArray[np.bool_]:
    """Mentions beside which stands what stood there in an earlier file: quoted, forwarded, boilerplate."""
    order = np.lexsort((file, beside, identity))
    begins = (np.diff(identity[order], prepend=-1) != 0) | (np.diff(beside[order], prepend=0) != 0)
    if len(begins):
        begins[0] = True
    earliest = file[order][np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]
    copied = np.zeros(len(identity), dtype=bool)
    copied[order] = (file[order] != earliest) & (beside[order] != 0)
    return copied
