"""What was said in a conversation, and whom, which firm and what day it was about."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from handlers.names import organisations, people
from handlers.terms import STOP_WORDS, fold
from storage.graph import Name

Topic = Literal["person", "organisation", "date", "document"]

_WORD = re.compile(r"[^\W_]+(?:['’](?!s\b)[^\W_]+)?")
_MONTHS = (
    "january|february|march|april|may|june|july|august|september|october|november|december"
    "|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
)
_YEAR = r"(?:1[89]|20)\d\d"
_DATE = re.compile(
    rf"\b(?:\d{{1,2}}(?:st|nd|rd|th)?[ ](?:of[ ])?(?:{_MONTHS})\.?(?:,?[ ]{_YEAR})?"
    rf"|(?:{_MONTHS})\.?[ ]\d{{1,2}}(?:st|nd|rd|th)?\b(?:,?[ ]{_YEAR})?"
    rf"|(?:{_MONTHS})\.?(?:[ ](?:of[ ])?{_YEAR})"
    rf"|{_YEAR}-\d\d-\d\d|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}"
    r"|january|february|march|april|may|june|july|august|september|october|november|december"
    rf"|(?:last|next|this)[ ](?:year|month|week)|{_YEAR})\b",
    re.IGNORECASE,
)
_VERBS = frozenset({"may", "march"})
"""Months only where they are written as names."""
_LONGEST = 8


@dataclass(frozen=True)
class Claimed:
    """A claim of an answer: its text, what it cites by id, and the titles of that."""

    text: str
    evidence: tuple[int, ...] = ()
    titles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Said:
    """An earlier turn: its question as it was understood, what that rests on, the claims of its answer."""

    question: str
    claims: tuple[Claimed, ...] = ()
    evidence: tuple[int, ...] = ()
    answer: str = ""


@dataclass(frozen=True)
class Mention:
    """Characters `start`..`end` of a text name something; `text` is its full name."""

    topic: Topic
    text: str
    start: int
    end: int

    @property
    def key(self) -> str:
        """What makes it the same elsewhere."""
        return fold(self.text)


@dataclass(frozen=True)
class Focus:
    """Something that the last turns were about, and the evidence that it was taken from."""

    topic: Topic
    text: str
    evidence: tuple[int, ...]


@dataclass
class Finder:
    """Finds names that a case knows, others by how they are written, and dates.

    Args:
        names: The names of the case, as `storage.graph.Graph.names` tells them.
    """

    names: Sequence[Name]
    _forms: dict[tuple[str, ...], tuple[Topic, str]] = field(init=False)
    _last: dict[str, set[str]] = field(init=False)

    def __post_init__(self) -> None:
        self._forms, self._last = {}, defaultdict(set)
        for name in self.names:
            topic = _TOPICS.get(name.kind)
            parts = tuple(fold(word) for word in _WORD.findall(name.text))
            if topic is None or not parts or (len(parts) == 1 and parts[0] in STOP_WORDS):
                continue
            self._forms.setdefault(parts, (topic, name.text))
            if topic == "person" and len(parts) > 1:
                self._last[parts[-1]].add(name.text)

    def bearers(self, surname: str) -> int:
        """How many people the case knows by a surname."""
        return len(self._last.get(fold(surname), ()))

    def mentions(self, text: str) -> list[Mention]:
        """What a text names, in its order; nothing twice at one place."""
        taken: set[int] = set()
        found = []
        for one in (*self._known(text), *_dates(text), *_written(text)):
            span = range(one.start, one.end)
            if taken.isdisjoint(span):
                taken.update(span)
                found.append(one)
        return sorted(found, key=lambda one: one.start)

    def _known(self, text: str) -> Iterator[Mention]:
        words = list(_WORD.finditer(text))
        folded = [fold(word.group()) for word in words]
        at = 0
        while at < len(words):
            for length in range(min(_LONGEST, len(words) - at), 0, -1):
                if (known := self._forms.get(tuple(folded[at : at + length]))) is not None:
                    yield Mention(known[0], known[1], words[at].start(), words[at + length - 1].end())
                    at += length
                    break
            else:
                full = self._last.get(folded[at], set())
                if len(full) == 1 and words[at].group()[0].isupper() and folded[at] not in STOP_WORDS:
                    yield Mention("person", min(full), words[at].start(), words[at].end())
                at += 1


_TOPICS: dict[str, Topic] = {"person": "person", "poi": "person", "organisation": "organisation"}


def _dates(text: str) -> Iterator[Mention]:
    for match in _DATE.finditer(text):
        if match.group() not in _VERBS:
            yield Mention("date", match.group(), *match.span())


def _written(text: str) -> Iterator[Mention]:
    for one in people(text):
        yield Mention("person", one.name, one.start, one.end)
    for one in organisations(text):
        yield Mention("organisation", one.name, one.start, one.end)


_WHO = re.compile(
    r"\b(?:who|whom|whose|which (?:\w+ )?(?:person|man|woman|people|company|firm|bank|judge|justice|lawyer"
    r"|attorney|counsel|witness|expert|officer|agent|director|manager|secretary|president|chair|doctor|clerk))\b",
    re.IGNORECASE,
)
_WHEN = re.compile(r"\b(?:when|what (?:day|date|month|year|time))\b", re.IGNORECASE)


def asks_who(turn: Said) -> bool:
    """Whether a turn asks for a person, whom its answer then names first."""
    return _WHO.search(turn.question) is not None


def focus_of(turn: Said, topic: Topic, finder: Finder) -> list[Focus]:
    """What of a kind a turn was about, the likeliest first.

    A question that asks who (or when) is about those whom its answer names; any other about those
    whom it names itself.
    """
    if topic == "document":
        return [Focus(topic, title, claim.evidence) for claim in turn.claims for title in claim.titles[:1]]
    own = [Focus(topic, m.text, turn.evidence) for m in finder.mentions(turn.question) if m.topic == topic]
    told = [
        Focus(topic, m.text, claim.evidence)
        for claim in turn.claims
        for m in finder.mentions(claim.text)
        if m.topic == topic
    ]
    asks = (_WHEN if topic == "date" else _WHO).search(turn.question) is not None
    known = {fold(one.text) for one in own}
    new = [one for one in told if fold(one.text) not in known]
    ordered = [*new, *own] if asks or topic == "date" else [*own, *new]
    return list({fold(one.text): one for one in reversed(ordered)}.values())[::-1]
