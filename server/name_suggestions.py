"""The names of a case that may be the same, as a page shows them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence

from typing_extensions import TypedDict

from handlers.same_names import Kind
from handlers.same_suggested import Candidate, Suggestion, candidates, suggested
from storage.name_facts import NameFacts, NameStore, Quote
from storage.same_as import Pair, SameNames, Verdict, VerdictRow

QUOTES = 3
AROUND = 110
"""Characters of a quotation on either side of the name."""
CASES = 16


class QuoteView(TypedDict):
    """A place of a name: the characters around it, and where they are found."""

    evidence: int
    title: str
    page: int
    start: int
    end: int
    before: str
    name: str
    after: str


class SideView(TypedDict):
    """One of the two; `kind` is `poi` for a person of interest, whose other names are `aliases`."""

    node: int
    kind: str
    name: str
    aliases: list[str]
    mentions: int
    quotes: list[QuoteView]


class ReasonView(TypedDict):
    """What speaks for it, or against it, in words; strength 0 to 1."""

    kind: Kind
    strength: float
    words: str


class PairView(TypedDict):
    """Two names that may be the same; `score` is how likely, 0 to 1."""

    left: SideView
    right: SideView
    score: float
    reasons: list[ReasonView]


class VerdictView(TypedDict):
    """What somebody said of two names; `by` is the user's id."""

    id: int
    left: str
    right: str
    verdict: Verdict
    by: str
    at: str


class NamesView(TypedDict):
    """Pairs that wait for a verdict, the likeliest first, how many there are, and the latest verdicts."""

    waiting: int
    pairs: list[PairView]
    verdicts: list[VerdictView]


class NameSuggestions:
    """Suggestions of all cases, made anew from the tables whenever they are asked for."""

    def __init__(self, names: NameStore, same: SameNames) -> None:
        self._names = names
        self._same = same
        # Ids and numbers, no names: what was shown last is what a verdict is learnt from.
        self._shown: OrderedDict[str, dict[Pair, list[float]]] = OrderedDict()

    async def of_case(self, case: str, *, limit: int, verdicts: int) -> NamesView:
        """The likeliest pairs of a case with quotations, and its latest verdicts."""
        facts = await self._names.facts(case)
        judged = await self._same.of_case(case)
        found = await asyncio.to_thread(candidates, facts)
        told = suggested(found, judged)
        self._keep(case, found)
        page = told[:limit]
        views = await self._pairs(case, facts, page)
        return {
            "waiting": len(told),
            "pairs": views,
            "verdicts": _verdicts(facts, judged[::-1][:verdicts]),
        }

    async def strengths(self, case: str, pair: Pair) -> list[float]:
        """How strongly each kind of reason speaks for a pair; nothing at all for one that nobody suggests."""
        if pair not in self._shown.get(case, {}):
            self._keep(case, await asyncio.to_thread(candidates, await self._names.facts(case)))
        return self._shown[case].get(pair, [])

    def _keep(self, case: str, found: Sequence[Candidate]) -> None:
        self._shown[case] = {one.pair: one.strengths for one in found}
        self._shown.move_to_end(case)
        if len(self._shown) > CASES:
            self._shown.popitem(last=False)

    async def _pairs(self, case: str, facts: NameFacts, page: Sequence[Suggestion]) -> list[PairView]:
        entities = _entities(facts, page)
        wanted = [(side, entity) for side, theirs in entities.items() for entity in theirs]
        quotes: dict[int, list[Quote]] = defaultdict(list)
        for quote in await self._names.quotes(case, wanted, each=QUOTES):
            quotes[quote.side].append(quote)
        counts: dict[int, int] = defaultdict(int)
        sides = defaultdict(list)
        for node, entity in wanted:
            sides[entity].append(node)
        for _, entity in facts.mentions:
            for node in sides.get(entity, ()):
                counts[node] += 1
        names = {known.id: (known.kind, known.name, list[str]()) for known in facts.names}
        names |= {poi.id: ("poi", poi.names[0], poi.names[1:]) for poi in facts.pois}

        def side(node: int) -> SideView:
            kind, name, aliases = names[node]
            return {
                "node": node,
                "kind": kind,
                "name": name,
                "aliases": aliases,
                "mentions": counts[node],
                "quotes": [_quote(one) for one in quotes[node]],
            }

        return [
            {
                "left": side(one.pair.entity),
                "right": side(_right(one.pair)),
                "score": one.score,
                "reasons": [
                    {"kind": reason.kind, "strength": reason.strength, "words": reason.words}
                    for reason in one.reasons
                ],
            }
            for one in page
        ]


def _right(pair: Pair) -> int:
    right = pair.other if pair.other is not None else pair.poi
    assert right is not None
    return right


def _entities(facts: NameFacts, page: Sequence[Suggestion]) -> Mapping[int, list[int]]:
    """The entities of each side of the pairs: itself, or all that are the person of interest."""
    of_poi: dict[int, list[int]] = defaultdict(list)
    for known in facts.names:
        if known.poi is not None:
            of_poi[known.poi].append(known.id)
    found: dict[int, list[int]] = {}
    for one in page:
        found[one.pair.entity] = [one.pair.entity]
        found[_right(one.pair)] = of_poi[one.pair.poi] if one.pair.poi is not None else [_right(one.pair)]
    return found


def _quote(quote: Quote) -> QuoteView:
    start, end = quote.start - quote.chunk_start, quote.end - quote.chunk_start
    left, right = _between_words(quote.text, start, end)
    before, after = " ".join(quote.text[left:start].split()), " ".join(quote.text[end:right].split())
    spaced = bool(start) and quote.text[start - 1].isspace()
    follows = end < len(quote.text) and quote.text[end].isspace()
    return {
        "evidence": quote.evidence,
        "title": quote.title,
        "page": quote.page,
        "start": quote.start,
        "end": quote.end,
        "before": ("… " if left else "") + before + (" " if before and spaced else ""),
        "name": " ".join(quote.text[start:end].split()),
        "after": (" " if after and follows else "") + after + (" …" if right < len(quote.text) else ""),
    }


def _between_words(text: str, start: int, end: int) -> tuple[int, int]:
    """Where a quotation of what stands around two characters begins and ends: not within a word."""
    left, right = max(0, start - AROUND), min(len(text), end + AROUND)
    while 0 < left < start and not (text[left - 1].isspace() or text[left].isspace()):
        left += 1
    while end < right < len(text) and not (text[right - 1].isspace() or text[right].isspace()):
        right -= 1
    return left, right


def _verdicts(facts: NameFacts, rows: Sequence[VerdictRow]) -> list[VerdictView]:
    """Verdicts on names that are in sight; the others are told when their evidence is."""
    names = {known.id: known.name for known in facts.names} | {poi.id: poi.names[0] for poi in facts.pois}
    return [
        {
            "id": row.id,
            "left": names[row.pair.entity],
            "right": names[_right(row.pair)],
            "verdict": row.verdict,
            "by": row.user,
            "at": row.at.isoformat(),
        }
        for row in rows
        if row.pair.entity in names and _right(row.pair) in names
    ]
