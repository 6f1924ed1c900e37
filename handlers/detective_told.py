"""What evidence says that one thing does to another, as units that name the two alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from handlers.detective_units import Floats, Ints
from storage.detective import CaseFacts
from storage.detective_told import Told
from storage.graph import rarity

COMMONPLACE = 0.1
"""What a relation says of which a case is full: in a case of mails everybody writes to somebody."""

BY_RULE, BY_MODEL = 0.95, 0.8
"""How sure it is that evidence says what was read: of a rule, and of a language model."""


@dataclass(frozen=True, eq=False)
class ToldUnits:
    """One unit a relation, each with two mentions, rising by identity.

    Attributes:
        told: The relations; `unit_file` and `doers` (identities) are theirs.
        named, through, passages, says, at: Shape (2 n,), of the mentions; see `Web`.
    """

    told: list[Told]
    unit_file: Ints
    doers: Ints
    named: Ints
    through: Ints
    passages: Ints
    says: Floats
    at: Ints


def told_units(
    cases: Sequence[CaseFacts],
    unit_of: Mapping[int, int],
    member_at: Mapping[int, int],
    identity_of: Ints,
    unit_file: Ints,
) -> ToldUnits:
    """The relations between two different identities, both of which are in the web."""
    told: list[Told] = []
    ends: list[tuple[int, int]] = []
    says: list[float] = []
    for case in cases:
        kept = [
            one for one in case.told if one.chunk in unit_of and {one.subject, one.object} <= member_at.keys()
        ]
        of_case = _says(kept, len(case.chunks))
        for one, weight in zip(kept, of_case, strict=True):
            pair = (member_at[one.subject], member_at[one.object])
            if identity_of[pair[0]] != identity_of[pair[1]]:
                told.append(one)
                ends.append(pair)
                says.append(weight)
    members = np.array(ends, dtype=np.int64).reshape(-1, 2)
    doers = identity_of[members[:, 0]] if told else np.zeros(0, dtype=np.int64)
    rising = np.argsort(identity_of[members], axis=1) if told else np.zeros((0, 2), dtype=np.int64)
    through = np.take_along_axis(members, rising, axis=1).reshape(-1)
    return ToldUnits(
        told=told,
        unit_file=unit_file[[unit_of[one.chunk] for one in told]] if told else np.zeros(0, dtype=np.int64),
        doers=doers,
        named=identity_of[through],
        through=through,
        passages=np.repeat(np.array([one.chunk for one in told], dtype=np.int64), 2),
        says=np.repeat(np.array(says, dtype=np.float64), 2),
        at=np.repeat(np.array([one.start for one in told], dtype=np.int64), 2),
    )


def _says(told: Sequence[Told], size: int) -> list[float]:
    """How much each relation of a case says: less the more of its sort there are, and the more of whom one
    statement tells."""
    predicates = Counter(one.predicate.casefold() for one in told)
    statements = Counter((one.chunk, one.start, one.end, one.subject, one.predicate) for one in told)
    size = max(size, 1)
    rare = {what: min(1.0, rarity(count, size) / rarity(1, size)) for what, count in predicates.items()}
    return [
        (COMMONPLACE + (1.0 - COMMONPLACE) * rare[one.predicate.casefold()])
        / statements[one.chunk, one.start, one.end, one.subject, one.predicate] ** 0.5
        for one in told
    ]
