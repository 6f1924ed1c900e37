"""What is named beside a person, and how much it says that it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from handlers.detective_units import Floats, Ints
from handlers.detective_web import Web

NEARBY = 100
"""Characters between two names up to which they belong together in full; farther away they do by less."""

BESIDE = 0.75
"""Worth of a place that names two beside each other where another one tells what one does to the other."""

FEW = 2
"""Words in lower case between two names up to which they are listed, as in “A, B and C”."""

LISTED = 0.4
"""Worth of being listed with somebody: nothing is said of the two but that they are two of several."""

LEAST_SURPRISE = 0.05


@dataclass(frozen=True, eq=False)
class Reach:
    """What stands in one unit with an identity, in running text or by a relation.

    Attributes:
        others: Shape (n,): identities, rising.
        here: Shape (n,): the mention of the identity itself, in the unit that says most of the two.
        there: Shape (n,): the mention of the other in that unit.
        apart: Shape (n,): characters between the two there.
        tie: Shape (n,), in (0, 1]: how much it says that the two stand together.
        families: Shape (n,): in how many files they do, those that belong together counted once.
    """

    others: Ints
    here: Ints
    there: Ints
    apart: Ints
    tie: Floats
    families: Ints


def reach(web: Web, identity: int) -> Reach:
    """Everything that is named beside an identity, outside of headers, lists, tables and quotations."""
    here, there = _pairs_of_spots(web, identity)
    apart = np.abs(web.spot_at[here] - web.spot_at[there])
    listed = np.abs(web.spot_words[here] - web.spot_words[there]) <= FEW
    here, there = web.spot_of[here], web.spot_of[there]
    unit, other = web.units[there], web.named[there]
    worth = web.weights[there] * np.minimum(1.0, NEARBY / np.maximum(apart, 1))
    # The place that says most comes first for each of the others; equal ones in the order of units.
    worth *= np.where(listed & (unit < web.texts), LISTED, 1.0)
    chosen = worth * np.where(unit < web.texts, BESIDE, 1.0)
    order = np.lexsort((there, -chosen, other))
    others, first = np.unique(other[order], return_index=True)
    best = order[first]
    text = unit < web.texts
    times = _distinct(others, other[text], unit[text])
    families = _distinct(others, other, web.family[web.unit_file[unit]])
    spoken = web.spoken_of
    surprising = surprise(np.maximum(times, 1), max(int(spoken[identity]), 1), spoken[others], web.texts)
    # What evidence says of the two in so many words is no coincidence, however often both are named.
    surprising = np.where(unit[best] < web.texts, surprising, np.maximum(surprising, 0.5))
    return Reach(others, here[best], there[best], apart[best], worth[best] * surprising, families)


def surprise(both: Ints, one: int, others: Ints, size: int) -> Floats:
    """How much more often two stand together than by chance: pointwise mutual information as a share,
    discounted for what is rare.

    Args:
        both: Shape (n,): units that name both, at least 1.
        one, others: Units that name the one, and each of the others, shape (n,).
        size: All units.

    Returns:
        Shape (n,), in (0, 1): near 1 where neither stands anywhere without the other, and both often.

    Source: Bouma, Normalized (pointwise) mutual information in collocation extraction, GSCL 2009; Pantel &
    Lin, Discovering word senses from text, KDD 2002.

    >>> surprise(np.array([1, 4, 4]), 4, np.array([4, 4, 50]), 99).round(2).tolist()
    [0.32, 0.8, 0.17]
    """
    expected = one * np.maximum(others, both) / (size + 1)
    share = np.log(both / expected) / np.log((size + 1) / both)
    # What is named once or twice stands beside little else whatever it has to do with it.
    fewer = np.minimum(np.maximum(others, both), max(one, 1))
    found: Floats = np.clip(share * fewer / (fewer + 1), LEAST_SURPRISE, 1.0)
    return found


def _pairs_of_spots(web: Web, identity: int) -> tuple[Ints, Ints]:
    """Spots of an identity, each with every spot of something else in its unit."""
    starts, units = web.spot_starts, web.unit_starts
    heres, theres = [], []
    for mention in web.links_of(identity).tolist():
        unit = int(web.units[mention])
        own = np.arange(starts[mention], starts[mention + 1])
        every = np.arange(starts[units[unit]], starts[units[unit + 1]])
        others = every[(every < starts[mention]) | (every >= starts[mention + 1])]
        heres.append(np.repeat(own, len(others)))
        theres.append(np.tile(others, len(own)))
    nothing = np.zeros(0, dtype=np.int64)
    return np.concatenate([nothing, *heres]), np.concatenate([nothing, *theres])


def _distinct(others: Ints, other: Ints, value: Ints) -> Ints:
    """How many different values each of the others has."""
    if not len(other):
        return np.zeros(len(others), dtype=np.int64)
    pairs = np.unique(np.stack([other, value], axis=1), axis=0)
    counts = np.bincount(pairs[:, 0], minlength=int(others.max(initial=0)) + 1)
    return counts[others]
