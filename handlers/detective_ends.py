"""How two ends are connected: the best ways of at most four hops, each through something else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from handlers.detective_drafts import Draft, Kind, Path, fingerprint
from handlers.detective_paths import KIND_WORTH
from handlers.detective_units import Floats, Ints
from handlers.detective_web import Web

HOPS = 4
BESIDE = 0.05
"""Cost of a place where names merely stand beside each other: what is said of the two goes before it."""

WAYS = 10
"""Ways that are told of."""


@dataclass(frozen=True)
class End:
    """An identity, or a piece of evidence (place in `Web.files`)."""

    identity: int = -1
    file: int = -1


def end_of(web: Web, node: int) -> End | None:
    """The end that a node names; None where the web holds no such node."""
    if node in web.member_at:
        return End(identity=int(web.identity_of[web.member_at[node]]))
    return End(file=web.file_at[node]) if node in web.file_at else None


def ways(web: Web, a: End, b: End) -> list[Draft]:
    """The ways between two different ends, best first; after each the names in its middle are closed.

    Where a way has no names in its middle, the evidence that joins its ends is.
    """
    if a == b:
        return []
    open_ = np.ones(len(web.units), dtype=bool)
    costs = _costs(web, a, b)
    drafts: list[Draft] = []
    while len(drafts) < WAYS:
        found = _shortest(web, costs, open_, a, b)
        if found is None:
            break
        mentions, cost = found
        draft = _draft(web, a, b, mentions, cost)
        drafts.append(draft)
        inner = set(web.named[mentions].tolist()) - {a.identity, b.identity}
        if inner:
            open_ &= ~np.isin(web.named, sorted(inner))
        else:
            open_ &= ~np.isin(web.unit_file[web.units], web.unit_file[web.units[mentions]])
    return drafts


def _costs(web: Web, a: End, b: End) -> Floats:
    """−log of how much each mention says; of the ends themselves it does not matter how common they are."""
    is_end = np.isin(web.named, [a.identity, b.identity])
    worth = np.array([np.sqrt(KIND_WORTH[m.kind]) for m in web.members])
    share = np.where(is_end, web.says, web.weights * worth[web.through])
    costs: Floats = -np.log(np.maximum(share, 1e-9))
    costs[: web.text_mentions] += BESIDE
    return costs


def _shortest(web: Web, costs: Floats, open_: Ints, a: End, b: End) -> tuple[list[int], float] | None:
    """The mentions along the cheapest way and its cost, over at most `HOPS` of them."""
    names, units = len(web.identities), len(web.unit_file)
    mentions = np.flatnonzero(open_)
    unit, name, price = web.units[mentions], web.named[mentions], costs[mentions]
    at_name, at_unit = np.full(names, np.inf), np.full(units, np.inf)
    is_text = np.arange(units) < web.texts
    is_target_unit = (web.unit_file == b.file) & is_text
    if a.identity >= 0:
        at_name[a.identity] = 0.0
    else:
        at_unit[(web.unit_file == a.file) & is_text] = 0.0
    to_unit = a.identity >= 0
    parents: list[tuple[bool, Ints]] = []
    best: tuple[float, int, int] | None = None
    for hop in range(HOPS):
        if to_unit:
            at_unit, parent = _relaxed(at_name[name] + price, unit, units)
            reached = np.where(is_target_unit, at_unit, np.inf)
        else:
            at_name, parent = _relaxed(at_unit[unit] + price, name, names)
            reached = np.where(np.arange(names) == b.identity, at_name, np.inf)
        parents.append((to_unit, parent))
        place = int(np.argmin(reached))
        if reached[place] < (np.inf if best is None else best[0]):
            best = (float(reached[place]), hop, place)
        to_unit = not to_unit
    if best is None:
        return None
    cost, hop, place = best
    way = []
    for into_unit, parent in reversed(parents[: hop + 1]):
        edge = int(parent[place])
        way.append(int(mentions[edge]))
        place = int(name[edge] if into_unit else unit[edge])
    return way[::-1], cost


def _relaxed(costs: Floats, targets: Ints, count: int) -> tuple[Floats, Ints]:
    """The least cost of each target, and the edge by which it comes (of equal ones the first)."""
    least = np.full(count, np.inf)
    parent = np.full(count, -1, dtype=np.int64)
    order = np.lexsort((np.arange(len(targets)), costs, targets))
    reached, first = np.unique(targets[order], return_index=True)
    least[reached] = costs[order[first]]
    parent[reached] = order[first]
    return least, parent


def _kind(web: Web, a: End, b: End, mentions: list[int]) -> Kind:
    if len(mentions) > 2 or min(a.identity, b.identity) < 0:
        return "connected"
    return "together" if web.told_by(int(web.units[mentions[0]])) is None else "related"


def _draft(web: Web, a: End, b: End, mentions: list[int], cost: float) -> Draft:
    path = Path(web)
    inside = a.identity < 0
    if inside:
        path.steps.append(path.evidence(mentions[0]))
    else:
        path.member(web.identities[a.identity][0])
    for mention in mentions:
        path = path.out(mention) if inside else path.into(mention)
        inside = not inside
    if b.identity >= 0:
        path.member(web.identities[b.identity][0])
    strength = min(1.0, max(float(np.exp(-cost)) * path.confidence, 1e-6))
    middle = sorted({web.key_of(i) for i in set(web.named[mentions].tolist()) - {a.identity, b.identity}})
    middle = middle or [f"sha256:{web.files[int(web.unit_file[web.units[mentions[0]]])].sha256}"]
    ends = [
        web.key_of(end.identity) if end.identity >= 0 else f"sha256:{web.files[end.file].sha256}"
        for end in (a, b)
    ]
    return Draft(
        kind=_kind(web, a, b, mentions),
        steps=tuple(path.steps),
        edges=tuple(path.edges),
        strength=strength,
        confidence=path.confidence,
        fingerprint=fingerprint("way", *ends, *middle),
    )
