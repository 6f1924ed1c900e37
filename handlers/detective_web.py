"""The graphs of several cases as one: what is the same across them is one identity, with reasons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from handlers.detective_keys import SURE, Key, is_noise, keys_of_entity, keys_of_person, name_addresses
from storage.detective import CaseFacts, File
from storage.graph import rarity

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SHORT = 3
"""Passages of evidence that is one unit; of longer evidence each passage is one, since what stands a
hundred pages apart is not joined by it."""

_NAMES = ("name", "address of the name", "short name", "common name")

PROSE = 0.35
"""Share of words in lower case from which a unit counts in full: running text has more than that."""

LISTS = 0.15
"""Below this share a unit is a list or a table: whoever stands side by side in it is not thereby joined."""

CROWDED = 5.0
"""Names in a unit from which each counts for less: a list of people says little of any two."""

CROWD = 12
"""Names from which a unit is a list, however many words stand between them."""


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


@dataclass(frozen=True, eq=False)
class Web:
    """Identities and units of several cases, joined by mentions.

    A unit is a short piece of evidence, or a passage of a long one. Arrays of mentions, each unit and
    identity joined once, are ordered by unit and identity.

    Attributes:
        identity_of: Shape (members,): the identity of each.
        identities: The members of each identity, persons of interest first.
        files: All evidence; `file_case` tells the place of each one's case.
        unit_file: Shape (units,): place in `files`.
        is_list: Shape (units,): whether it is a list or a table.
        prose_of: Evidence and ordinal of a passage → how many words it has, and how many in lower case.
        units: Shape (mentions,): place of the unit.
        named: Shape (mentions,): identity.
        through: Shape (mentions,): the member that is mentioned first.
        passages: Shape (mentions,): id of the passage where it is.
        weights: Shape (mentions,): rarity of the identity in that case times `says`, in (0, 1].
        says: Shape (mentions,): how much the unit says of one of the names in it, in (0, 1].
        family: Shape (files,): equal for evidence that is known to belong together.
    """

    cases: list[CaseFacts]
    members: list[Member]
    identity_of: Ints
    identities: list[list[int]]
    files: list[File]
    file_case: list[int]
    unit_file: Ints
    is_list: NDArray[np.bool_]
    prose_of: dict[tuple[int, int], tuple[int, int]]
    units: Ints
    named: Ints
    through: Ints
    passages: Ints
    weights: Floats
    says: Floats
    family: Ints

    @cached_property
    def member_at(self) -> dict[int, int]:
        """Node of a person of interest or an entity → its place in `members`."""
        return {member.node: place for place, member in enumerate(self.members)}

    @cached_property
    def file_at(self) -> dict[int, int]:
        """Node of evidence → its place in `files`."""
        return {file.node: place for place, file in enumerate(self.files)}

    @cached_property
    def unit_starts(self) -> Ints:
        """Where the mentions of each unit begin; shape (units + 1,)."""
        return np.searchsorted(self.units, np.arange(len(self.unit_file) + 1))

    @cached_property
    def by_identity(self) -> tuple[Ints, Ints]:
        """The mentions in the order of identities and units, and where those of each identity begin."""
        order = np.lexsort((self.units, self.named))
        return order, np.searchsorted(self.named[order], np.arange(len(self.identities) + 1))

    @cached_property
    def common(self) -> Ints:
        """Shape (identities,): in how many units each is mentioned."""
        return np.bincount(self.named, minlength=len(self.identities))

    def mentions_of(self, identity: int) -> Ints:
        """Places of its mentions, by unit."""
        order, starts = self.by_identity
        return order[starts[identity] : starts[identity + 1]]

    def mentions_in(self, unit: int) -> slice:
        """Where the mentions of a unit are."""
        return slice(int(self.unit_starts[unit]), int(self.unit_starts[unit + 1]))

    def units_of(self, identity: int) -> Ints:
        """The units that mention it, rising."""
        found: Ints = self.units[self.mentions_of(identity)]
        return found

    def files_of(self, identity: int) -> Ints:
        """The evidence that mentions it, rising."""
        return np.unique(self.unit_file[self.units[self.mentions_of(identity)]])

    def persons_in(self, identity: int) -> list[int]:
        """Its members that are persons of interest."""
        return [m for m in self.identities[identity] if self.members[m].what == "poi"]

    def is_person_of_interest(self, identity: int) -> bool:
        """Whether somebody has entered it as one, in any of the cases."""
        return bool(self.persons_in(identity))

    def name_of(self, identity: int) -> str:
        """What to call it: the person of interest's name where it has one."""
        return self.members[self.identities[identity][0]].name

    def key_of(self, identity: int) -> str:
        """What names it in a later search, too."""
        return min(_lasting(self.members[m], self.cases) for m in self.identities[identity])

    def why_same(self, a: int, b: int) -> str:
        """The surest reason for which two members of one identity are one."""
        one, other = self.members[a], self.members[b]
        if one.poi == other.node or other.poi == one.node:
            return "is"
        shared = [key.why for key in one.keys & other.keys]
        # A name and what is made of it are keys of two sorts with one value.
        values = {key.value: key.why for key in one.keys if key.why in _NAMES}
        shared += [
            min(key.why, values[key.value], key=lambda why: SURE[why])
            for key in other.keys
            if key.why in _NAMES and key.value in values
        ]
        # Joined by way of a third: as sure as the least sure of the reasons that there are.
        return max(shared, key=lambda why: SURE[why]) if shared else "name"


def weave(cases: Sequence[CaseFacts]) -> Web:
    """Join what is the same in and across the cases, and weigh the mentions.

    >>> weave([]).identities
    []
    """
    made = name_addresses(cases)
    members = [member for place, case in enumerate(cases) for member in _members(case, place, made)]
    identity_of, identities = _joined(members)
    files = [file for case in cases for file in case.files]
    file_case = [place for place, case in enumerate(cases) for _ in case.files]
    at = {file.node: place for place, file in enumerate(files)}
    unit_of, unit_file, share = _units(cases, at)
    member_at = {m.node: place for place, m in enumerate(members) if m.what == "entity"}
    rows = [case.mentions for case in cases if len(case.mentions)]
    table = np.concatenate(rows) if rows else np.zeros((0, 3), dtype=np.int64)
    kept = [
        (unit_of[chunk], int(identity_of[member_at[entity]]), chunk, member_at[entity])
        for chunk, entity, _ in table.tolist()
        if entity in member_at and chunk in unit_of
    ]
    joined: dict[tuple[int, int], tuple[int, int]] = {}
    for unit, identity, chunk, member in kept:
        here = joined.get((unit, identity))
        if here is None or (chunk, member) < here:
            joined[unit, identity] = (chunk, member)
    ordered = sorted(joined)
    units = np.array([unit for unit, _ in ordered], dtype=np.int64)
    named = np.array([identity for _, identity in ordered], dtype=np.int64)
    first = np.array([joined[key] for key in ordered], dtype=np.int64).reshape(-1, 2)
    crowd = np.bincount(units, minlength=len(unit_file))
    is_list = (share < LISTS) | (crowd > CROWD)
    says = np.minimum(1.0, CROWDED / np.maximum(crowd, 1)) * np.minimum(1.0, share / PROSE)
    says = np.maximum(says, 1e-3)[units]
    case_of_unit = np.array([file_case[file] for file in unit_file], dtype=np.int64)
    weights = says * _rare(units, named, case_of_unit, len(cases))
    return Web(
        cases=list(cases),
        members=members,
        identity_of=identity_of,
        identities=identities,
        files=files,
        file_case=file_case,
        unit_file=np.array(unit_file, dtype=np.int64),
        is_list=is_list,
        prose_of={
            (evidence, ordinal): (words, prose)
            for each in cases
            for _, evidence, ordinal, words, prose in each.chunks.tolist()
        },
        units=units,
        named=named,
        through=first[:, 1],
        passages=first[:, 0],
        weights=weights,
        says=says,
        family=_families(cases, files, at),
    )


def _lasting(member: Member, cases: Sequence[CaseFacts]) -> str:
    if member.what == "poi":
        return f" poi:{member.node}"
    # Ids of entities are given anew when evidence is read again; their names are not.
    return f"{cases[member.case].case}:{member.kind}:{member.name.casefold()}"


def _members(case: CaseFacts, place: int, made: dict[str, str]) -> list[Member]:
    persons = {one.node: frozenset(keys_of_person(one)) for one in case.persons}
    found = [Member("poi", one.node, "poi", one.name, place, persons[one.node]) for one in case.persons]
    for one in case.named:
        if one.kind != "poi" and not one.poi and is_noise(one.kind, one.key, accepted=one.accepted):
            continue
        keys = set(keys_of_entity(one)) | set(persons.get(one.poi, ()))
        if one.kind == "email" and (name := made.get(one.key.partition("@")[0])):
            keys.add(Key("address of the name", name))
        found.append(Member("entity", one.node, one.kind, one.name, place, frozenset(keys), one.poi))
    return found


def _joined(members: Sequence[Member]) -> tuple[Ints, list[list[int]]]:
    """Members that share a key, or are a person of interest, are one identity."""
    ties: list[list[object]] = []
    for member in members:
        own: list[object] = [("poi", member.node if member.what == "poi" else member.poi)]
        # An address made of a name belongs to whoever has the name.
        own += [("name", key.value) if key.why in _NAMES else key for key in sorted(member.keys)]
        ties.append([tie for tie in own if tie != ("poi", 0)])
    groups: dict[int, list[int]] = defaultdict(list)
    for place, root in enumerate(roots(ties).tolist()):
        groups[root].append(place)
    identities = [
        sorted(group, key=lambda m: (members[m].what != "poi", m)) for _, group in sorted(groups.items())
    ]
    identity_of = np.zeros(len(members), dtype=np.int64)
    for identity, group in enumerate(identities):
        identity_of[group] = identity
    return identity_of, identities


def _units(cases: Sequence[CaseFacts], at: dict[int, int]) -> tuple[dict[int, int], list[int], Floats]:
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


def _rare(units: Ints, named: Ints, case_of_unit: Ints, cases: int) -> Floats:
    """The rarity of each mention's identity in its case, in units of the rarest possible there."""
    rare = np.zeros(len(units))
    for case in range(cases):
        here = case_of_unit[units] == case
        size = int((case_of_unit == case).sum())
        own, back, counts = np.unique(named[here], return_inverse=True, return_counts=True)
        if len(own):
            shares = np.array([rarity(int(n), size) for n in counts]) / rarity(1, size)
            rare[here] = np.minimum(1.0, shares[back])
    return rare


def _families(cases: Sequence[CaseFacts], files: Sequence[File], at: dict[int, int]) -> Ints:
    """Evidence that is known to belong together: copies, what came in one file, a conversation, a subject."""
    ties: list[list[object]] = [[("sha256", file.sha256)] for file in files]
    for place, file in enumerate(files):
        ties[place] += [("thread", one) for one in sorted(file.thread)]
        ties[place] += [("file", file.node), ("file", file.parent or file.node)]
        if len(subject := subject_of(file.subject or file.title)) > 3:
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
