"""Names of one word that somebody entered for a person of interest, as they stand in other cases.

Within their case they are found as entered. Elsewhere they count only where nobody else can be meant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from handlers.detective_keys import GENERIC, SHORT, full_names
from handlers.everyday_words import EVERYDAY
from handlers.found import level
from handlers.given_names import GIVEN_NAMES
from handlers.poi_names import key_of, parts
from handlers.terms import STOP_WORDS
from storage.detective import CaseFacts, Person

LETTERS = 5
"""Shorter ones are abbreviations and everybody's."""

_ANYBODYS = EVERYDAY | STOP_WORDS | GENERIC | SHORT.keys() | {level(name) for name in GIVEN_NAMES}


def aliases_of_people(persons: Iterable[Person]) -> set[str]:
    """The keys of their other names of one word that tell somebody."""
    return {key for person in persons for key in _single(person)}


def bearers_of_aliases(cases: Sequence[CaseFacts]) -> dict[str, str]:
    """Key of such a name → key of the one person of interest, of all the cases, who has it."""
    theirs: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        for person in case.persons:
            for alias in _single(person):
                theirs[alias].add(key_of(person.name))
    return {alias: min(names) for alias, names in theirs.items() if len(names) == 1}


def aliases_meant(case: CaseFacts, bearers: Mapping[str, str]) -> dict[int, str]:
    """Entity of a single word → key of the name of whom it means; not where the case knows others so called.

    Another person of that surname or given name is one, and so is an organisation with the word in its name.
    """
    others: dict[str, set[str]] = defaultdict(set)
    for _, key in full_names(case):
        for word in key.split():
            others[word].add(key)
    for one in case.named:
        if one.kind == "organisation":
            for word in one.key.split():
                others[word].add(one.key)
    return {
        one.node: bearers[one.key]
        for one in case.named
        if one.bare and one.key in bearers and others[one.key] <= {bearers[one.key]}
    }


def _single(person: Person) -> set[str]:
    """Of one person; whoever has no full name is known by it alone, and is not looked for elsewhere."""
    if len(parts(person.name)) < 2:
        return set()
    keys = {key_of(alias) for alias in person.aliases if "@" not in alias and len(parts(alias)) == 1}
    return {key for key in keys if len(key) >= LETTERS and key.isalpha() and key not in _ANYBODYS}
