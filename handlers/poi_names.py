"""Where the case's persons of interest are named: in full, reversed, by title, alias or address."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rapidfuzz.distance import OSA

from handlers.found import Found, level

TITLES = (
    r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Judge|Justice|Chief Justice|Senator|Sen|Representative|Rep"
    r"|Congressman|Congresswoman|Governor|Gov|Mayor|President|Vice President|Chairman|Chairwoman|Chair|Dean"
    r"|Secretary|Director|Commissioner|Attorney|Counsel|Detective|Det|Inspector|Officer|Sergeant|Sgt|Lieutenant"
    r"|Lt|Captain|Capt|Colonel|Col|Major|General|Gen|Agent|Special Agent|Sheriff|Hon|Rev|Father|Sister)"
)
_TITLE = re.compile(rf"^{TITLES}\.?\s+", re.IGNORECASE)
_SUFFIX = re.compile(r",?\s+(?:Jr|Sr|II|III|IV|Esq|M\.?D|Ph\.?D)\.?$", re.IGNORECASE)
_INITIAL = re.compile(r"[a-z]\.?", re.IGNORECASE)
_ADDRESS = re.compile(r"(?<![\w.+'-])[\w.+'-]{1,64}@[\w.-]{1,255}")


@dataclass(frozen=True)
class Person:
    """A person of interest: node id, name, and what else they are called (names, addresses)."""

    id: int
    name: str
    aliases: Sequence[str] = ()


def spoken(name: str) -> list[str]:
    """The words of a person's name in their spoken order, initials among them, without title and suffix.

    >>> spoken("Doe, Dr. Jane Q., Jr.")
    ['Jane', 'Q.', 'Doe']
    """
    name = _SUFFIX.sub("", name.strip())
    last, comma, first = name.partition(",")
    if comma and first.strip():
        name = f"{_SUFFIX.sub('', _TITLE.sub('', first.strip()))} {last}"
    return _TITLE.sub("", name.strip()).replace(",", " ").split()


def parts(name: str) -> list[str]:
    """The words of a person's name in their spoken order, without title, suffix and initials.

    >>> parts("Doe, Dr. Jane Q., Jr."), parts("Jane Doe")
    (['Jane', 'Doe'], ['Jane', 'Doe'])
    """
    words = spoken(name)
    long = [word.strip(".") for word in words if not _INITIAL.fullmatch(word)]
    return long or words


def untitled(name: str) -> str:
    """The name without a title before it."""
    return _TITLE.sub("", name.strip())


def key_of(name: str) -> str:
    """The normal form of a person's name: “Doe, Jane Q.” and “Jane Doe” are one."""
    return level(" ".join(parts(name)))


@dataclass
class PoiNames:
    """Finds the given persons in texts; made once for many texts."""

    people: Sequence[Person]
    _pattern: re.Pattern[str] | None = field(init=False, default=None)
    _persons: list[Person] = field(init=False, default_factory=list)
    _single: list[bool] = field(init=False, default_factory=list)
    _addresses: dict[str, Person] = field(init=False, default_factory=dict)
    _fuzzy: list[tuple[list[str], Person]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        lasts = Counter(level(words[-1]) for p in self.people if len(words := parts(p.name)) > 1)
        locals_: dict[str, list[Person]] = {}
        alternatives: list[str] = []
        for person in self.people:
            for name in (person.name, *person.aliases):
                name = name.strip()
                if not name:
                    continue
                if "@" in name:
                    self._addresses[name.lower()] = person
                    continue
                words = [level(word) for word in parts(name)]
                unique = lasts[words[-1]] == 1 and name == person.name
                for pattern, single in _forms(name, words, titled=unique):
                    self._persons.append(person)
                    self._single.append(single)
                    alternatives.append(f"({pattern})")
                if len(words) > 1:
                    self._fuzzy.append((words, person))
                    for local in name_locals(words):
                        locals_.setdefault(local, []).append(person)
        for local, persons in locals_.items():
            if len({p.id for p in persons}) == 1:
                self._addresses.setdefault(local, persons[0])
        if alternatives:
            self._pattern = re.compile(rf"(?<![\w@])(?:{'|'.join(alternatives)})(?![\w@])")

    def find(self, text: str) -> Iterator[Found]:
        """Every place where one of them is named."""
        if self._pattern is None:
            return
        for match in self._pattern.finditer(level(text)):
            index = (match.lastindex or 1) - 1
            # A name counts only where it is written as one: “Rich” is a name, “rich” is not.
            start, end = match.span()
            shown = text[start : start + 1 if self._single[index] else end]
            if not any(letter.isupper() for letter in shown):
                continue
            yield self._found(self._persons[index], start, end)

    def find_addresses(self, text: str) -> Iterator[Found]:
        """Mail addresses that are theirs: given as alias, or made of first and last name."""
        for match in _ADDRESS.finditer(text):
            shown = match.group().strip(".'-")
            start = match.start() + match.group().index(shown)
            address = shown.lower()
            person = self._addresses.get(address) or self._addresses.get(address.partition("@")[0])
            if person is not None:
                yield self._found(person, start, start + len(shown))

    def near(self, name: str) -> Person | None:
        """Whose name is so nearly this one that it must be a slip of the pen; None for nobody's or two's."""
        words = [level(word) for word in parts(name)]
        people = {person.id: person for theirs, person in self._fuzzy if _is_slip(words, theirs)}
        return next(iter(people.values())) if len(people) == 1 else None

    def _found(self, person: Person, start: int, end: int) -> Found:
        return Found("poi", str(person.id), person.name, start, end, poi=person.id)


def _forms(name: str, words: list[str], *, titled: bool) -> Iterator[tuple[str, bool]]:
    """Patterns over levelled text, each with whether it is a single word; longer forms first."""
    escaped = [re.escape(word) for word in words]
    if len(words) == 1:
        yield re.escape(level(name)).replace(r"\ ", r"\s+"), True
        return
    first, last, middle = escaped[0], escaped[-1], escaped[1:-1]
    initials = r"(?:\s+[a-z]\.?){0,2}"
    if f"{parts(name)[0]}." in spoken(name):
        first = rf"{first}\.?"
    # “St. Wharton” and “St Wharton”, in a name's middle or behind a title.
    between = "".join(rf"(?:\s+{word}\.?)?" for word in middle)
    yield rf"{first}{between}{initials}\s+{last}", False
    yield rf"{last},\s*{first}{between}(?:\s+[a-z]\.){{0,2}}", False
    if titled:
        inner = "".join(rf"(?:{word}\.?\s+)?" for word in middle)
        yield rf"{level(TITLES)}\.?\s+{inner}{last}", False


def name_locals(words: list[str]) -> Iterator[str]:
    """What stands before the @ of somebody of that name, where it tells first and last name."""
    plain = [re.sub(r"[^a-z0-9]", "", word) for word in (words[0], words[-1])]
    if all(len(word) > 1 for word in plain):
        yield from (joint.join(plain) for joint in (".", "_", "-", ""))


def _is_slip(words: list[str], theirs: list[str]) -> bool:
    """One letter wrong, missing or swapped in a long word, the initials right, short words exact."""
    if len(words) != len(theirs) or len(words) < 2:
        return False
    slips = 0
    for mine, other in zip(words, theirs, strict=True):
        if mine == other:
            continue
        if mine[0] != other[0] or min(len(mine), len(other)) < 5:
            return False
        distance = OSA.distance(mine, other, score_cutoff=2)
        if distance > (2 if min(len(mine), len(other)) >= 9 else 1):
            return False
        slips += 1
    return slips == 1


def words_to_look_for(people: Iterable[Person]) -> list[str]:
    """Words one of which stands in every text that names them, for a first look by the database."""
    found: set[str] = set()
    for person in people:
        for name in (person.name, *person.aliases):
            if "@" in name:
                found.add(name.strip())
            elif words := parts(name):
                found.add(words[-1])
    return sorted(found)
