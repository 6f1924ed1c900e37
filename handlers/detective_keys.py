"""What makes two names one thing, within a case and across cases, and which names join nothing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from handlers.found import level
from handlers.names import organisation_key
from handlers.poi_names import key_of, name_locals, parts
from storage.detective import CaseFacts, Named, Person

BRIDGES = frozenset({"person", "organisation", "email", "phone", "citation"})
"""Kinds of entities that can join two others; dates and sums cannot, however rare."""

SURE = {
    "is": 1.0,
    "judged": 1.0,
    "email": 0.95,
    "phone": 0.95,
    "citation": 0.95,
    "name": 0.85,
    "address of the name": 0.8,
    "organisation": 0.75,
    "short name": 0.75,
    "surname": 0.75,
    "common name": 0.5,
    "alias": 0.5,
}
"""How sure it is that two names are one thing, by what they share. People share names; mailboxes hardly."""

WORDS = {
    "is": "is",
    "judged": "verdict that the two names are one",
    "email": "same e-mail address",
    "phone": "same phone number",
    "citation": "same citation",
    "name": "same full name",
    "address of the name": "name that the e-mail address is made of",
    "organisation": "same name",
    "short name": "short form of the name",
    "surname": "surname that one person of the case has",
    "common name": "same name, a common one",
    "alias": "other name that was entered",
}

SHORT = {
    "alexander": "alex", "andrew": "andy", "anthony": "tony", "benjamin": "ben", "catherine": "cathy kate",
    "charles": "charlie chuck", "christopher": "chris", "daniel": "dan danny", "david": "dave",
    "deborah": "debbie deb", "donald": "don", "douglas": "doug", "edward": "ed eddie ted",
    "elizabeth": "liz beth betty", "frederick": "fred", "gerald": "jerry", "gregory": "greg",
    "jacob": "jake", "james": "jim jimmy", "jeffrey": "jeff", "jennifer": "jen jenny", "john": "jack",
    "jonathan": "jon", "joseph": "joe", "joshua": "josh", "katherine": "kathy kate", "kenneth": "ken kenny",
    "lawrence": "larry", "leonard": "len", "louis": "lou", "margaret": "maggie peggy", "matthew": "matt",
    "michael": "mike", "nicholas": "nick", "pamela": "pam", "patricia": "pat", "patrick": "pat",
    "peter": "pete", "philip": "phil", "rebecca": "becky", "richard": "rick dick rich", "robert": "bob rob",
    "ronald": "ron", "samuel": "sam", "stephen": "steve", "steven": "steve", "stuart": "stu",
    "susan": "sue", "terrence": "terry", "theodore": "ted", "thomas": "tom", "timothy": "tim",
    "victoria": "vicky", "vincent": "vince", "william": "bill will",
}  # fmt: skip
"""Given names and what people who bear them are called; for persons of interest, whom somebody entered."""

_COMMON = frozenset(
    """
    adams allen anderson baker brown campbell carter chen clark collins davis evans garcia gonzalez green hall
    harris hernandez hill jackson johnson jones kim king lee lewis li lopez martin martinez miller mitchell
    moore murphy nelson nguyen parker perez phillips roberts robinson rodriguez sanchez scott singh smith
    taylor thomas thompson turner walker wang white williams wilson wong wright young zhang
    """.split()  # noqa: SIM905
)
"""Surnames that so many have that a full name says little."""


_ROLES = frozenset(
    """
    abuse accounts admin administrator alerts all announce announcements billing bounce bounces broadcast
    careers contact customerservice daemon editor enquiries everyone feedback helpdesk help hostmaster hr info
    inquiries jobs list listserv mail mailer mailer-daemon majordomo marketing media news newsletter no-reply
    noreply do-not-reply donotreply notification notifications office orders owner postmaster press registrar
    reply root sales security service services staff subscribe subscriptions support survey system team
    unsubscribe updates webmaster
    """.split()  # noqa: SIM905 - a list a line long is read more easily
)
GENERIC = frozenset(
    """
    agency air america american and appeals area association bank bar board branch bureau business capital
    center central chief circuit city civil college commerce commission committee community companies
    company congress control corp corporation council counsel county court department dept directors
    district division economic education energy enforcement executive federal finance financial first for
    foundation fund general global government group health high holding holdings house human inc industry
    information institute international internet judicial justice labor law legal limited llc llp local
    ltd management market member ministry national new news north northern of office organization
    parliament partners police power president press program project public regional regulatory
    relations representatives research resources school section securities security senate service services
    social society south southern special staff state states supreme system team the trade treasury trust u.s
    unit united university us utilities west western world
    """.split()  # noqa: SIM905
)
_WORD = re.compile(r"[^\W_]+")
_DIGITS = re.compile(r"\D")


class Key(NamedTuple):
    """Equal keys make one thing of two names; `why` is one of `SURE`."""

    why: str
    value: str


def is_noise(kind: str, key: str, *, accepted: bool) -> bool:
    """Whether a name joins nothing: shared mailboxes, single words, names made of what any office is called.

    What a person has accepted is no noise.
    """
    if kind not in BRIDGES:
        return True
    if accepted:
        return False
    words = [level(word) for word in _WORD.findall(key)]
    if kind == "email":
        local = key.partition("@")[0].lower()
        return local in _ROLES or local.startswith(("noreply", "no-reply", "bounce", "owner-", "list-"))
    if kind == "person":
        return len(key.split()) < 2
    if kind == "organisation":
        return len(words) < 2 or GENERIC.issuperset(words)
    return False


def keys_of_entity(entity: Named) -> Iterator[Key]:
    """By what an entity is known elsewhere."""
    if entity.kind in ("email", "phone", "citation"):
        yield Key(entity.kind, level(entity.key))
    elif entity.kind == "person" and len(entity.key.split()) > 1:
        yield _full_name(entity.key)
    elif entity.kind == "organisation":
        yield Key("organisation", entity.key)


def keys_of_person(person: Person) -> Iterator[Key]:
    """By what a person of interest is known elsewhere: names, addresses, numbers; an alias may be any."""
    for name in (person.name, *person.aliases):
        if "@" in name:
            yield Key("email", level(name.strip()))
        elif len(digits := _DIGITS.sub("", name)) >= 9 and len(digits) > len(name) / 2:
            yield Key("phone", f"+{digits if len(digits) > 10 or '+' in name else '1' + digits}")
        elif len(parts(name)) > 1:
            yield _full_name(key_of(name))
            yield Key("organisation", organisation_key(name))
            yield from (Key("short name", short) for short in short_names(name))


def names_of_people(persons: Iterable[Person]) -> set[str]:
    """The keys of the names that persons of interest have, and of what they may be called."""
    return {
        key.value
        for person in persons
        for key in keys_of_person(person)
        if key.why in ("name", "common name", "short name")
    }


def _full_name(key: str) -> Key:
    return Key("common name" if key.rpartition(" ")[2] in _COMMON else "name", key)


def short_names(name: str) -> list[str]:
    """The keys of what somebody of a full name may be called, too.

    >>> short_names("Robert Q. Example")
    ['bob example', 'rob example']
    """
    words = key_of(name).split()
    shorts = SHORT.get(words[0], "").split() if len(words) > 1 else []
    return [" ".join([short, *words[1:]]) for short in shorts]


def only_bearers(case: CaseFacts) -> dict[str, str]:
    """Surname, as a title stands before it → the key of the one person of the case who has it.

    Whoever is called by it is named in full in at least half of the evidence that does so. What is a given
    name more often says nothing.
    """
    bearers: dict[str, set[str]] = defaultdict(set)
    for _, key in full_names(case):
        bearers[key.split()[-1]].add(key)
    places = _named_in(case)
    return {
        surname: key
        for surname, keys in bearers.items()
        if len(keys) == 1 and surname not in SHORT
        for key in keys
        if 2 * len(places[surname] & places[key]) >= max(1, len(places[surname]))
    }


def _named_in(case: CaseFacts) -> dict[str, set[int]]:
    """Key of a person → the evidence that names them."""
    evidence = {chunk: file for chunk, file, *_ in case.chunks.tolist()}
    keys = {person.node: key_of(person.name) for person in case.persons}
    called = {one.node: keys.get(one.poi, one.key) for one in case.named if one.kind in ("person", "poi")}
    found: dict[str, set[int]] = defaultdict(set)
    for chunk, entity, *_ in case.mentions.tolist():
        if entity in called and chunk in evidence:
            found[called[entity]].add(evidence[chunk])
    return found


def name_addresses(cases: Sequence[CaseFacts]) -> dict[str, str]:
    """What stands before the @ of somebody of a name → the key of that name, where only one name makes it."""
    made: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        for name, key in full_names(case):
            for local in name_locals([level(word) for word in parts(name)]):
                made[local].add(key)
    return {local: min(keys) for local, keys in made.items() if len(keys) == 1}


def full_names(case: CaseFacts) -> Iterable[tuple[str, str]]:
    """Every name in full of a case's people, and the key of whom it names."""
    for person in case.persons:
        for name in (person.name, *person.aliases):
            if "@" not in name and len(parts(name)) > 1:
                yield name, key_of(name)
                yield from ((short, key_of(name)) for short in short_names(name))
    for entity in case.named:
        if entity.kind == "person" and len(entity.key.split()) > 1:
            yield entity.name, entity.key
