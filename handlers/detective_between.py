"""Pairs of people: what evidence says of the two, stands with them once, or joins them from afar."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from handlers.detective_drafts import Draft, Path, fingerprint
from handlers.detective_mentions import CROWD
from handlers.detective_paths import CANDIDATES, KIND_WORTH, bounded
from handlers.detective_reach import Reach, reach
from handlers.detective_web import Web

KNOWN_BRIDGE = 0.5
"""Worth of a path through another person of interest: their links are known already, one by one."""

OFTEN = 2
"""Pieces of evidence, copies and answers counted once, that may name two side by side for that to be news."""

SIDE_BY_SIDE = 300
"""Characters between two names up to which they stand side by side."""

SIDE = 0.5
"""Worth of standing side by side, where to be connected is worth 1."""

LOCAL = 0.4
"""Worth of a pair each of whom one document alone names: they matter little to the case."""

JOINED = 8
"""Further persons that a bridge is told to join, or a statement to be about."""

Statement = tuple[int, int, int, str, int]
"""Passage, characters, predicate and who does it."""


_Pair = tuple[Draft, int, int]
"""A pair of ends that stand together, and the two."""


@dataclass(frozen=True)
class _Bridge:
    """What two ends have in common: worth, the ends, and where it is in the reach of each."""

    worth: float
    a: int
    b: int
    at_a: int
    at_b: int


def between(web: Web, ends: Sequence[int]) -> list[Draft]:
    """What joins pairs of ends, one draft for each: what evidence says that one does to the other, a place
    where the two stand side by side and hardly anywhere else, or a third thing where none names both.

    To stand in one list, header or table is to be named side by side by nothing; whoever is joined by a
    short one knows of the other, and no third thing is news.
    """
    reaches = {end: reach(web, end) for end in sorted(ends)}
    told = _told(web, reaches)
    headed = {end: _short_lists(web, end) for end in reaches}
    drafts: list[Draft] = []
    stated: dict[Statement, list[Draft]] = defaultdict(list)
    bridged: dict[int, list[_Bridge]] = defaultdict(list)
    once: dict[int, list[_Pair]] = defaultdict(list)
    for a, b in combinations(reaches, 2):
        at = int(np.searchsorted(reaches[a].others, b))
        beside = at < len(reaches[a].others) and int(reaches[a].others[at]) == b
        if (a, b) in told:
            stated[_statement(web, told[a, b][0])].append(_related(web, a, b, told[a, b]))
        elif beside:
            of_a = reaches[a]
            if of_a.families[at] <= OFTEN and of_a.apart[at] <= SIDE_BY_SIDE:
                # By the one text that names both; of more texts than one the whole pair is told.
                place = int(web.units[of_a.here[at]]) if of_a.families[at] == 1 else -1
                once[place].append((_together(web, of_a, a, b, at), a, b))
        elif not headed[a] & headed[b]:
            for x, bridge in _bridges(web, reaches, a, b):
                bridged[x].append(bridge)
    drafts += [draft for draft, _, _ in once.pop(-1, [])]
    for unit in sorted(once):
        drafts += _circles(web, once[unit])
    drafts += [_once(stated[statement]) for statement in sorted(stated)]
    for x in sorted(bridged):
        drafts += _through(web, reaches, x, bridged[x])
    return _once_a_pair(drafts)


def _told(web: Web, ends: Container[int]) -> dict[tuple[int, int], list[int]]:
    """Pairs of the ends of which relations tell, with the units of those, what says most first."""
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for unit in range(web.texts, len(web.unit_file)):
        first = int(web.unit_starts[unit])
        pair = (int(web.named[first]), int(web.named[first + 1]))
        if pair[0] in ends and pair[1] in ends:
            found[pair].append(unit)
    says = {unit: float(web.says[web.unit_starts[unit]]) for units in found.values() for unit in units}
    return {pair: sorted(units, key=lambda unit: (-says[unit], unit)) for pair, units in found.items()}


def _short_lists(web: Web, end: int) -> set[int]:
    """The texts of no crowd that name it, in running text or not."""
    units = web.units[web.mentions_of(end)]
    crowd = web.unit_starts[units + 1] - web.unit_starts[units]
    return set(units[crowd <= CROWD].tolist())


def _statement(web: Web, unit: int) -> Statement:
    told = web.told[unit - web.texts]
    return told.chunk, told.start, told.end, told.predicate, int(web.doers[unit - web.texts])


def _once(related: list[Draft]) -> Draft:
    """What one statement says of several, as one finding about the best of them."""
    best, *others = sorted(related, key=lambda draft: (-draft.strength, draft.fingerprint))
    doer = {step.node for step in best.steps}
    ends = [step.node for draft in others for step in (draft.steps[0], draft.steps[-1])]
    return replace(best, also=tuple(dict.fromkeys(node for node in ends if node not in doer))[:JOINED])


def _related(web: Web, a: int, b: int, units: list[int]) -> Draft:
    unit = units[0]
    first = int(web.unit_starts[unit])
    doer, other = (
        (first, first + 1) if int(web.named[first]) == web.doers[unit - web.texts] else (first + 1, first)
    )
    path = Path(web).member(end_member(web, int(web.named[doer]))).into(doer).out(other)
    path.member(end_member(web, int(web.named[other])))
    rare = float(np.sqrt(web.weights[first] * web.weights[first + 1])) / float(web.says[first])
    said = web.told[unit - web.texts]
    return Draft(
        kind="related",
        steps=tuple(path.steps),
        edges=tuple(path.edges),
        strength=bounded(float(web.says[first]) * (0.5 + 0.5 * rare) * path.confidence * _known(web, a, b)),
        confidence=path.confidence,
        fingerprint=fingerprint("related", said.predicate.casefold(), web.key_of(a), web.key_of(b)),
        count=len(units),
    )


def _known(web: Web, a: int, b: int) -> float:
    """What a pair is worth by whether anything but one document names either."""
    return LOCAL if max(web.breadth[a], web.breadth[b]) < 2 else 1.0


def _together(web: Web, of_a: Reach, a: int, b: int, at: int) -> Draft:
    here, there, both = int(of_a.here[at]), int(of_a.there[at]), int(of_a.families[at])
    path = Path(web).member(end_member(web, a)).into(here).out(there).member(end_member(web, b))
    # The rarer of the two says how little to expect it.
    rare = float(np.sqrt(web.weights[here] / web.weights[there]))
    strength = float(of_a.tie[at]) * min(1.0, rare) / both * path.confidence
    return Draft(
        kind="together",
        steps=tuple(path.steps),
        edges=tuple(path.edges),
        strength=bounded(SIDE * strength * _known(web, a, b)),
        confidence=path.confidence,
        fingerprint=fingerprint("together", web.key_of(a), web.key_of(b)),
        count=both,
    )


def _circles(web: Web, pairs: list[_Pair]) -> list[Draft]:
    """Pairs whom one text alone names side by side: of several who all stand beside each other there, the
    best two, with the others.
    """
    left = {(a, b): draft for draft, a, b in pairs}
    circles = []
    for draft, a, b in sorted(pairs, key=lambda pair: (-pair[0].strength, pair[0].fingerprint)):
        if (a, b) not in left:
            continue
        circle = [a, b]
        for end in sorted({end for pair in left for end in pair} - {a, b}):
            if len(circle) < JOINED and all((min(end, one), max(end, one)) in left for one in circle):
                circle.append(end)
        for pair in combinations(sorted(circle), 2):
            del left[pair]
        circles.append(
            replace(draft, also=tuple(web.members[end_member(web, end)].node for end in circle[2:]))
        )
    return circles


def _bridges(web: Web, reaches: dict[int, Reach], a: int, b: int) -> list[tuple[int, _Bridge]]:
    """The best things that two reaches have in common, each with where it is."""
    of_a, of_b = reaches[a], reaches[b]
    _, at_a, at_b = np.intersect1d(of_a.others, of_b.others, assume_unique=True, return_indices=True)
    if not len(at_a):
        return []
    # What stands in one piece of evidence with both, and nowhere else, joins nothing that it does not.
    apart = (
        web.family[web.unit_file[web.units[of_a.here[at_a]]]]
        != web.family[web.unit_file[web.units[of_b.here[at_b]]]]
    )
    at_a, at_b = at_a[apart], at_b[apart]
    shared = of_a.others[at_a]
    kinds = [web.members[web.identities[x][0]].kind for x in shared.tolist()]
    # The mean of both ties, so that a path is not worth less for being longer.
    worth = np.sqrt(of_a.tie[at_a] * of_b.tie[at_b]) * np.array([KIND_WORTH[kind] for kind in kinds])
    worth *= _known(web, a, b)
    worth *= np.array([KNOWN_BRIDGE if kind == "poi" else 1.0 for kind in kinds])
    best = np.lexsort((shared, -worth))[:3]
    return [(int(shared[i]), _Bridge(float(worth[i]), a, b, int(at_a[i]), int(at_b[i]))) for i in best]


def _through(web: Web, reaches: dict[int, Reach], x: int, pairs: list[_Bridge]) -> list[Draft]:
    """The pairs that one thing joins: one by one, or as one finding about a bridge that joins several."""
    pairs.sort(key=lambda pair: (-pair.worth, pair.a, pair.b))
    joins = len(pairs) > 1 and not web.is_person_of_interest(x)
    drafts = []
    for pair in pairs[:1] if joins else pairs[:2]:
        of_a, of_b = reaches[pair.a], reaches[pair.b]
        path = Path(web).member(end_member(web, pair.a))
        path.into(int(of_a.here[pair.at_a])).out(int(of_a.there[pair.at_a]))
        path.into(int(of_b.there[pair.at_b])).out(int(of_b.here[pair.at_b]))
        path.member(end_member(web, pair.b))
        ends = sorted({end for one in pairs for end in (one.a, one.b)} - {pair.a, pair.b})
        keys = () if joins else (web.key_of(pair.a), web.key_of(pair.b))
        kind = "joins" if joins else "connected"
        drafts.append(
            Draft(
                kind="joins" if joins else "connected",
                steps=tuple(path.steps),
                edges=tuple(path.edges),
                strength=bounded(pair.worth * path.confidence),
                confidence=path.confidence,
                fingerprint=fingerprint(kind, web.key_of(x), *keys),
                also=tuple(web.members[end_member(web, end)].node for end in ends[:JOINED]) if joins else (),
                count=len(ends) + 2 if joins else 1,
            )
        )
    return drafts


def _once_a_pair(drafts: list[Draft]) -> list[Draft]:
    """The best drafts, of those between the same two ends the best alone."""
    told: set[frozenset[int]] = set()
    kept = []
    for draft in sorted(drafts, key=lambda d: (-d.strength, d.fingerprint)):
        ends = frozenset((draft.steps[0].node, draft.steps[-1].node))
        if ends not in told:
            told.add(ends)
            kept.append(draft)
    return kept[:CANDIDATES]


def end_member(web: Web, identity: int) -> int:
    """The member by which an identity is told at the end of a path."""
    return web.identities[identity][0]
