"""Cases that change at random, by all that the graph is made of, and what a graph answers about them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.entities import Entities, MentionDraft
from storage.evidence import ChunkDraft, EvidenceStore
from storage.graph import Graph, Limits
from storage.pois import Pois
from storage.relations import RelationDraft
from storage.schema import SQLModel
from storage.similarities import Similarities
from storage.vectors import Near
from tests.case_rows import new_case, new_evidence

TABLES = SQLModel.metadata.tables
PEOPLE = [f"Person {i}" for i in range(14)]


@dataclass
class RandomCase:
    """A case that changes at random."""

    engine: AsyncEngine
    case: str
    random: random.Random
    files: int = 0
    chunks: list[int] = field(default_factory=list)

    async def add(self) -> None:
        """Evidence that mentions people, with chunks like those of earlier evidence."""
        store, self.files = EvidenceStore(self.engine), self.files + 1
        name = f"{self.case}-{self.files}"
        row = await store.register(new_evidence(self.case, name, upload=f"upload-0-{name}"))
        count = self.random.randint(1, 7)
        drafts = [ChunkDraft(i, i % 3, 10 * i, 10 * i + 9, f"chunk {i} ..", []) for i in range(count)]
        await store.store_text(row.id, title=name, text="x" * 200, pages=[], meta={}, chunks=drafts)
        chunks = [chunk.id for chunk in await store.chunks(row.id)]
        await self.mention(row.id, chunks)
        if self.chunks:
            near = {
                tuple(sorted((self.random.choice(chunks), self.random.choice(self.chunks))))
                for _ in range(self.random.randint(0, 5))
            }
            pairs = [Near(a, b, self.random.choice([0.5, 0.75, self.random.random()])) for a, b in near]
            await Similarities(self.engine).put(self.case, pairs)
        self.chunks += chunks

    async def mention(self, evidence: int, chunks: Sequence[int]) -> None:
        """Let chunks mention people, some of them persons of interest."""
        pois = await Pois(self.engine).of_case(self.case)
        drafts = []
        for chunk in chunks:
            for start in range(self.random.randint(0, 6)):
                who = min(int(self.random.expovariate(0.3)), len(PEOPLE) - 1)
                poi = pois[who].id if who < len(pois) else 0
                kind = "poi" if poi else "person"
                drafts.append(MentionDraft(kind, f"{who}", PEOPLE[who], chunk, start, start + 1, poi))
        await Entities(self.engine).replace(
            self.case, evidence, drafts, pois=pois, relations=self.relations(drafts)
        )

    def relations(self, mentions: Sequence[MentionDraft]) -> list[RelationDraft]:
        """What some of the neighbouring names have to do with each other, some of it told twice."""
        told = []
        for a, b in pairwise(mentions):
            if a.chunk == b.chunk and self.random.random() < 0.6:
                predicate = self.random.choice(["paid", "schrieb an", "director “of”"])
                ends = ((a.kind, a.key), predicate, (b.kind, b.key))
                told += [
                    RelationDraft(a.chunk, *ends, start, b.end, "rule")
                    for start in range(self.random.randint(1, 2))
                ]
        return told

    async def judge_same(self) -> None:
        """Two names are found to be the same or different, or that is taken back."""
        entities = await self.ids("entities")
        table = TABLES["same_as"]
        async with self.engine.begin() as connection:
            if len(entities) < 2 or self.random.random() < 0.3:
                await connection.execute(delete(table).where(table.c.case_id == self.case))
                return
            one, other = sorted(self.random.sample(entities, 2))
            verdict = self.random.choice(["same", "same", "different"])
            values = {"case_id": self.case, "entity": one, "other": other, "user_id": "u", "reasons": []}
            put = insert(table).values(values | {"verdict": verdict})
            await connection.execute(
                put.on_conflict_do_update(index_elements=["entity", "other"], set_={"verdict": verdict})
            )

    async def change(self) -> None:
        """Something of the case, chosen at random."""
        evidence = await self.ids("evidence")
        what = self.random.choice(
            ["add", "judge", "hide", "mention", "forget", "poi", "dissimilar", "same", "same"]
        )
        if what == "add" or not evidence:
            await self.add()
        elif what == "mention":
            one = self.random.choice(evidence)
            await self.mention(one, [chunk.id for chunk in await EvidenceStore(self.engine).chunks(one)])
        elif what == "same":
            await self.judge_same()
        elif what == "poi":
            await Pois(self.engine).add(self.case, f"Poi {self.files}", ["The Owl", "Owl"], "")
        else:
            await self._by_sql(what, evidence)

    async def _by_sql(self, what: str, evidence: Sequence[int]) -> None:
        entities, one = await self.ids("entities"), self.random.choice(evidence)
        table, similar = TABLES["evidence"], TABLES["similarities"]
        async with self.engine.begin() as connection:
            if what == "forget":
                await connection.execute(
                    text("DELETE FROM mentions USING chunks WHERE evidence_id = :e AND chunk_id = chunks.id"),
                    {"e": one},
                )
                of_this = text(
                    "DELETE FROM similarities USING chunks "
                    "WHERE evidence_id = :e AND chunks.id IN (source, target)"
                )
                await connection.execute(of_this, {"e": one})
                await connection.execute(text("DELETE FROM chunks WHERE evidence_id = :e"), {"e": one})
                await connection.execute(delete(table).where(table.c.id == one))
            elif what == "hide":
                query = text(
                    "UPDATE evidence SET hidden_at = CASE WHEN hidden_at IS NULL THEN now() END WHERE id = :e"
                )
                await connection.execute(query, {"e": one})
            elif what == "dissimilar":
                await connection.execute(
                    delete(similar).where(similar.c.case_id == self.case, similar.c.weight == 0.5)
                )
            elif entities:
                status = self.random.choice(["accepted", "rejected", "suggested"])
                judged = TABLES["entities"]
                chosen = judged.c.id == self.random.choice(entities)
                await connection.execute(update(judged).where(chosen).values(status=status))
        self.chunks = await self.ids("chunks")

    async def ids(self, table: str) -> list[int]:
        """Of the rows that the case has in a table."""
        rows = TABLES[table]
        query = select(rows.c.id).where(rows.c.case_id == self.case).order_by(rows.c.id)
        async with self.engine.connect() as connection:
            return list(await connection.scalars(query))

    async def ask(self, graph: Graph, foreign: Sequence[int], seed: int) -> list[object]:
        """Everything that a graph answers, to questions that depend on the seed alone."""
        asked = random.Random(seed)
        chunks, entities = await self.ids("chunks"), await self.ids("entities")
        some = [*asked.sample(chunks, min(len(chunks), 4)), *foreign[:2]]
        named = [*asked.sample(entities, min(len(entities), 3)), *foreign[2:4], 10**9]
        limits = Limits(
            chunks=asked.choice([3, 8, 1200]),
            entities=asked.choice([2, 700]),
            edges=asked.choice([7, 20_000]),
            common=asked.choice([3, 200]),
            rows=asked.choice([4, 8000]),
        )
        parts = [await graph.around(self.case, some, named, limits), await graph.whole(self.case)]
        arrays = [[getattr(part, name).tolist() for name in ARRAYS] for part in parts]
        return [
            arrays,
            [part.chunks for part in parts],
            await graph.names(self.case),
            await graph.names(self.case, limit=2),
            await graph.commonness(self.case, named),
            await graph.mentions(self.case, named, limit=2),
            await graph.labels(self.case, [*some, *named]),
            await graph.passages(self.case, some),
            await graph.named_at(self.case, some),
        ]


ARRAYS = ["nodes", "kinds", "common", "accepted", "sources", "targets", "edge_kinds", "weights"]


async def random_cases(engine: AsyncEngine, seed: int) -> list[RandomCase]:
    chance = random.Random(seed)
    cases = [RandomCase(engine, await new_case(engine, f"case{i}"), chance) for i in range(2)]
    for case in cases:
        for name in PEOPLE[:2]:
            await Pois(engine).add(case.case, name, [f"Alias of {name}"], "")
        for _ in range(4):
            await case.add()
    return cases
