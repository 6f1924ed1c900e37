"""The order of findings: PageRank over links and likenesses, and nothing merely alike above what is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from gpu import csr_from_edges, pagerank
from handlers.detective_drafts import Draft
from handlers.detective_units import Floats
from handlers.detective_web import Web

LIKENESS = 0.1
"""Weight of a likeness beside a link of the same strength."""

ABOUT = 5.0
"""Reset weight of what a search is about; that of a person of interest is 1."""

ACCEPTED = 1.0
"""Reset weight of each accepted finding that a node is part of."""

LEAST = 1e-3
"""Reset weight of everything else, so that a case without persons of interest has an order as well."""

STANDING = 0.3
"""Share of the score that standing can take away from what is far from all that matters."""

REPEATED = 0.6
"""Worth of a finding for each better one that names the same."""

WITHIN = 0.25
"""Worth of a finding that is a part of a better one."""

SAID = 0.5
"""What is said by evidence scores above this, what is merely alike below."""

LIKENESSES = 4
"""One place of so many is kept for likenesses, below what is said, where there are any."""


def standings(
    web: Web,
    drafts: Sequence[Draft],
    about: Iterable[int],
    accepted: Mapping[int, int],
) -> tuple[dict[int, float], int]:
    """How much each node matters, by node id: its place among those of its sort, in (0, 1], the first 1.

    The walk begins at persons of interest, at what the search is about and at what accepted findings name,
    and is compared with one that begins everywhere: what everything mentions matters no more for that.
    """
    names, files = len(web.identities), len(web.files)
    count = names + files
    if not count:
        return {}, 0
    likenesses = [d for d in drafts if not d.explicit]
    pairs = [(_place(web, d.steps[0].node), _place(web, d.steps[1].node), d.strength) for d in likenesses]
    pairs = [(a, b, share) for a, b, share in pairs if a != b and a >= 0 and b >= 0]
    source = np.concatenate([web.named, np.array([a for a, _, _ in pairs], dtype=np.int64)])
    target = np.concatenate(
        [names + web.unit_file[web.units], np.array([b for _, b, _ in pairs], dtype=np.int64)]
    )
    weight = np.concatenate([web.weights, LIKENESS * np.array([share for _, _, share in pairs])])
    links = csr_from_edges(count, source, target, np.maximum(weight, 1e-9), symmetric=True)
    reset = np.full(count, LEAST / count)
    for identity in range(names):
        if web.is_person_of_interest(identity):
            reset[identity] += 1.0
    for node, extra in [
        *((n, ABOUT) for n in about),
        *((n, ACCEPTED * k) for n, k in sorted(accepted.items())),
    ]:
        if (place := _place(web, node)) >= 0:
            reset[place] += extra
    scores: Floats = pagerank(links, reset).scores / np.maximum(
        pagerank(links, np.full(count, 1.0 / count)).scores, 1e-12
    )
    standing: dict[int, float] = {}
    for sort, nodes in (
        (scores[:names], [(i, web.members[m].node) for i, group in enumerate(web.identities) for m in group]),
        (scores[names:], [(i, file.node) for i, file in enumerate(web.files)]),
    ):
        rounded = np.round(sort / max(float(sort.max(initial=0.0)), 1e-12), 6)
        places = np.searchsorted(np.sort(rounded), rounded, side="right") / max(len(rounded), 1)
        standing |= {node: float(places[i]) for i, node in nodes}
    return standing, int(links.links)


def ordered(
    drafts: Iterable[Draft],
    standing: Mapping[int, float],
    *,
    accepted: Mapping[int, int],
    dismissed: Iterable[str],
    limit: int,
) -> list[Draft]:
    """The best drafts with their scores, best first; every explicit one above every other one.

    A dismissed finding does not return. The same name again and again counts for less and less. Whatever
    touches an accepted finding gains.
    """
    away = set(dismissed)
    once: dict[str, tuple[float, Draft]] = {}
    for draft in drafts:
        if draft.fingerprint not in away:
            worth = _worth(draft, standing, accepted)
            known = once.get(draft.fingerprint)
            if known is None or worth > known[0]:
                once[draft.fingerprint] = (worth, draft)
    said = _diverse([one for one in once.values() if one[1].explicit], limit)
    alike = _diverse([one for one in once.values() if not one[1].explicit], limit)
    places = min(len(alike), max(limit // LIKENESSES, limit - len(said)))
    best = [d.scored(SAID + (1.0 - SAID) * worth) for worth, d in said[: limit - places]]
    return best + [d.scored(SAID * 0.999 * worth) for worth, d in alike[:places]]


def _worth(draft: Draft, standing: Mapping[int, float], accepted: Mapping[int, int]) -> float:
    """In (0, 1)."""
    nodes = [step.node for step in draft.steps]
    mean = sum(standing.get(node, 0.0) for node in nodes) / len(nodes)
    worth = draft.strength * (1.0 - STANDING + STANDING * mean**0.5)
    touched = sum(1 for node in nodes if node in accepted)
    return float(min(0.999, max(1e-6, 1.0 - (1.0 - min(worth, 0.999)) * 0.85**touched)))


def _diverse(found: list[tuple[float, Draft]], most: int) -> list[tuple[float, Draft]]:
    """Best first, each worth less for every better one that names the same."""
    left = sorted(found, key=lambda one: (-one[0], one[1].fingerprint))
    told: Counter[int] = Counter()
    chosen: list[tuple[float, Draft]] = []
    while left and len(chosen) < most:
        worths = [
            worth * REPEATED ** _repeats(draft, told) * (WITHIN if _is_within(draft, chosen) else 1.0)
            for worth, draft in left
        ]
        best = max(range(len(left)), key=lambda i: (worths[i], -i))
        _, draft = left.pop(best)
        told.update(_names(draft))
        chosen.append((worths[best], draft))
    return chosen


def _is_within(draft: Draft, chosen: Sequence[tuple[float, Draft]]) -> bool:
    """Whether a better finding's path leads through all of it."""
    names = _names(draft)
    return any(names <= _names(better) for _, better in chosen)


def _repeats(draft: Draft, told: Mapping[int, int]) -> int:
    return max((told.get(node, 0) for node in _names(draft)), default=0)


def _names(draft: Draft) -> set[int]:
    """Whom and what a finding names, and where."""
    return {step.node for step in draft.steps}


def _place(web: Web, node: int) -> int:
    """Where a node is in the walk; −1 where it is no part of it."""
    if node in web.member_at:
        return int(web.identity_of[web.member_at[node]])
    return len(web.identities) + web.file_at[node] if node in web.file_at else -1
