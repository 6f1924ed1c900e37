"""Paths worth telling between persons of interest, evidence and cases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from handlers.detective_drafts import Draft, Path, fingerprint
from handlers.detective_web import Floats, Ints, Web

KNOWN_BRIDGE = 0.5
"""Worth of a path through another person of interest: their links are known already, one by one."""

KIND_WORTH = {"email": 1.0, "phone": 1.0, "person": 1.0, "poi": 1.0, "organisation": 0.6, "citation": 0.5}

SHARED_WORTH = KIND_WORTH | {"organisation": 0.25, "citation": 0.25}
"""Worth of what two cases share: universities, papers and precedents are known to everybody."""

CANDIDATES = 400
"""Drafts of each kind that go on to the ranking."""

OFTEN = 2
"""Pieces of evidence, copies and answers counted once, that may name two side by side for that to be news."""

JOINED = 8
"""Further persons that a bridge is told to join."""


@dataclass(frozen=True, eq=False)
class Reach:
    """What stands in one unit with an identity.

    Attributes:
        others: Shape (n,): identities, rising.
        here: Shape (n,): the mention of the identity itself, in the unit that says most of the two.
        there: Shape (n,): the mention of the other in that unit.
        tie: Shape (n,), in (0, 1]: how much of the other's life stands there.
    """

    others: Ints
    here: Ints
    there: Ints
    tie: Floats


def reach(web: Web, identity: int) -> Reach:
    """Everything that is named beside an identity, outside of lists and tables."""
    own = web.mentions_of(identity)
    own = own[~web.is_list[web.units[own]]]
    spans = [(int(m), web.mentions_in(int(web.units[m]))) for m in own]
    if not spans:
        nothing = np.zeros(0, dtype=np.int64)
        return Reach(nothing, nothing, nothing, np.zeros(0))
    there = np.concatenate([np.arange(span.start, span.stop) for _, span in spans])
    here = np.concatenate([np.full(span.stop - span.start, m) for m, span in spans])
    other = web.named[there] != identity
    there, here = there[other], here[other]
    # The unit that says most comes first for each of the others; equal ones in the order of units.
    order = np.lexsort((there, -web.weights[there], web.named[there]))
    there, here = there[order], here[order]
    others, first, times = np.unique(web.named[there], return_index=True, return_counts=True)
    tie = np.sqrt(times / web.common[others]) * web.weights[there[first]]
    return Reach(others, here[first], there[first], tie)


def named_elsewhere(web: Web) -> list[Draft]:
    """Persons of interest of one case who are named in evidence of another one."""
    drafts = []
    for identity in range(len(web.identities)):
        persons = web.persons_in(identity)
        if not persons:
            continue
        own = web.mentions_of(identity)
        case_of = np.array([web.file_case[file] for file in web.unit_file[web.units[own]]], dtype=np.int64)
        entered = {web.members[m].case for m in persons}
        for case in sorted(set(case_of.tolist()) - entered):
            here = own[case_of == case]
            mention = int(here[np.argmax(web.weights[here])])
            path = Path(web).member(persons[0]).into(mention)
            files = len(np.unique(web.unit_file[web.units[here]]))
            drafts.append(
                Draft(
                    kind="named",
                    steps=tuple(path.steps),
                    edges=tuple(path.edges),
                    strength=_bounded((0.6 + 0.4 * float(web.weights[mention])) * path.confidence),
                    confidence=path.confidence,
                    fingerprint=fingerprint("named", web.key_of(identity), web.cases[case].case),
                    count=files,
                )
            )
    return drafts


def shared_across(web: Web) -> list[Draft]:
    """What evidence of two cases names and nobody has entered: an address, a number, a name."""
    drafts = []
    several = [i for i, group in enumerate(web.identities) if len({web.members[m].case for m in group}) > 1]
    for identity in several:
        own = web.mentions_of(identity)
        if web.is_person_of_interest(identity):
            persons = web.persons_in(identity)
            if len({web.members[m].case for m in persons}) < 2:
                continue  # told by `named_elsewhere`
        case_of = np.array([web.file_case[file] for file in web.unit_file[web.units[own]]], dtype=np.int64)
        best = {
            case: int(own[case_of == case][np.argmax(web.weights[own[case_of == case]])])
            for case in sorted(set(case_of.tolist()))
        }
        for a, b in combinations(best, 2):
            one, other = best[a], best[b]
            path = Path(web)
            path.steps.append(path.evidence(one))
            path.out(one).into(other)
            kind = web.members[int(web.through[one])].kind
            strength = float(web.weights[one] * web.weights[other]) * SHARED_WORTH[kind] * path.confidence
            drafts.append(
                Draft(
                    kind="shared",
                    steps=tuple(path.steps),
                    edges=tuple(path.edges),
                    strength=_bounded(strength),
                    confidence=path.confidence,
                    fingerprint=fingerprint(
                        "shared", web.key_of(identity), web.cases[a].case, web.cases[b].case
                    ),
                    count=len(web.files_of(identity)),
                )
            )
    return _best(drafts)


def between(web: Web, ends: Sequence[int]) -> list[Draft]:
    """Pairs of ends that hardly any evidence names side by side, or that a third thing joins where none does.

    To stand in one list or table is to be named side by side by nothing.
    """
    reaches = {end: reach(web, end) for end in ends}
    units = {end: set(web.units_of(end).tolist()) for end in ends}
    drafts: list[Draft] = []
    bridged: dict[int, list[tuple[float, int, int, int, int]]] = defaultdict(list)
    for a, b in combinations(sorted(reaches), 2):
        beside = [unit for unit in units[a] & units[b] if not web.is_list[unit]]
        both = len({int(web.family[web.unit_file[unit]]) for unit in beside})
        if 0 < both <= OFTEN:
            drafts.append(_together(web, reaches, a, b, both))
        if not both:
            for worth, x, at_a, at_b in _bridges(web, reaches[a], reaches[b]):
                bridged[x].append((worth, a, b, at_a, at_b))
    for x in sorted(bridged):
        drafts += _through(web, reaches, x, bridged[x])
    return _best(drafts)


def _together(web: Web, reaches: dict[int, Reach], a: int, b: int, both: int) -> Draft:
    of_a = reaches[a]
    at = int(np.searchsorted(of_a.others, b))
    here, there = int(of_a.here[at]), int(of_a.there[at])
    path = Path(web).member(_end(web, a)).into(here).out(there).member(_end(web, b))
    # The rarer of the two says how little to expect it.
    strength = float(np.sqrt(web.weights[here] * web.weights[there])) / both * path.confidence
    return Draft(
        kind="together",
        steps=tuple(path.steps),
        edges=tuple(path.edges),
        strength=_bounded(0.5 * strength),
        confidence=path.confidence,
        fingerprint=fingerprint("together", web.key_of(a), web.key_of(b)),
        count=both,
    )


def _bridges(web: Web, of_a: Reach, of_b: Reach) -> list[tuple[float, int, int, int]]:
    """The best things that two reaches have in common: worth, identity, and where it is in each."""
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
    worth *= np.array([KNOWN_BRIDGE if kind == "poi" else 1.0 for kind in kinds])
    best = np.lexsort((shared, -worth))[:3]
    return [(float(worth[i]), int(shared[i]), int(at_a[i]), int(at_b[i])) for i in best]


def _through(
    web: Web, reaches: dict[int, Reach], x: int, pairs: list[tuple[float, int, int, int, int]]
) -> list[Draft]:
    """The pairs that one thing joins: one by one, or as one finding about a bridge that joins several."""
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    joins = len(pairs) > 1 and not web.is_person_of_interest(x)
    drafts = []
    for worth, a, b, at_a, at_b in pairs[:1] if joins else pairs[:2]:
        of_a, of_b = reaches[a], reaches[b]
        path = Path(web).member(_end(web, a)).into(int(of_a.here[at_a])).out(int(of_a.there[at_a]))
        path.into(int(of_b.there[at_b])).out(int(of_b.here[at_b])).member(_end(web, b))
        ends = sorted({end for pair in pairs for end in pair[1:3]} - {a, b})
        keys = () if joins else (web.key_of(a), web.key_of(b))
        kind = "joins" if joins else "connected"
        drafts.append(
            Draft(
                kind="joins" if joins else "connected",
                steps=tuple(path.steps),
                edges=tuple(path.edges),
                strength=_bounded(worth * path.confidence * (1.0 + 0.25 * min(len(ends), 4) * joins)),
                confidence=path.confidence,
                fingerprint=fingerprint(kind, web.key_of(x), *keys),
                also=tuple(web.members[_end(web, end)].node for end in ends[:JOINED]) if joins else (),
                count=len(ends) + 2 if joins else 1,
            )
        )
    return drafts


def around_evidence(web: Web, file: int) -> list[Draft]:
    """Other evidence that names the same rare things, where nothing else tells that they belong together."""
    own = np.flatnonzero(web.unit_file[web.units] == file)
    found: dict[int, list[tuple[float, int, int]]] = defaultdict(list)
    for mention in own.tolist():
        others = web.mentions_of(int(web.named[mention]))
        kind = web.members[int(web.through[mention])].kind
        for other in others.tolist():
            there = int(web.unit_file[web.units[other]])
            if web.family[there] != web.family[file]:
                worth = float(web.weights[mention] * web.weights[other]) * KIND_WORTH[kind]
                found[there].append((worth, mention, other))
    drafts = []
    for there in sorted(found):
        ways = sorted(found[there], key=lambda way: (-way[0], way[1], way[2]))
        worth, mention, other = ways[0]
        bridge = int(web.named[mention])
        more = sorted({int(web.named[way[1]]) for way in ways} - {bridge})
        path = Path(web)
        path.steps.append(path.evidence(mention))
        path.out(mention).into(other)
        ends = (f"sha256:{web.files[file].sha256}", f"sha256:{web.files[there].sha256}")
        drafts.append(
            Draft(
                kind="linked",
                steps=tuple(path.steps),
                edges=tuple(path.edges),
                strength=_bounded(worth * path.confidence * (1.0 + 0.1 * min(len(more), 5))),
                confidence=path.confidence,
                fingerprint=fingerprint("linked", web.key_of(bridge), *ends),
                also=tuple(web.members[web.identities[one][0]].node for one in more[:JOINED]),
                count=len(more) + 1,
            )
        )
    return _best(drafts)


def _end(web: Web, identity: int) -> int:
    """The member by which an identity is told at the end of a path."""
    return web.identities[identity][0]


def _best(drafts: list[Draft]) -> list[Draft]:
    return sorted(drafts, key=lambda d: (-d.strength, d.fingerprint))[:CANDIDATES]


def _bounded(strength: float) -> float:
    return float(min(1.0, max(strength, 1e-6)))
