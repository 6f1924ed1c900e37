"""A small fictional case in the real tables: a quarry, its blasting records and a quiet payment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.embedder import Embedder
from handlers.job import Cancelled
from handlers.query_graph import QueryGraph
from handlers.rank import build_graph, legs_from
from handlers.search import search_links, search_meaning, search_words
from handlers.terms import counts
from machines.query import LegFound, SearchLinks, SearchMeaning, SearchWords
from machines.snapshot import Snapshot
from storage.articles import Articles
from storage.attention import AttentionNotes
from storage.case_cache import CaseCache
from storage.entities import Entities, MentionDraft
from storage.evidence import ChunkDraft, EvidenceStore
from storage.graph_postgres import GraphPostgres
from storage.pois import Pois
from storage.query_graphs import QueryGraphs
from storage.schema import SQLModel
from storage.similarities import Similarities
from storage.vectors_pgvector import PgVectors
from storage.votes import Votes
from storage.words import Words
from tests.case_rows import new_case, new_evidence

SHARDS = 4
TABLES = SQLModel.metadata.tables

MAIL = {
    "from": [{"name": "Lene Dahl", "address": "lene.dahl@brask-quarry.example"}],
    "to": [{"name": "Piet Osman", "address": "piet@brask-quarry.example"}],
    "subject": "Blasting plan for bench nine",
    "date": "2033-05-11T07:30:00+00:00",
}

QUARRY: dict[str, list[str]] = {
    "blasting-record": [
        "Blasting record of bench nine. The blast of 14 May 2033 was approved by Marit Solheim.",
        "The charge was 310 kilograms. Two detonators failed and were recovered the next day.",
    ],
    "bank-statement": [
        "Statement of Vanter Holding for June 2033. Balance brought forward 12,400 kroner.",
        "On 2 June a sum of 95,000 kroner went to Marit Solheim as an advance on consulting.",
    ],
    "mail": [
        "Subject: Blasting plan for bench nine\nFrom: Lene Dahl <lene.dahl@brask-quarry.example>\n"
        "To: Piet Osman <piet@brask-quarry.example>\nDate: Wed, 11 May 2033 07:30:00 +0000\n\n"
        "The neighbours must be warned two days before the blast. Please lock the lower gate.",
    ],
    "canteen": [
        "The canteen serves fish on Fridays. The coffee machine on the first floor is out of order.",
        "Lockers are cleared at the end of the year. Unclaimed boots go to the charity shop.",
    ],
    "rules": [
        "Every blast needs the approval of a certified person who is paid by nobody but the state.",
    ],
}

ENTITIES: dict[str, tuple[str, ...]] = {
    "person": ("Marit Solheim", "Lene Dahl", "Piet Osman"),
    "organisation": ("Vanter Holding",),
    "money": ("95,000 kroner", "12,400 kroner"),
    "date": ("14 May 2033", "2 June"),
}


@dataclass
class WatchedJob:
    """A job that keeps what is streamed and may be cancelled after some looks."""

    id: str = "query-0-a:1:0"
    machine: str = "query-0-a"
    topic: str = "case:case1"
    attempt: int = 1
    looks_left: int = 1_000_000
    tokens: list[tuple[str, int]] = field(default_factory=list)

    async def progress(self, done: int, total: int, unit: str) -> None:
        await self.check()

    async def token(self, text: str, position: int) -> None:
        await self.check()
        self.tokens.append((text, position))

    async def check(self) -> None:
        self.looks_left -= 1
        if self.looks_left < 0:
            raise Cancelled


@dataclass
class SmallCase:
    """A case and what searches it; `chunk` finds a chunk by evidence and ordinal."""

    id: str
    database: AsyncEngine
    encoder: Embedder
    graphs: QueryGraphs
    chunks: dict[tuple[str, int], int]
    evidence: dict[str, int]
    summaries: CaseCache

    @property
    def articles(self) -> Articles:
        return Articles(self.database)

    @property
    def graph(self) -> GraphPostgres:
        return GraphPostgres(self.database)

    @property
    def words(self) -> Words:
        return Words(self.database)

    @property
    def votes(self) -> Votes:
        return Votes(self.database)

    @property
    def attention(self) -> AttentionNotes:
        return AttentionNotes(self.database)

    async def load(self, machine: str) -> Snapshot | None:
        """No machine has a snapshot: of a question asked by nobody."""
        return None

    def chunk(self, name: str, ordinal: int = 0) -> int:
        return self.chunks[name, ordinal]

    async def entity(self, name: str) -> int:
        columns = TABLES["entities"].c
        query = select(columns.id).where(columns.case_id == self.id, columns.name == name)
        async with self.database.connect() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def judge(self, name: str, status: str) -> None:
        """Accept or reject an entity."""
        table, node = TABLES["entities"], await self.entity(name)
        async with self.database.begin() as connection:
            await connection.execute(update(table).where(table.c.id == node).values(status=status))

    async def legs(self, question: str) -> dict[str, list[dict[str, float]]]:
        """What the three legs find, as JSON."""
        job = WatchedJob()
        found: dict[str, LegFound] = {
            "meaning": await search_meaning(
                SearchMeaning(self.id, question),
                job,
                vectors=PgVectors(self.database),
                words=self.words,
                encoder=self.encoder,
            ),
            "words": await search_words(SearchWords(self.id, question), job, words=self.words),
            "links": await search_links(SearchLinks(self.id, question), job, graph=self.graph),
        }
        return {leg: [f.model_dump() for f in result.found] for leg, result in found.items()}

    async def query_graph(self, question: str) -> QueryGraph:
        return await build_graph(self.id, question, legs_from(await self.legs(question)), graph=self.graph)


async def small_case(
    database: AsyncEngine,
    redis: Redis,
    encoder: Embedder,
    *,
    case: str = "case1",
    documents: Mapping[str, Sequence[str]] = QUARRY,
    entities: Mapping[str, Sequence[str]] = ENTITIES,
    pois: Mapping[str, Sequence[str]] | None = None,
) -> SmallCase:
    """Store documents, each passage a chunk, and every literal occurrence of an entity as a mention."""
    await new_case(database, case)
    poi_ids = {name: (await Pois(database).add(case, name, a, "")).id for name, a in (pois or {}).items()}
    store, chunks, ids = EvidenceStore(database), {}, {}
    for name, passages in documents.items():
        row = await store.register(new_evidence(case, f"{case}-{name}"))
        drafts, start = [], 0
        for i, passage in enumerate(passages):
            drafts.append(ChunkDraft(i, 0, start, start + len(passage), passage, []))
            start += len(passage) + 1
        meta = MAIL if name == "mail" else {}
        await store.store_text(
            row.id, title=name, text="\n".join(passages), pages=[], meta=meta, chunks=drafts
        )
        ids[name] = row.id
        rows = await store.chunks(row.id)
        chunks |= {(name, chunk.ordinal): chunk.id for chunk in rows}
        vectors = encoder.encode([chunk.text for chunk in rows])
        await PgVectors(database).put(case, dict(zip([c.id for c in rows], vectors, strict=True)))
        await Words(database).index(case, {chunk.id: counts(chunk.text) for chunk in rows})
        mentions = [
            MentionDraft(
                kind, known.lower(), known, chunk.id, place, place + len(known), poi_ids.get(known, 0)
            )
            for chunk in rows
            for kind, names in entities.items()
            for known in names
            if (place := chunk.text.find(known)) >= 0 and (place := place + chunk.start) >= 0
        ]
        await Entities(database).replace(case, row.id, mentions, pois=await Pois(database).of_case(case))
    near = await PgVectors(database).neighbours(case, list(chunks.values()), 3, 0.5)
    await Similarities(database).put(case, near)
    graphs = QueryGraphs(redis, shards=SHARDS)
    summaries = CaseCache(redis, "summaries", shards=SHARDS, keep_s=60, most=100)
    return SmallCase(case, database, encoder, graphs, chunks, ids, summaries)


async def add_user(database: AsyncEngine, user: str) -> str:
    async with database.begin() as connection:
        values = {
            "id": user,
            "email": f"{user}@x.example",
            "name": user,
            "password_hash": "",
            "is_admin": False,
        }
        await connection.execute(insert(TABLES["users"]), values)
    return user
