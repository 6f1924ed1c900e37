"""Which names of a case may be one and the same: pairs worth a person's look, best first."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from rapidfuzz import fuzz, process

from handlers.same_learning import fitted, scores
from handlers.same_names import ALIKE, KINDS, Reason, compare, is_shaped, shapes, words_of
from storage.name_facts import Known, NameFacts
from storage.same_as import Joined, Pair, VerdictRow

FLOOR = 0.2
"""What is less likely the same than this is not suggested."""
MOST = 500
CROWD = 12
"""A surname that so many bear tells nothing of who is meant by it alone."""
LOOKS = 300
"""Chunks of a name that are looked at for who else is named there."""


@dataclass(frozen=True)
class Suggestion:
    """Two names that may be the same.

    Attributes:
        score: How likely, 0 to 1, by what the case has judged.
        strengths: Of each of `KINDS`, as a verdict keeps them.
    """

    pair: Pair
    score: float
    reasons: list[Reason]
    strengths: list[float]


@dataclass(frozen=True)
class Candidate:
    """A pair with what speaks for and against it; the same whatever anybody has judged."""

    pair: Pair
    reasons: tuple[Reason, ...]

    @property
    def strengths(self) -> list[float]:
        """Of each of `KINDS`."""
        by_kind = {reason.kind: reason.strength for reason in self.reasons}
        return [by_kind.get(kind, 0.0) for kind in KINDS]


@dataclass(frozen=True)
class _One:
    """An entity, or a person of interest with all its entities and names."""

    id: int
    kind: str
    names: tuple[str, ...]
    entities: tuple[int, ...]
    is_poi: bool = False


@dataclass
class _Found:
    """Pairs by the two's ids, with their reasons."""

    by_pair: dict[tuple[int, int], dict[str, Reason]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, one: _One, other: _One, reasons: Iterable[Reason]) -> None:
        if one.id == other.id or (one.is_poi and other.is_poi):
            return
        known = self.by_pair[min(one.id, other.id), max(one.id, other.id)]
        for reason in reasons:
            if reason.kind not in known or known[reason.kind].strength < reason.strength:
                known[reason.kind] = reason


def candidates(facts: NameFacts) -> list[Candidate]:
    """Every pair for which something speaks, by the ids of the two; pure, so that a thread may do it."""
    ones = _ones(facts)
    of_entity = {entity: one for one in ones for entity in one.entities}
    by_id = {one.id: one for one in ones}
    found = _Found()
    _by_writing([one for one in ones if one.kind == "person"], found)
    _by_form([one for one in ones if one.kind == "organisation"], found)
    _by_address(ones, of_entity, facts, found)
    found.by_pair = {pair: reasons for pair, reasons in found.by_pair.items() if reasons}
    _context(by_id, of_entity, facts, found)
    _rivals(by_id, found)
    made = []
    for (a, b), reasons in sorted(found.by_pair.items()):
        one, other = by_id[a], by_id[b]
        if one.is_poi or other.is_poi:
            poi, entity = (one, other) if one.is_poi else (other, one)
            pair = Pair.of(entity.id, poi=poi.id)
        else:
            pair = Pair.of(a, other=b)
        made.append(Candidate(pair, tuple(reasons[kind] for kind in KINDS if kind in reasons)))
    return made


def suggested(found: Sequence[Candidate], verdicts: Sequence[VerdictRow]) -> list[Suggestion]:
    """The pairs nobody has judged, weighed by what was judged, the likeliest first, ties by ids."""
    learnt = [row for row in verdicts if row.verdict != "unsure"]
    weights = fitted([row.reasons for row in learnt], [row.verdict == "same" for row in learnt])
    judged = {row.pair for row in verdicts}
    joined = Joined(
        (row.pair.entity, row.pair.other)
        for row in verdicts
        if row.verdict == "same" and row.pair.other is not None
    )
    open_ = [
        one
        for one in found
        if one.pair not in judged
        and (one.pair.other is None or joined.of(one.pair.entity) != joined.of(one.pair.other))
    ]
    if not open_:
        return []
    told = scores(np.array([one.strengths for one in open_]), weights)
    made = [
        Suggestion(one.pair, float(score), list(one.reasons), one.strengths)
        for one, score in zip(open_, told, strict=True)
        if score >= FLOOR
    ]
    made.sort(key=lambda one: (-one.score, one.pair.entity, one.pair.other or 0, one.pair.poi or 0))
    return made[:MOST]


def _ones(facts: NameFacts) -> list[_One]:
    of_poi: dict[int, list[int]] = defaultdict(list)
    for known in facts.names:
        if known.poi is not None:
            of_poi[known.poi].append(known.id)
    free: list[Known] = [known for known in facts.names if known.poi is None and known.kind != "poi"]
    pois = [
        _One(poi.id, "person", tuple(n for n in poi.names if "@" not in n), tuple(of_poi[poi.id]), True)
        for poi in facts.pois
    ]
    return [*(_One(known.id, known.kind, (known.name,), (known.id,)) for known in free), *pois]


def _by_writing(people: Sequence[_One], found: _Found) -> None:
    """People whose names have a surname, all words, a single word, or nearly all letters in common."""
    blocks: dict[tuple[str, str], list[tuple[_One, str]]] = defaultdict(list)
    letters: dict[str, list[tuple[_One, str, str]]] = defaultdict(list)
    for one in people:
        for name in one.names:
            words = words_of(name)
            if not words:
                continue
            blocks["surname", words[-1]].append((one, name))
            blocks["words", " ".join(sorted(words))].append((one, name))
            if len(words) > 1:
                blocks["given", words[0]].append((one, name))
                initials = words[0][0] + words[-1][0]
                letters[initials].append((one, name, " ".join(w for w in words if len(w) > 1)))
    for (sort, _), block in blocks.items():
        singles = [each for each in block if len(words_of(each[1])) == 1]
        if sort == "surname" or sort == "words":
            several = [each for each in block if len(words_of(each[1])) > 1]
            if len(several) <= 40 * CROWD:
                _compare_all(combinations(several, 2), found)
            if len({one.id for one, _ in several}) <= CROWD:
                _compare_all(((a, b) for a in singles for b in several), found)
    # “Quilling” stands in the block of surnames; “Martha” alone has a block of its own.
    for (sort, word), block in blocks.items():
        if sort == "given" and len({one.id for one, _ in block}) <= CROWD // 3:
            alone = [each for each in blocks.get(("surname", word), []) if len(words_of(each[1])) == 1]
            _compare_all(((a, b) for a in alone for b in block), found)
    for group in letters.values():
        written = [each[2] for each in group]
        alike = process.cdist(written, written, scorer=fuzz.ratio, score_cutoff=ALIKE, dtype=np.float32)
        for i, j in zip(*np.nonzero(np.triu(alike, 1)), strict=True):
            _compare_all([((group[i][0], group[i][1]), (group[j][0], group[j][1]))], found)


def _compare_all(pairs: Iterable[tuple[tuple[_One, str], tuple[_One, str]]], found: _Found) -> None:
    for (one, name), (other, written) in pairs:
        if one.id != other.id and not (one.is_poi and other.is_poi):
            reasons = compare(name, written, "person")
            if reasons:
                found.add(one, other, reasons)


def _by_form(organisations: Sequence[_One], found: _Found) -> None:
    blocks: dict[str, list[_One]] = defaultdict(list)
    for one in organisations:
        words = one.names[0].lower().split()
        blocks[words[0][:3]].append(one)
        if len(words) > 2:
            blocks["".join(word[0] for word in words)[:3]].append(one)
    for block in blocks.values():
        if len(block) <= 200:
            for one, other in combinations(block, 2):
                if reasons := compare(one.names[0], other.names[0], "organisation"):
                    found.add(one, other, reasons)


def _by_address(ones: Sequence[_One], of_entity: Mapping[int, _One], facts: NameFacts, found: _Found) -> None:
    """Who stands right before one mail address, and whose name an address is made of."""
    bearers: dict[int, dict[int, int]] = defaultdict(dict)
    for person, address, times in facts.beside:
        one, mail = of_entity.get(person), of_entity.get(address)
        if one is not None and mail is not None and one.id != mail.id:
            bearers[mail.id][one.id] = bearers[mail.id].get(one.id, 0) + times
    by_id = {one.id: one for one in ones}
    for mail_id, who in bearers.items():
        mail = by_id[mail_id]
        shown = mail.names[0] if mail.names else "an address"
        for person, times in who.items():
            told = f"The name stands before this address in {_times(times)}"
            found.add(by_id[person], mail, [Reason("address", times / (times + 1), told)])
        if len(who) <= CROWD:
            for a, b in combinations(sorted(who), 2):
                told = f"Both stand before the address {shown}"
                found.add(by_id[a], by_id[b], [Reason("address", 1.0, told)])
    by_surname: dict[str, list[tuple[_One, tuple[str, ...]]]] = defaultdict(list)
    for one in ones:
        if one.kind == "person":
            for name in one.names:
                if len(words := words_of(name)) > 1:
                    by_surname[words[-1]].append((one, words))
    for mail in (one for one in ones if one.kind == "email"):
        local = shapes(mail.names[0])
        for last in _endings(local, by_surname):
            for one, words in by_surname[last]:
                if is_shaped(local, words):
                    told = f"The address {mail.names[0]} is made of the name"
                    found.add(one, mail, [Reason("shaped", 1.0, told)])


def _endings(local: str, surnames: Mapping[str, object]) -> set[str]:
    """Surnames that what stands before an @ begins or ends with."""
    bare = "".join(c for c in local if c.isalpha())
    pieces = {bare[i:] for i in range(len(bare) - 1)} | {bare[:i] for i in range(2, len(bare) + 1)}
    return {piece for piece in pieces if piece in surnames}


def _context(
    by_id: Mapping[int, _One], of_entity: Mapping[int, _One], facts: NameFacts, found: _Found
) -> None:
    """Whether the two occur with the same others, and whether they occur together."""
    wanted = {one for pair in found.by_pair for one in pair}
    chunks: dict[int, set[int]] = defaultdict(set)
    named: dict[int, set[int]] = defaultdict(set)
    for chunk, entity in facts.mentions:
        one = of_entity.get(entity)
        if one is not None:
            named[chunk].add(one.id)
            if one.id in wanted:
                chunks[one.id].add(chunk)
    frequent = Counter(who for people in named.values() for who in people)
    size = max(len(named), 1)
    vectors = {one: _company(one, sorted(chunks[one])[:LOOKS], named, frequent, size) for one in wanted}
    for (a, b), reasons in found.by_pair.items():
        mine = {who: weight for who, weight in vectors[a].items() if who not in (a, b)}
        theirs = {who: weight for who, weight in vectors[b].items() if who not in (a, b)}
        cosine = _cosine(mine, theirs)
        if cosine >= 0.05:
            told = f"They occur with the same others ({cosine:.0%} alike)"
            reasons["context"] = Reason("context", cosine, told)
        both = len(chunks[a] & chunks[b])
        if both and "address" not in reasons and "shaped" not in reasons:
            share = both / min(len(chunks[a]), len(chunks[b]))
            told = f"Both are named together in {_times(both, 'passage')}"
            reasons["together"] = Reason("together", share, told)


def _company(
    one: int,
    chunks: Sequence[int],
    named: Mapping[int, set[int]],
    frequent: Mapping[int, int],
    size: int,
) -> dict[int, float]:
    counts = Counter(who for chunk in chunks for who in named[chunk] if who != one)
    return {who: (1 + math.log(times)) * math.log1p(size / frequent[who]) for who, times in counts.items()}


def _cosine(a: Mapping[int, float], b: Mapping[int, float]) -> float:
    if len(b) < len(a):
        a, b = b, a
    dot = sum(weight * b[who] for who, weight in a.items() if who in b)
    if not dot:
        return 0.0
    norm = math.sqrt(sum(w * w for w in a.values()) * sum(w * w for w in b.values()))
    return min(1.0, dot / norm)


def _rivals(by_id: Mapping[int, _One], found: _Found) -> None:
    """Where one of the two fits several others as well by a reason that should fit one alone."""
    alone = ("initial", "part", "shaped", "nickname")
    fitting: dict[tuple[int, str, str], set[int]] = defaultdict(set)
    for (a, b), reasons in found.by_pair.items():
        for kind in alone:
            if kind in reasons:
                fitting[a, kind, by_id[b].kind].add(b)
                fitting[b, kind, by_id[a].kind].add(a)
    for (a, b), reasons in found.by_pair.items():
        most = max(
            (
                max(len(fitting[a, kind, by_id[b].kind]), len(fitting[b, kind, by_id[a].kind]))
                for kind in alone
                if kind in reasons
            ),
            default=1,
        )
        if most > 1:
            told = f"{most - 1} other name{'s fit' if most > 2 else ' fits'} as well"
            reasons["rivals"] = Reason("rivals", 1 - 1 / most, told)


def _times(times: int, what: str = "place") -> str:
    return f"{times} {what}{'' if times == 1 else 's'}"
