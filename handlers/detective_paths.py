"""Paths worth telling between persons of interest, evidence and cases."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import numpy as np

from handlers.detective_drafts import Draft, Path, fingerprint
from handlers.detective_web import Web

KIND_WORTH = {"email": 1.0, "phone": 1.0, "person": 1.0, "poi": 1.0, "organisation": 0.6, "citation": 0.5}

SHARED_WORTH = KIND_WORTH | {"organisation": 0.25, "citation": 0.25}
"""Worth of what two cases share: universities, papers and precedents are known to everybody."""

CANDIDATES = 400
"""Drafts of each kind that go on to the ranking."""

JOINED = 8
"""Further names in common that are told of."""


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
                    strength=bounded((0.6 + 0.4 * float(web.weights[mention])) * path.confidence),
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
                    strength=bounded(strength),
                    confidence=path.confidence,
                    fingerprint=fingerprint(
                        "shared", web.key_of(identity), web.cases[a].case, web.cases[b].case
                    ),
                    count=len(web.files_of(identity)),
                )
            )
    return _best(drafts)


def around_evidence(web: Web, file: int) -> list[Draft]:
    """Other evidence that names the same rare things, where nothing else tells that they belong together."""
    own = np.flatnonzero(web.unit_file[web.units[: web.text_mentions]] == file)
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
                strength=bounded(worth * path.confidence * (1.0 + 0.1 * min(len(more), 5))),
                confidence=path.confidence,
                fingerprint=fingerprint("linked", web.key_of(bridge), *ends),
                also=tuple(web.members[web.identities[one][0]].node for one in more[:JOINED]),
                count=len(more) + 1,
            )
        )
    return _best(drafts)


def _best(drafts: list[Draft]) -> list[Draft]:
    return sorted(drafts, key=lambda d: (-d.strength, d.fingerprint))[:CANDIDATES]


def bounded(strength: float) -> float:
    """As a draft's."""
    return float(min(1.0, max(strength, 1e-6)))
