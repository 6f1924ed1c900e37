"""Changes of what totals are kept of, drawn by chance, and a recount to hold the totals to."""

from __future__ import annotations

import random
from collections import Counter

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.entities import Entities, MentionDraft
from storage.evidence import ChunkDraft, EvidenceStore
from storage.pois import Pois
from storage.same_as import AlreadyJudged, Pair, SameNames
from storage.words import Words
from tests.case_rows import new_evidence

CASES = ("case1", "case2")
PEOPLE = ("Ann", "Bo", "Cy", "Dee", "Eli")

_KEPT = "SELECT case_id, chunks, indexed, words FROM case_totals ORDER BY case_id"
_COUNTED = """
    SELECT cases.id, (SELECT count(*) FROM chunks WHERE case_id = cases.id),
           (SELECT count(*) FROM chunk_lengths WHERE case_id = cases.id),
           (SELECT coalesce(sum(words), 0) FROM chunk_lengths WHERE case_id = cases.id)
    FROM cases ORDER BY cases.id
"""
_KEPT_MENTIONS = "SELECT case_id, entity_id, chunks FROM entity_counts ORDER BY entity_id"
_COUNTED_MENTIONS = """
    SELECT entities.case_id, entities.id, count(DISTINCT mentions.chunk_id)
    FROM mentions JOIN entities ON entities.id = mentions.entity_id GROUP BY 1, 2 ORDER BY 2
"""


async def rows(engine: AsyncEngine, query: str) -> list[tuple[object, ...]]:
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(query))]


async def all_is_right(engine: AsyncEngine) -> None:
    """Both tables say what there is, and nothing of a transaction is left."""
    kept = {row[0]: row[1:] for row in await rows(engine, _KEPT)}
    for case, *counted in await rows(engine, _COUNTED):
        assert kept.pop(case, (0, 0, 0)) == tuple(counted)
    assert kept == {}
    assert await rows(engine, _KEPT_MENTIONS) == await rows(engine, _COUNTED_MENTIONS)
    assert await rows(engine, "SELECT id FROM total_changes") == []
    assert await rows(engine, "SELECT xact FROM open_totals") == []


class Changing:
    """Changes of two cases, drawn by chance, by the means of the stores."""

    def __init__(self, engine: AsyncEngine, seed: int) -> None:
        self._engine, self._chance, self._seed, self._made = engine, random.Random(seed), seed, 0
        self.evidence: dict[int, str] = {}
        """What it was told is there, and has not asked to be dropped: id → case."""

    async def one(self) -> None:
        ways = [
            self.add,
            self.read_again,
            self.index,
            self.link,
            self.link,
            self.hide,
            self.drop,
            self.undone,
        ]
        if not self.evidence:
            await self.add()
            return
        await self._chance.choice([*ways, self.person, self.same, self.judge, self.rename, self.move])()

    async def write(self) -> None:
        """What several may do at once."""
        more = [self.link, self.index, self.drop] if self.evidence else []
        await self._chance.choice([self.add, self.add, *more])()

    def _some(self) -> tuple[int, str]:
        return self._chance.choice(list(self.evidence.items()))

    async def add(self) -> None:
        case, self._made = self._chance.choice(CASES), self._made + 1
        row = await EvidenceStore(self._engine).register(new_evidence(case, f"sha-{self._seed}-{self._made}"))
        self.evidence[row.id] = case
        await self._text(row.id)

    async def _text(self, evidence: int) -> None:
        drafts = [ChunkDraft(i, 0, 10 * i, 10 * i + 9, "x", []) for i in range(self._chance.randint(0, 4))]
        await EvidenceStore(self._engine).store_text(
            evidence, title="", text="x" * 50, pages=[], meta={}, chunks=drafts
        )

    async def read_again(self) -> None:
        await self._text(self._some()[0])

    async def _chunks(self, evidence: int) -> list[int]:
        return [chunk.id for chunk in await EvidenceStore(self._engine).chunks(evidence)]

    async def index(self) -> None:
        evidence, case = self._some()
        bags = {i: Counter(self._chance.choices("abc", k=3)) for i in await self._chunks(evidence)}
        await Words(self._engine).index(
            case, {i: bag if self._chance.random() < 0.8 else {} for i, bag in bags.items()}
        )

    async def link(self) -> None:
        evidence, case = self._some()
        mentions = [
            MentionDraft("person", who.lower(), who, chunk, start, start + 1)
            for chunk in await self._chunks(evidence)
            for start, who in enumerate(self._chance.choices(PEOPLE, k=self._chance.randint(0, 5)))
        ]
        pois = await Pois(self._engine).of_case(case)
        await Entities(self._engine).replace(case, evidence, mentions, pois=pois)

    async def hide(self) -> None:
        await EvidenceStore(self._engine).hide(
            self._some()[0], "upload-0-a", hidden=self._chance.random() < 0.6
        )

    async def drop(self) -> None:
        evidence, _ = self._some()
        del self.evidence[evidence]
        await self._run(f"DELETE FROM evidence WHERE id = {evidence}")

    async def undone(self) -> None:
        evidence, _ = self._some()
        async with self._engine.connect() as connection:
            await connection.execute(text(f"DELETE FROM chunks WHERE evidence_id = {evidence}"))
            await connection.rollback()

    async def person(self) -> None:
        case = self._chance.choice(CASES)
        there = await Pois(self._engine).of_case(case)
        if there:
            await Pois(self._engine).remove(case, there[0].id)
        else:
            await Pois(self._engine).add(case, self._chance.choice(PEOPLE), ["Alias"], "")

    async def same(self) -> None:
        case = self._chance.choice(CASES)
        found = await rows(
            self._engine,
            f"SELECT id FROM entities WHERE case_id = '{case}' AND kind <> 'poi' AND status <> 'rejected'",
        )
        if len(found) > 1:
            one, two = self._chance.sample([row[0] for row in found], 2)
            try:
                await SameNames(self._engine).judge(
                    case, Pair.of(int(str(one)), other=int(str(two))), "same", [], "u1"
                )
            except AlreadyJudged:
                await self._run(f"DELETE FROM same_as WHERE case_id = '{case}'")

    async def judge(self) -> None:
        status = self._chance.choice(["accepted", "rejected", "suggested"])
        await self._run(
            f"UPDATE entities SET status = '{status}' WHERE name = '{self._chance.choice(PEOPLE)}'"
        )

    async def rename(self) -> None:
        name = self._chance.choice(PEOPLE)
        await self._run(
            f"UPDATE entities SET name = CASE name WHEN '{name}' THEN '{name}a' ELSE '{name}' END "
            f"WHERE name IN ('{name}', '{name}a')"
        )

    async def move(self) -> None:
        """As no store does: lengths are others, mentions are another's, chunks another case's."""
        evidence, case = self._some()
        other = CASES[1 - CASES.index(case)]
        await self._run("UPDATE chunk_lengths SET words = words + 1 WHERE chunk_id % 2 = 0")
        named = f"FROM entities AS own WHERE own.case_id = '{case}'"
        await self._run(
            f"UPDATE mentions SET entity_id = (SELECT min(id) {named}), start = start + 100 "
            f"WHERE start < 100 AND entity_id = (SELECT max(id) {named})"
        )
        await self._run(f"UPDATE chunks SET case_id = '{other}' WHERE evidence_id = {evidence}")
        await self._run(
            f"UPDATE chunks SET case_id = '{case}' WHERE evidence_id = {evidence} AND ordinal > 1"
        )

    async def _run(self, statement: str) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(text(statement))
