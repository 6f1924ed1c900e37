"""Questions that a case can be asked, made of what it holds, and those that somebody asked before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Literal

import orjson

from handlers.tag import FORMS
from storage.evidence import EvidenceStore
from storage.prepared import Prepared
from storage.suggesting import Askable, Named, Suggesting

MOST = 40
TOPICS = 8
LONGEST = 200
"""Letters of a question that is worth to be suggested again."""

OF_CASE = "suggestions"


@dataclass(frozen=True)
class Suggestion:
    """A question, or a name to be put into one; `why` tells where it comes from."""

    text: str
    why: Literal["asked", "name", "people", "topic"]


async def prepare_suggestions(
    case: str, *, suggesting: Suggesting, evidence: EvidenceStore, prepared: Prepared
) -> bool:
    """Make the suggestions of a case and of everybody who asked in it, and keep them; False where what
    they rest on was dropped meanwhile."""
    generation = await prepared.begin(case)
    askable = await suggesting.askable(case)
    tags = [tag for tag, _ in await evidence.tags_of_case(case, limit=50) if tag not in FORMS]
    values = {OF_CASE: _packed(suggestions(askable, tags[:TOPICS]))}
    for user in await suggesting.askers(case):
        values[_asked_by(user)] = _packed(asked_before(await suggesting.asked(case, user)))
    return await prepared.put(case, generation, values)


async def suggested(case: str, user: str, *, prepared: Prepared) -> list[Suggestion]:
    """What was prepared: the user's own questions, then those that the case can be asked."""
    found = []
    for kept in (await prepared.get(case, _asked_by(user)), await prepared.get(case, OF_CASE)):
        found += [Suggestion(**row) for row in orjson.loads(kept or b"[]")]
    return list({one.text.casefold(): one for one in reversed(found)}.values())[::-1]


def asked_before(questions: Sequence[str]) -> list[Suggestion]:
    """Earlier questions, as they were asked."""
    return [Suggestion(question, "asked") for question in questions if len(question) <= LONGEST]


def suggestions(askable: Askable, topics: Sequence[str]) -> list[Suggestion]:
    """Of each sort in turn, so that the first few are of every sort; at most `MOST`.

    A question supposes nothing but what stands together in a passage.
    """
    names = {one.id: one for one in askable.names}
    people: list[Suggestion] = []
    for pair in askable.together:
        a, b = names[pair.a], names[pair.b]
        if a.name.casefold() == b.name.casefold():
            continue
        people.append(Suggestion(_between(a, b, pair.tags), "people"))
    about = [Suggestion(question, "people") for one in askable.names for question in _about(one)]
    topical = [Suggestion(f"What is said about {topic}?", "topic") for topic in topics]
    called = list(dict.fromkeys(one.name for one in askable.names))
    plain = [Suggestion(name, "name") for name in called]
    mixed = [one for turn in zip_longest(people, topical, about) for one in turn if one is not None]
    return list(dict.fromkeys([*mixed, *plain]))[:MOST]


def _between(a: Named, b: Named, tags: Sequence[str]) -> str:
    names = {part for one in (a, b) for part in one.name.casefold().split()}
    topic = next((t for t in tags if t not in FORMS and t.casefold() not in names), "")
    if not (_person(a) and _person(b)):
        return f"What has {a.name} to do with {b.name}?"
    return (
        f"What did {a.name} tell {b.name} about {topic}?" if topic else f"What links {a.name} and {b.name}?"
    )


def _about(one: Named) -> list[str]:
    found = []
    if one.date:
        found.append(f"What is said of {one.name} on {one.date}?")
    if one.money:
        found.append(f"What have {one.money} to do with {one.name}?")
    if one.accepted:
        found.append(f"When is {one.name} mentioned?")
    return found


def _person(one: Named) -> bool:
    return one.kind in ("poi", "person")


def _packed(found: Sequence[Suggestion]) -> bytes:
    return orjson.dumps([asdict(one) for one in found])


def _asked_by(user: str) -> str:
    return f"asked:{user}"
