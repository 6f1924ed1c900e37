"""The forms that a question about a case can have, each filled with what its evidence says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from handlers.everyday_words import EVERYDAY
from handlers.poi_names import TITLES
from storage.suggesting import Askable, Month, Named, Told

Form = Literal["letter", "connection", "month", "money", "event", "document", "dealings", "who"]
"""In the order in which a case is asked."""

LEAST_DOCUMENTS = 4
"""Of a month that is worth to be asked about."""
DENSE = 1.5
"""So many times the documents of the middle month."""
LEAST_MENTIONS = 3
"""Of an organisation of a single word, which may be no name at all, and of whoever is asked about alone."""

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_PEOPLE = ("poi", "person")
_PAYING = {
    "paid": "What did {a} pay {b} for?",
    "wired": "Why did {a} wire money to {b}?",
    "transferred": "Why did {a} transfer money to {b}?",
    "sent": "Why did {a} send money to {b}?",
    "lent": "Why did {a} lend money to {b}?",
    "gave": "Why did {a} give money to {b}?",
    "owes": "What does {a} owe {b}?",
    "owed": "What did {a} owe {b}?",
}
_TITLED = re.compile(rf"^{TITLES}\.?\s+", re.IGNORECASE)
_REPLY = re.compile(r"^(?:(?:re|fw|fwd|aw|wg|sv|tr)\s*(?:\[\d+\])?:\s*)+", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_DULL_TEXT = """
and attachment attachments attorney best chf client communication confidential dear dkk dollars esq eur euros
fax form forwarded from fwd gbp hello hi http inc invoice kilometres litres llc ltd message metres number
original our page privileged product regards sek sincerely subject table tel telephone thanks that the this
to usd vat www your
"""
_DULL = frozenset(_DULL_TEXT.split())
"""Of what is no name, though it is written like one: boilerplate, units and currencies."""


@dataclass(frozen=True)
class Question:
    """A question, and the names that it is about."""

    text: str
    names: tuple[str, ...] = ()


def asking(askable: Askable) -> tuple[dict[Form, list[Question]], list[str]]:
    """The questions of each form, the best first, and the names that can be asked about.

    A question supposes nothing but what the evidence says, or what stands together in a passage. Persons
    of interest come before whatever else is named.
    """
    names = {one.id: one for one in askable.names if is_name(one)}
    told = [one for one in askable.told if _are_two(names.get(one.subject), names.get(one.object))]
    # Stable: what most documents say comes first among as many persons of interest.
    told.sort(key=lambda one: -(names[one.subject].poi + names[one.object].poi))
    pairs = [one for one in askable.together if _are_two(names.get(one.a), names.get(one.b))]
    pairs.sort(key=lambda one: -(names[one.a].poi + names[one.b].poi))
    met = [_in_order(names[one.a], names[one.b]) for one in pairs]
    found: dict[Form, list[Question]] = {
        "letter": [_letter(one, names) for one in _letters(told)],
        "connection": [
            Question(f"What connects {a.name} and {b.name}?", (a.name, b.name))
            for a, b in met
            if _is_person(a) and _is_person(b)
        ],
        "month": [Question(f"What happened in {in_words(one)}?") for one in dense(askable.months)],
        "money": [_paying(one, names) for one in told if one.predicate in _PAYING],
        "event": [
            Question(f"What is known of {one.name}?", (one.name,))
            for one in names.values()
            if one.kind == "event"
        ],
        "document": list(_documents(askable, list(names.values()))),
        "dealings": [
            Question(f"What has {a.name} to do with {b.name}?", (a.name, b.name))
            for a, b in met
            if _is_person(a) is not _is_person(b) and "event" not in (a.kind, b.kind)
        ],
        "who": [
            Question(f"Who is {one.name}?", (one.name,))
            for one in names.values()
            if _is_person(one) and (one.accepted or one.mentions >= LEAST_MENTIONS)
        ],
    }
    once = {form: list(dict.fromkeys(questions)) for form, questions in found.items()}
    return once, list(dict.fromkeys(one.name for one in names.values()))


def is_name(one: Named) -> bool:
    """Whether something that was taken for a name is fit to be asked about.

    What a person has confirmed is. Else a person needs two names at least, and nothing is fit that
    consists of everyday words, boilerplate, units or currencies.
    """
    words = _WORD.findall(_TITLED.sub("", one.name))
    if one.accepted:
        return bool(words)
    small = [word.casefold() for word in words]
    if len(one.name) > 60 or "\n" in one.name or "@" in one.name:
        return False
    if one.kind == "person":
        return len(words) >= 2 and not _DULL & set(small) and not set(small) <= EVERYDAY
    telling = [word for word in small if word not in EVERYDAY and word not in _DULL and len(word) > 2]
    return bool(telling) and (len(words) >= 2 or one.mentions >= LEAST_MENTIONS)


def dense(months: Sequence[Month]) -> list[Month]:
    """The months that stand out by how many documents tell of them, the densest first."""
    usual = median(one.documents for one in months) if len(months) > 1 else 0
    found = [one for one in months if one.documents >= max(LEAST_DOCUMENTS, DENSE * usual)]
    return sorted(found, key=lambda one: (-one.documents, one.month))


def in_words(one: Month) -> str:
    """
    >>> in_words(Month("2033-06", 4))
    'June 2033'
    """
    year, _, month = one.month.partition("-")
    return f"{_MONTHS[int(month) - 1]} {year}"


def subject_of(title: str) -> str:
    """What a title says, in a line; "" where it is too long, too short, or only the name of a file.

    >>> subject_of("Re: FW: Papers for the copper"), subject_of("scan_0012"), subject_of("RE:")
    ('Papers for the copper', '', '')
    """
    said = " ".join(_REPLY.sub("", title).split()).rstrip(" .:;,?!")
    words = [word for word in _WORD.findall(said) if len(word) > 2]
    is_text = len(words) >= 2 and " " in said and not _DULL & {word.casefold() for word in words[:1]}
    return said if is_text and len(said) <= 70 and not set(said) & set('"“”„<>@') else ""


def _letters(told: Sequence[Told]) -> Iterator[Told]:
    """What somebody wrote under one title to several is one letter."""
    known: set[tuple[int, str]] = set()
    for one in told:
        about = one.subject, subject_of(one.title)
        if one.predicate == "wrote to" and not (about[1] and about in known):
            known.add(about)
            yield one


def _letter(one: Told, names: dict[int, Named]) -> Question:
    a, b = names[one.subject].name, names[one.object].name
    about = subject_of(one.title)
    return Question(f"What did {a} write to {b}{f' about “{about}”' if about else ''}?", (a, b))


def _paying(one: Told, names: dict[int, Named]) -> Question:
    a, b = names[one.subject].name, names[one.object].name
    return Question(_PAYING[one.predicate].format(a=a, b=b), (a, b))


def _documents(askable: Askable, names: Sequence[Named]) -> Iterator[Question]:
    """What a document says of somebody it names, each document once."""
    known: set[str] = set()
    for one in names:
        for title in askable.titles.get(one.id, ()):
            about = subject_of(title)
            if about and about not in known and not _parts(one.name) & _parts(about):
                known.add(about)
                yield Question(f"What does “{about}” say about {one.name}?", (one.name,))
                break


def _in_order(a: Named, b: Named) -> tuple[Named, Named]:
    """Persons before organisations, persons of interest before others."""
    key = {one.id: (not _is_person(one), not one.poi) for one in (a, b)}
    return (b, a) if key[b.id] < key[a.id] else (a, b)


def _are_two(a: Named | None, b: Named | None) -> bool:
    """Whether both can be asked about, and one is not the other by a shorter name."""
    if a is None or b is None:
        return False
    one, other = _parts(a.name), _parts(b.name)
    return not (one <= other or other <= one)


def _parts(name: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(_TITLED.sub("", name)) if len(word) > 1}


def _is_person(one: Named) -> bool:
    return one.kind in _PEOPLE
