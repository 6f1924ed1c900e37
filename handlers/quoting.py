"""Which sentences of the best passages answer a question, and whether they answer it at all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handlers.sentences import sentences
from handlers.terms import terms
from storage.graph import NamedAt, Passage

MOST = 4
"""Sentences of an answer at most."""

LONGEST = 420
"""Characters of a quotation; a longer sentence is cut at its lines, then between words."""

SHORTEST = 3
"""Terms that a sentence needs to say something by itself."""

WORDS_WEIGHT = 0.45
MEANING_WEIGHT = 0.35
PLACE_WEIGHT = 0.1
KIND_WEIGHT = 0.2
BRIDGE_WEIGHT = 0.3
"""A sentence that says more of somebody whom the answer has brought in, not the question."""

CONTEXT_SHARE = 0.75
"""A question's term in the title or the mail header counts so much beside one in the sentence."""

NEARBY_SHARE = 0.4
"""And so much elsewhere in the passage: sentences call by “it” what the one before has named."""

HEADER_WORTH = -0.15
"""Of a mail's header, unless the question asks for people or dates."""

REDUNDANT = 0.9
"""Cosine from which two sentences say the same."""

KNOWN_SHARE = 0.7
"""So much of a sentence's nearness to a chosen one is taken off its nearness to the question."""

ENOUGH = 0.1
"""Of the question's terms, that a sentence of a fitting kind covers for its kind to count."""

FURTHER = 0.25
"""A further sentence must be worth so much to be added."""

ANSWERED = 0.75
"""Where the first sentence covers so much of the question, nobody needs to be followed further."""

SUPPORT = 0.65
"""An answer is supported where the share of the question's terms that its sentences hold, by rarity,
and the cosine of the nearest one add up to this. Of 100 questions to their own collection all
reached it, of 72 to a foreign one none (MuSiQue, ContractNLI, Cranfield)."""

_LINE = re.compile(r"[^\s](?:[^\n]*[^\s])?")
_TABLE = re.compile(r"(?:^[^\n]*\w[^\n]*\s\S*\d[ \t]*(?:\n|\Z)){3,}", re.MULTILINE)
_ACTORS = frozenset({"poi", "person", "organisation", "email", "phone"})
_STATEMENT = re.compile(r"\b[^\W\d_A-Z]{2,}|[:\d]|[^\x00-\x7f]")
"""A signature or a shouted heading has nothing of this: a word in lower case, a figure, a colon."""
_IN_HEADERS = frozenset({"person", "date"})
_HEADER = re.compile(r"^(?:Subject|From|To|Cc|Date): ", re.MULTILINE)
_ASKS = (
    (re.compile(r"\b(?:who|whom|whose)\b", re.IGNORECASE), ("person", "poi", "organisation", "email")),
    (re.compile(r"\b(?:when|what (?:day|date|year)|since|until)\b", re.IGNORECASE), ("date",)),
    (re.compile(r"\bhow (?:much|many|deep|long|high|large|often|far)\b", re.IGNORECASE), ("money", "number")),
)
_NUMBER = re.compile(r"\d")


@dataclass(frozen=True, eq=False)
class Candidate:
    """A sentence that could be quoted.

    Attributes:
        start, end: Characters of its evidence's whole text.
        text: The sentence in one line; a row of a table comes after the line that heads the table.
        heading: That line's characters, where there is one.
        terms: Its terms; `context` those of title and mail header, `nearby` those of its passage.
        identities: Entities and persons that it names; `actors` those that can act.
        kinds: What kinds of things it names; `number` for any digit.
        rank: Place of its passage, from 0.
        is_header: It is the header of a mail.
    """

    passage: Passage
    start: int
    end: int
    text: str
    heading: tuple[int, int] | None
    terms: frozenset[str]
    context: frozenset[str]
    nearby: frozenset[str]
    identities: frozenset[int]
    actors: frozenset[int]
    kinds: frozenset[str]
    rank: int
    is_header: bool


@dataclass(frozen=True)
class Chosen:
    """The sentences to quote, the best first; whether they answer the question."""

    candidates: list[Candidate]
    supported: bool


@dataclass(frozen=True)
class Asked:
    """A question as it is compared with sentences.

    Attributes:
        weights: The question's terms with their rarity in the case.
        named: Entities and persons that the question names.
        kinds: Kinds of things, one of which an answer names; empty where the question tells none.
    """

    weights: Mapping[str, float]
    named: frozenset[int]
    kinds: frozenset[str]


def kinds_asked(question: str) -> frozenset[str]:
    """What kinds of things the question asks for.

    >>> sorted(kinds_asked("When was it?"))
    ['date']
    """
    return frozenset(kind for asks, kinds in _ASKS if asks.search(question) for kind in kinds)


def candidates(passages: Sequence[Passage], named: Sequence[NamedAt]) -> list[Candidate]:
    """The sentences of the passages, best passage first; one that stands in two passages comes once.

    A mail's header block is one sentence.
    """
    found: dict[tuple[int, int, int], Candidate] = {}
    for rank, passage in enumerate(passages):
        here = [n for n in named if n.chunk == passage.node]
        context = frozenset(terms(f"{passage.title} {_header_of(passage)}"))
        nearby = frozenset(terms(passage.text))
        for start, end, head in _spans(passage.text):
            text = passage.text[start:end]
            first, last = passage.start + start, passage.start + end
            known = frozenset(terms(text))
            says_something = len(known) >= SHORTEST and _STATEMENT.search(text)
            if not says_something or (passage.evidence, first, last) in found:
                continue
            inside = [n for n in here if first <= n.start and n.end <= last]
            is_header = len(_HEADER.findall(text)) > 1
            kinds = {n.kind for n in inside}
            if _NUMBER.search(text) and not is_header:
                kinds.add("number")
            found[passage.evidence, first, last] = Candidate(
                passage=passage,
                start=first,
                end=last,
                text=f"{_one_line(passage.text[slice(*head)])} … {_one_line(text)}"
                if head
                else _one_line(text),
                heading=(passage.start + head[0], passage.start + head[1]) if head else None,
                terms=known,
                context=context,
                nearby=nearby,
                identities=frozenset(n.identity for n in inside),
                actors=frozenset(n.identity for n in inside if n.kind in _ACTORS),
                kinds=frozenset(kinds),
                rank=rank,
                is_header=is_header,
            )
    return list(found.values())


def choose(
    asked: Asked,
    found: Sequence[Candidate],
    question: NDArray[np.float32] | None = None,
    vectors: NDArray[np.float32] | None = None,
    *,
    most: int = MOST,
) -> Chosen:
    """The best sentences: first the one nearest to the question, then those that add to it.

    A further sentence counts for terms of the question that are not covered yet, for its own
    nearness, and for naming somebody whom a chosen sentence names.

    Args:
        question: Unit vector of the question, shape (d,); None where texts may not be embedded.
        vectors: Unit vectors of the sentences, shape (len(found), d); None as `question`. Words alone
            then tell how near a sentence is, and which say the same.
    """
    if not found:
        return Chosen([], False)
    if question is None or vectors is None:
        near, alike = _near_by_words(asked, found)
    else:
        near, alike = vectors @ question, vectors @ vectors.T
    chosen: list[int] = []
    while len(chosen) < min(most, len(found)):
        worth = _worth(asked, found, near, alike, chosen)
        best = int(np.argmax(worth))
        if chosen and worth[best] < FURTHER:
            break
        chosen.append(best)
    held = _covered(asked, [found[i] for i in chosen])
    if vectors is not None:
        held += max(float(near[i]) for i in chosen)
    supported = held >= SUPPORT
    return Chosen([found[i] for i in chosen], supported)


def _near_by_words(
    asked: Asked, found: Sequence[Candidate]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """In place of cosines: how much of the question a sentence holds, how many terms two share."""
    near = np.array([_covered(asked, [one]) for one in found], dtype=np.float32)
    alike = np.array(
        [[len(a.terms & b.terms) / max(len(a.terms | b.terms), 1) for b in found] for a in found],
        dtype=np.float32,
    )
    return near, alike


def _worth(
    asked: Asked,
    found: Sequence[Candidate],
    near: NDArray[np.float32],
    alike: NDArray[np.float32],
    chosen: Sequence[int],
) -> NDArray[np.float64]:
    """What each sentence would add to those chosen; −1 for what adds nothing at all."""
    picked = [found[i] for i in chosen]
    covered = _covered(asked, picked)
    known = frozenset[int]().union(*(c.identities for c in picked))
    brought_in = frozenset[int]().union(*(c.actors for c in picked)) - asked.named
    # A mail's header says “From” where a question says “sent”: what no passage words as the question
    # does is not missing there.
    most = _covered(asked, found) if picked and picked[0].is_header else 1.0
    answered = _covered(asked, picked[:1]) >= ANSWERED * most
    follow = frozenset[int]() if answered else brought_in
    # Whoever stands beside a person that was followed may be what the question asks for.
    followed = {c.passage.node for c in picked[1:] if c.actors & picked[0].actors & follow}
    worth = np.full(len(found), -1.0)
    for i, one in enumerate(found):
        nearest = max((float(alike[i, j]) for j in chosen), default=0.0)
        if i in chosen or nearest >= REDUNDANT:
            continue
        new = _covered(asked, [*picked, one]) - covered
        fresh = max(float(near[i]) - KNOWN_SHARE * nearest, 0.0)
        worth[i] = WORDS_WEIGHT * new + MEANING_WEIGHT * fresh + PLACE_WEIGHT / (1 + one.rank)
        fits = bool(one.kinds & asked.kinds) and (not picked or bool(one.identities - known))
        joins = bool(one.actors & follow) or (fits and one.passage.node in followed)
        if fits and (joins or new > ENOUGH):
            worth[i] += KIND_WEIGHT
        if one.is_header and not asked.kinds & _IN_HEADERS:
            worth[i] += HEADER_WORTH
        if joins:
            worth[i] += BRIDGE_WEIGHT
    return worth


def _covered(asked: Asked, picked: Sequence[Candidate]) -> float:
    """Share of the question's terms, by rarity, that the sentences hold."""
    total = sum(asked.weights.values())
    if not total or not picked:
        return 0.0
    said = frozenset[str]().union(*(c.terms for c in picked))
    around = frozenset[str]().union(*(c.context for c in picked))
    nearby = frozenset[str]().union(*(c.nearby for c in picked))
    shares = ((said, 1.0), (around, CONTEXT_SHARE), (nearby, NEARBY_SHARE))
    held = sum(
        weight * next((share for known, share in shares if term in known), 0.0)
        for term, weight in asked.weights.items()
    )
    return held / total


def _spans(text: str) -> Iterator[tuple[int, int, tuple[int, int] | None]]:
    """Sentences, and the rows of tables with the line above the table.

    A table is three or more lines in a row that end with a figure.
    """
    begun = 0
    for table in _TABLE.finditer(text):
        yield from _sentences(text, begun, table.start())
        above = [line.span() for line in _LINE.finditer(text, begun, table.start())]
        for line in _LINE.finditer(text, *table.span()):
            yield *line.span(), above[-1] if above else None
        begun = table.end()
    yield from _sentences(text, begun, len(text))


def _sentences(text: str, begun: int, end: int) -> Iterator[tuple[int, int, None]]:
    for sentence in sentences(text, begun, end):
        if sentence.end - sentence.start <= LONGEST:
            yield sentence.start, sentence.end, None
            continue
        for line in _LINE.finditer(text, sentence.start, sentence.end):
            start, last = line.span()
            while last - start > LONGEST:
                space = text.rfind(" ", start, start + LONGEST)
                stop = space if space > start else start + LONGEST
                yield start, stop, None
                start = stop
            yield start, last, None


def _one_line(text: str) -> str:
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return ("; " if len(_HEADER.findall(text)) > 1 else " ").join(lines)


def _header_of(passage: Passage) -> str:
    people = [p for key in ("from", "to") for p in passage.meta.get(key) or ()]
    names = [f"{p.get('name', '')} {p.get('address', '')}" for p in people]
    return " ".join([*names, str(passage.meta.get("subject", "")), str(passage.meta.get("date", ""))])
