"""Questions that a case can be asked, made of what it holds, and those that somebody asked before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import orjson

from handlers.asking import Form, Question, asking
from storage.prepared import Prepared
from storage.suggesting import Askable, Suggesting

MOST = 40
EACH = 4
"""Questions of one form; more of them would say no more of what can be asked."""
LONGEST = 200
"""Letters of a question that is worth to be suggested again."""

OF_CASE = "questions"

_ABOUT: dict[Form, Literal["people", "topic"]] = {"month": "topic", "event": "topic", "document": "topic"}


@dataclass(frozen=True)
class Suggestion:
    """A question, or a name to be put into one; `why` tells where it comes from."""

    text: str
    why: Literal["asked", "name", "people", "topic"]


async def prepare_suggestions(case: str, *, suggesting: Suggesting, prepared: Prepared) -> bool:
    """Make the suggestions of a case and of everybody who asked in it, and keep them; False where what
    they rest on was dropped meanwhile."""
    generation = await prepared.begin(case)
    values = {OF_CASE: _packed(suggestions(await suggesting.askable(case)))}
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


def suggestions(askable: Askable) -> list[Suggestion]:
    """One question of each form in turn, then names; at most `MOST`, of one form at most `EACH`.

    Of a form's questions the first comes next whose names have been asked about least, so that the few
    that are shown are about as many as can be.
    """
    waiting, names = asking(askable)
    asked: list[Suggestion] = []
    used: dict[str, int] = {}
    for _ in range(EACH):
        for form, questions in waiting.items():
            if not questions:
                continue
            one = questions.pop(_least_asked(questions, used))
            asked.append(Suggestion(one.text, _ABOUT.get(form, "people")))
            for name in one.names:
                used[name] = used.get(name, 0) + 1
    once: dict[str, Suggestion] = {}
    for suggestion in (*asked, *(Suggestion(name, "name") for name in names)):
        once.setdefault(suggestion.text.casefold(), suggestion)
    return list(once.values())[:MOST]


def _least_asked(questions: Sequence[Question], used: Mapping[str, int]) -> int:
    worn = [max((used.get(name, 0) for name in one.names), default=0) for one in questions]
    return worn.index(min(worn))


def _packed(found: Sequence[Suggestion]) -> bytes:
    return orjson.dumps([asdict(one) for one in found])


def _asked_by(user: str) -> str:
    return f"asked:{user}"
