"""The graphs of several cases as one: what is the same across them is one identity, with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handlers.detective_aliases import aliases_meant, bearers_of_aliases
from handlers.detective_keys import SURE, name_addresses
from handlers.detective_members import NAMES, Member, joined, members_of
from handlers.detective_mentions import Mentions, mentions_of
from handlers.detective_told import ToldUnits, told_units
from handlers.detective_units import Floats, Ints, cut_units, families, rare_in
from storage.detective import CaseFacts, File
from storage.detective_told import Told


@dataclass(frozen=True, eq=False)
class Web:
    """Identities and units of several cases, joined by mentions.

    A unit is a short piece of evidence, or a passage of a long one; or a relation, which names its two ends.
    Arrays of mentions, each unit and identity joined once, are ordered by unit and identity, those by
    relations behind those in texts.

    Attributes:
        identity_of: Shape (members,): the identity of each.
        identities: The members of each identity, persons of interest first.
        files: All evidence; `file_case` tells the place of each one's case.
        unit_file: Shape (units,): place in `files`.
        is_list: Shape (units,): whether it names a crowd.
        told: The relation that each of the last units is.
        doers: Shape (told,): the identity that does it.
        prose_of: Evidence and ordinal of a passage → how many words it has, and how many in lower case.
        units: Shape (mentions,): place of the unit.
        named: Shape (mentions,): identity.
        through: Shape (mentions,): the member that is mentioned first.
        passages: Shape (mentions,): id of the passage where it is.
        weights: Shape (mentions,): rarity of the identity in that case times `says`, in (0, 1].
        says: Shape (mentions,): how much the unit says of one of the names in it, in (0, 1].
        plain: Shape (mentions,): whether running text names it there, neither quoted nor copied.
        spot_of: Shape (spots,): the mention of each place where it does, rising; `spot_at` the character,
            `spot_words` numbers of which two tell how many words in lower case stand between the places.
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
    told: list[Told]
    doers: Ints
    prose_of: dict[tuple[int, int], tuple[int, int]]
    units: Ints
    named: Ints
    through: Ints
    passages: Ints
    weights: Floats
    says: Floats
    plain: NDArray[np.bool_]
    spot_of: Ints
    spot_at: Ints
    spot_words: Ints
    family: Ints

    @property
    def texts(self) -> int:
        """Units that are no relations; they come first."""
        return len(self.unit_file) - len(self.told)

    @property
    def text_mentions(self) -> int:
        """Mentions in them; they come first."""
        return len(self.units) - 2 * len(self.told)

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
    def spot_starts(self) -> Ints:
        """Where the spots of each mention begin; shape (mentions + 1,)."""
        return np.searchsorted(self.spot_of, np.arange(len(self.units) + 1))

    @cached_property
    def common(self) -> Ints:
        """Shape (identities,): in how many texts each is mentioned."""
        return np.bincount(self.named[: self.text_mentions], minlength=len(self.identities))

    @cached_property
    def spoken_of(self) -> Ints:
        """Shape (identities,): in how many texts running text names each for the first time."""
        plain = self.plain[: self.text_mentions]
        return np.bincount(self.named[: self.text_mentions][plain], minlength=len(self.identities))

    @cached_property
    def breadth(self) -> Ints:
        """Shape (identities,): in how many files each is mentioned, families counted once."""
        texts = slice(self.text_mentions)
        pairs = np.stack([self.named[texts], self.family[self.unit_file[self.units[texts]]]], axis=1)
        return np.bincount(np.unique(pairs, axis=0)[:, 0], minlength=len(self.identities))

    def links_of(self, identity: int) -> Ints:
        """Places of its mentions in texts and by relations, by unit."""
        order, starts = self.by_identity
        return order[starts[identity] : starts[identity + 1]]

    def mentions_of(self, identity: int) -> Ints:
        """Places of its mentions in texts, by unit."""
        links = self.links_of(identity)
        return links[links < self.text_mentions]

    def told_by(self, unit: int) -> Told | None:
        """The relation that a unit is; None for a text."""
        return self.told[unit - self.texts] if unit >= self.texts else None

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
        if any({one.node, other.node} == set(pair) for case in self.cases for pair in case.same):
            return "judged"
        shared = [key.why for key in one.keys & other.keys]
        # A name and what is made of it are keys of two sorts with one value.
        values = {key.value: key.why for key in one.keys if key.why in NAMES}
        shared += [
            min(key.why, values[key.value], key=lambda why: SURE[why])
            for key in other.keys
            if key.why in NAMES and key.value in values
        ]
        # Joined by way of a third: as sure as the least sure of the reasons that there are.
        return max(shared, key=lambda why: SURE[why]) if shared else "name"


def weave(cases: Sequence[CaseFacts]) -> Web:
    """Join what is the same in and across the cases, and weigh the mentions.

    >>> weave([]).identities
    []
    """
    made, aliases = name_addresses(cases), bearers_of_aliases(cases)
    members = [
        member
        for place, case in enumerate(cases)
        for member in members_of(case, place, made, aliases_meant(case, aliases))
    ]
    identity_of, identities = joined(
        members,
        [pair for case in cases for pair in case.same],
        [pair for case in cases for pair in case.apart],
    )
    files = [file for case in cases for file in case.files]
    file_case = [place for place, case in enumerate(cases) for _ in case.files]
    at = {file.node: place for place, file in enumerate(files)}
    unit_of, files_of_units, share = cut_units(cases, at)
    unit_file = np.array(files_of_units, dtype=np.int64)
    member_at = {m.node: place for place, m in enumerate(members) if m.what == "entity"}
    mentions = mentions_of(cases, unit_of, member_at, identity_of, unit_file, share)
    told = told_units(cases, unit_of, member_at, identity_of, unit_file)
    case_of = np.array(file_case, dtype=np.int64)
    by_word = np.array([member.by_word for member in members], dtype=np.int64)[mentions.through]
    rare = rare_in(mentions.units, mentions.named, case_of[unit_file], len(cases), by_word)
    return Web(
        cases=list(cases),
        members=members,
        identity_of=identity_of,
        identities=identities,
        files=files,
        file_case=file_case,
        prose_of={
            (evidence, ordinal): (words, prose)
            for each in cases
            for _, evidence, ordinal, words, prose in each.chunks.tolist()
        },
        family=families(cases, files, at),
        **_together(mentions, told, unit_file, case_of, rare),
    )


def _together(
    mentions: Mentions, told: ToldUnits, unit_file: Ints, case_of: Ints, rare: Floats
) -> dict[str, Any]:
    """The arrays of a web: those of texts, and behind them those of relations."""
    rarity_of = dict(
        zip(
            zip(mentions.named.tolist(), case_of[unit_file[mentions.units]].tolist(), strict=True),
            rare.tolist(),
            strict=True,
        )
    )
    of_told = zip(told.named.tolist(), case_of[np.repeat(told.unit_file, 2)].tolist(), strict=True)
    texts, pairs = len(unit_file), np.arange(len(told.named))
    says = np.concatenate([mentions.says, told.says])
    return {
        "unit_file": np.concatenate([unit_file, told.unit_file]),
        "is_list": np.concatenate([mentions.is_list, np.zeros(len(told.told), dtype=bool)]),
        "told": told.told,
        "doers": told.doers,
        "units": np.concatenate([mentions.units, texts + pairs // 2]),
        "named": np.concatenate([mentions.named, told.named]),
        "through": np.concatenate([mentions.through, told.through]),
        "passages": np.concatenate([mentions.passages, told.passages]),
        "says": says,
        "weights": says * np.concatenate([rare, [rarity_of.get(key, 1.0) for key in of_told]]),
        "plain": np.concatenate([mentions.plain, np.ones(len(pairs), dtype=bool)]),
        "spot_of": np.concatenate([mentions.spot_of, len(mentions.units) + pairs]),
        "spot_at": np.concatenate([mentions.spot_at, told.at]),
        "spot_words": np.concatenate([mentions.spot_words, np.zeros(len(pairs), dtype=np.int64)]),
    }


def _lasting(member: Member, cases: Sequence[CaseFacts]) -> str:
    if member.what == "poi":
        return f" poi:{member.node}"
    # Ids of entities are given anew when evidence is read again; their names are not.
    return f"{cases[member.case].case}:{member.kind}:{member.name.casefold()}"
