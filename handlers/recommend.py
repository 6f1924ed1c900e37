"""Evidence that somebody may want to read next: like what they liked, or liked by those who vote alike."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import orjson

from storage.prepared import Prepared
from storage.recommending import Alike, Facts, Piece, Recommending, Taste, most_liked

SHOWN = 12
VOTED, READ = 1.0, 0.3
"""What a vote, and what reading says of evidence."""
SHRINK = 2.0
"""Evidence that two people have both judged counts as if they had disagreed about so much more."""
COMPANY = 1.0
"""What the company of others weighs, against content."""
LEAST = 0.05
"""Less than so much is no recommendation."""
_TAGGED = 0.8
"""What evidence of exactly the same tags is alike."""
_COMMON_TAG = 0.3
"""A tag that more of the evidence has than this says nothing."""


@dataclass(frozen=True)
class Recommended:
    """Evidence with the reason, in words, why it is shown; `because` is the evidence it is like, or 0."""

    evidence: int
    title: str
    media_type: str
    score: float
    reason: str
    because: int


async def prepare_recommendations(case: str, *, facts: Recommending, prepared: Prepared) -> bool:
    """Work out what to recommend to every member of a case, and keep it; False where it changed meanwhile."""
    generation = await prepared.begin(case)
    found = await asyncio.to_thread(_all, await facts.facts(case))
    if not found:
        return True
    values = {name_for(user): orjson.dumps([asdict(one) for one in rows]) for user, rows in found.items()}
    return await prepared.put(case, generation, values)


async def recommended(case: str, user: str, *, prepared: Prepared) -> list[Recommended]:
    """What was worked out for somebody; nothing where nothing was yet."""
    kept = await prepared.get(case, name_for(user))
    return [] if kept is None else [Recommended(**row) for row in orjson.loads(kept)]


async def withdraw(case: str, user: str, evidence: int, *, prepared: Prepared) -> None:
    """Recommend evidence to somebody no more, who has seen it."""
    while True:
        generation = await prepared.begin(case)
        rows = await recommended(case, user, prepared=prepared)
        left = [asdict(row) for row in rows if row.evidence != evidence]
        kept = {name_for(user): orjson.dumps(left)} if len(left) < len(rows) else {}
        if await prepared.renew(case, generation, kept):
            return


def name_for(user: str) -> str:
    """Where somebody's recommendations are among what is prepared of a case."""
    return f"recommended:{user}"


def _all(facts: Facts) -> dict[str, list[Recommended]]:
    return {user: recommend(user, facts) for user in facts.tastes}


def recommend(user: str, facts: Facts) -> list[Recommended]:
    """The best evidence for one member that they have not seen, best first, ties by id; at most `SHOWN`."""
    pieces = {piece.id: piece for piece in facts.pieces}
    taste = facts.tastes[user]
    content, sources = _by_content(taste, facts, pieces)
    company, colleagues = _by_company(user, facts)
    rows = []
    for one in (content.keys() | company.keys()) & pieces.keys() - taste.known:
        like, among = _squashed(content.get(one, 0.0)), COMPANY * _squashed(company.get(one, 0.0))
        if like + among < LEAST:
            continue
        if among > like:
            reason, because = _liked_by(colleagues[one]), 0
        else:
            because, alike = sources[one]
            reason = _like(pieces[because], taste, alike)
        piece = pieces[one]
        rows.append(Recommended(one, piece.title, piece.media_type, round(like + among, 4), reason, because))
    return sorted(rows, key=lambda row: (-row.score, row.evidence))[:SHOWN]


def _squashed(score: float) -> float:
    return score / (1 + score) if score > 0 else 0.0


def _likes(taste: Taste) -> dict[int, float]:
    """How much a person likes evidence; below 0 what they do not."""
    likes = {one: VOTED * max(-1, min(1, votes)) for one, votes in taste.votes.items() if votes}
    for one in taste.read:
        likes[one] = likes.get(one, 0.0) + READ
    return likes


def _by_content(
    taste: Taste, facts: Facts, pieces: Mapping[int, Piece]
) -> tuple[dict[int, float], dict[int, tuple[int, str]]]:
    """By evidence how like it is what they liked, and what it is most like, and how."""
    likes = _likes(taste)
    told: dict[int, list[tuple[float, int, str]]] = defaultdict(list)
    for alike in facts.alike:
        if alike.liked in likes and alike.liked in pieces:
            told[alike.other].append((likes[alike.liked] * alike.score, alike.liked, _how(alike)))
    for one, share, liked, tag in _by_tags(taste, likes, facts, pieces):
        told[one].append((likes[liked] * _TAGGED * share, liked, tag))
    scores, sources = {}, {}
    for one, found in told.items():
        best: dict[int, tuple[float, str]] = {}
        for score, liked, how in found:  # like the same one in several ways: the strongest counts
            if liked not in best or abs(score) > abs(best[liked][0]):
                best[liked] = (score, how)
        total = sum(score for score, _ in best.values())
        score, because = max((score, -liked) for liked, (score, _) in best.items())
        if total > 0 and score > 0:
            scores[one], sources[one] = total, (-because, best[-because][1])
    return scores, sources


def _how(alike: Alike) -> str:
    return "copy" if alike.copy else "alike"


def _by_tags(
    taste: Taste, likes: Mapping[int, float], facts: Facts, pieces: Mapping[int, Piece]
) -> list[tuple[int, float, int, str]]:
    """`(evidence, share of the tags' weight in common, liked, rarest common tag)`; rare tags weigh more."""
    size = len(facts.pieces)
    holders: dict[str, list[int]] = defaultdict(list)
    for piece in facts.pieces:
        for tag in {tag.casefold() for tag in piece.tags}:
            holders[tag].append(piece.id)
    weight = {
        tag: math.log(size / len(found))
        for tag, found in holders.items()
        if 1 < len(found) <= max(2, _COMMON_TAG * size)
    }

    def mass(one: int) -> float:
        return sum(weight.get(tag, 0.0) for tag in {tag.casefold() for tag in pieces[one].tags})

    rows = []
    for liked in most_liked(taste):
        if liked not in pieces or likes.get(liked, 0.0) <= 0:
            continue
        shared: dict[int, float] = defaultdict(float)
        rarest: dict[int, tuple[float, str]] = {}
        for tag in {tag.casefold(): tag for tag in pieces[liked].tags}.values():
            key = tag.casefold()
            for one in holders[key] if key in weight else ():
                if one != liked:
                    shared[one] += weight[key]
                    rarest[one] = max(rarest.get(one, (0.0, "")), (weight[key], tag))
        own = mass(liked)
        for one, common in shared.items():
            rows.append((one, common / max(own + mass(one) - common, 1e-9), liked, f"tag:{rarest[one][1]}"))
    return rows


def _by_company(user: str, facts: Facts) -> tuple[dict[int, float], dict[int, int]]:
    """By evidence how much those like it who like what this person likes, and how many they are."""
    mine = _likes(facts.tastes[user])
    scores: dict[int, float] = defaultdict(float)
    many: Counter[int] = Counter()
    for other, taste in facts.tastes.items():
        theirs = _likes(taste)
        common = mine.keys() & theirs.keys()
        if other == user or not common:
            continue
        lengths = math.sqrt(sum(v * v for v in mine.values()) * sum(v * v for v in theirs.values()))
        agreement = sum(mine[one] * theirs[one] for one in common) / lengths
        agreement *= len(common) / (len(common) + SHRINK)
        if agreement <= 0:
            continue
        for one, liking in theirs.items():
            scores[one] += agreement * liking
            many[one] += liking > 0
    return scores, many


def _like(piece: Piece, taste: Taste, how: str) -> str:
    did = "voted up" if taste.votes.get(piece.id, 0) > 0 else "read"
    if how == "copy":
        return f"nearly the same as “{piece.title}”, which you {did}"
    if how.startswith("tag:"):
        return f"about {how.removeprefix('tag:')}, like “{piece.title}”, which you {did}"
    return f"like “{piece.title}”, which you {did}"


def _liked_by(colleagues: int) -> str:
    return f"{'1 colleague' if colleagues == 1 else f'{colleagues} colleagues'} who voted as you did liked it"
