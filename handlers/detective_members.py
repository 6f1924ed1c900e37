"""Persons of interest and entities of several cases, and which of them are one and the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from handlers.detective_keys import SURE, Key, is_noise, keys_of_entity, keys_of_person, only_bearers
from handlers.detective_units import Ints, roots
from storage.detective import CaseFacts

NAMES = ("name", "address of the name", "short name", "common name", "surname", "alias")
"""Kinds of keys whose values are names: equal values of any two of them are one name."""


@dataclass(frozen=True)
class Member:
    """A person of interest or an entity of one case; `case` is the case's place."""

    what: Literal["poi", "entity"]
    node: int
    kind: str
    name: str
    case: int
    keys: frozenset[Key]
    poi: int = 0
    by_word: int = 0


def members_of(case: CaseFacts, place: int, made: dict[str, str], meant: dict[int, str]) -> list[Member]:
    """What a case names, with its keys; what joins nothing is left out.

    Args:
        place: The case's.
        made: What stands before the @ of somebody of a name → the key of that name.
        meant: Of entities of a single word, the key of the name of whom they mean.
    """
    persons = {one.node: frozenset(keys_of_person(one)) for one in case.persons}
    bearers = only_bearers(case)
    found = [Member("poi", one.node, "poi", one.name, place, persons[one.node]) for one in case.persons]
    for one in case.named:
        keys = set(keys_of_entity(one)) | set(persons.get(one.poi, ()))
        if one.bare and not one.poi:
            if one.node not in meant:
                continue
            keys.add(Key("alias", meant[one.node]))
        elif one.kind == "person" and (full := bearers.get(one.key)):
            keys.add(Key("surname", full))
        elif one.kind != "poi" and not one.poi and is_noise(one.kind, one.key, accepted=one.accepted):
            continue
        if one.kind == "email" and (name := made.get(one.key.partition("@")[0])):
            keys.add(Key("address of the name", name))
        own = (one.node, one.kind, one.name, place, frozenset(keys), one.poi, one.by_word)
        found.append(Member("entity", *own))
    return found


def _called(member: Member) -> int:
    """Which of several names something is called by: that with the least number."""
    if member.what == "poi":
        return 0
    if member.kind == "poi":
        return 1
    if any(key.why in ("surname", "alias") for key in member.keys):
        return 4
    return 2 if member.kind == "person" else 3


def joined(
    members: Sequence[Member], same: Sequence[tuple[int, int]], apart: Sequence[tuple[int, int]] = ()
) -> tuple[Ints, list[list[int]]]:
    """Members that share a key, are a person of interest or were found to be the same are one identity.

    Whom a person has found to be different are never one, not by way of a third either: then the surest of
    the ties that would join them count, and what is left joins whom it can.

    Args:
        same, apart: Nodes of two members.

    Returns:
        Shape (members,): the identity of each; and the members of each identity, what it is called by first.
    """
    said: dict[int, list[_Tie]] = defaultdict(list)
    for pair in same:
        for node in pair:
            said[node].append(("same", pair))
    ties = [[*_ties(member), *said[member.node]] for member in members]
    places: dict[int, int] = {member.node: place for place, member in enumerate(members)}
    split = [(places[a], places[b]) for a, b in apart if a in places and b in places]
    root = _roots_apart(members, ties, split) if split else roots(ties)
    groups: dict[int, list[int]] = defaultdict(list)
    for place, first in enumerate(root.tolist()):
        groups[first].append(place)
    identities = [
        sorted(group, key=lambda m: (_called(members[m]), m)) for _, group in sorted(groups.items())
    ]
    identity_of = np.zeros(len(members), dtype=np.int64)
    for identity, group in enumerate(identities):
        identity_of[group] = identity
    return identity_of, identities


_Tie = tuple[str, object]


def _ties(member: Member) -> Iterator[_Tie]:
    poi = member.node if member.what == "poi" else member.poi
    if poi:
        yield "poi", poi
    # An address made of a name belongs to whoever has the name.
    yield from (("name", key.value) if key.why in NAMES else key for key in sorted(member.keys))


def _roots_apart(
    members: Sequence[Member], ties: Sequence[Sequence[_Tie]], split: Sequence[tuple[int, int]]
) -> Ints:
    """As `roots`, but no two of `split` come together; the surest ties join first."""
    root = list(range(len(members)))
    foes: dict[int, set[int]] = defaultdict(set)

    def find(one: int) -> int:
        while root[one] != one:
            root[one] = root[root[one]]
            one = root[one]
        return one

    for a, b in split:
        foes[a].add(b)
        foes[b].add(a)
    sharers: dict[_Tie, list[int]] = defaultdict(list)
    for place, own in enumerate(ties):
        for tie in dict.fromkeys(own):
            sharers[tie].append(place)
    joins = [
        (-min(_sure(members[a], tie), _sure(members[b], tie)), a, b)
        for tie, sharing in sharers.items()
        for at, b in enumerate(sharing)
        for a in sharing[:at]
    ]
    for _, a, b in sorted(joins):
        one, other = sorted((find(a), find(b)))
        if one != other and all(find(foe) != other for foe in foes[one]):
            root[other] = one
            foes[one] |= foes.pop(other, set())
    return np.array([find(one) for one in range(len(members))], dtype=np.int64)


def _sure(member: Member, tie: _Tie) -> float:
    """How sure it is that the member has what the tie names."""
    kind, value = tie
    if kind in ("poi", "same"):
        return 1.0
    return max(SURE[key.why] for key in member.keys if key.value == value)
