"""Questions to an instance of a million passages: how good, how fast, and what its indices cost.

`python -m tests.bench.bench_scale [--chunks N] [--folder PATH] [--tune] [--statements]` prints Markdown
tables. The passages are made up, see `scale_crowd`; tables, indices, settings of the embedded PostgreSQL and
handlers are the real ones. A folder that is named is kept, and asked again without being filled. Recall
is that of the ten nearest by a scan of the whole case. The peer is the bare query of pgvector on a
connection of its own, in turns with ours.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import asyncpg
import numpy as np
import psutil
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.rank import rank_hits
from handlers.search import LIMIT, search_links, search_meaning, search_words
from machines.query import RankHits, SearchLinks, SearchMeaning, SearchWords
from server.services import Services, running_services
from server.settings import Settings
from storage import vectors_pgvector
from storage.articles import Articles
from storage.attention import AttentionNotes
from storage.database import create_engine
from storage.embedded_postgres import DATABASE, USER
from storage.graph_postgres import GraphPostgres
from storage.migrate import upgrade
from storage.query_graphs import QueryGraphs
from storage.redis_client import connect
from storage.schema import DIMENSIONS
from storage.vectors_pgvector import PgVectors, literal
from storage.votes import Votes
from storage.words import Words
from tests.bench.bench_main import percentile
from tests.bench.bench_retrieval import Alone
from tests.bench.scale_crowd import Crowd, Vectors
from tests.bench.scale_filling import fill
from tests.bench.scale_watching import Memory, show_statements, statements

MEMORY_MB = 3000
"""That building one index may take; the graph over a million vectors must fit."""
QUESTIONS = 60
WORDS_ASKED = 6

_BARE = "SELECT id FROM chunks WHERE case_id = $1 ORDER BY vector <=> $2::text::halfvec LIMIT $3"
_TUNED = text(
    """
    SELECT id FROM (
        SELECT id, vector <=> CAST(:vector AS halfvec) AS distance FROM chunks WHERE case_id = :case
        ORDER BY vector <=> CAST(:vector AS halfvec) LIMIT :further
    ) AS found ORDER BY distance, id LIMIT :limit
    """
)


class Given:
    """An embedder of questions whose vectors are known: the model's own time is none of the store's.

    What is left of a question without its common names is given the question's vector.
    """

    name, dimensions, host = "given", DIMENSIONS, ""
    device: Literal["cpu", "cuda"] = "cpu"

    def __init__(self) -> None:
        self.vectors: dict[str, NDArray[np.float32]] = {}

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([self.vectors.get(one, self.vectors[texts[0]]) for one in texts])

    def required_bytes(self, texts: int) -> int:
        return 0


def asked_of(crowd: Crowd, case: str, count: int, seed: int) -> tuple[list[int], Vectors]:
    """Passages of a case, and the vectors of questions about them."""
    mine = crowd.of_case(case)
    about = np.random.default_rng(seed).choice(mine, min(count, len(mine)), replace=False)
    return about.tolist(), crowd.asked_near(about, seed)


def header(*columns: str) -> None:
    print(f"\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|")


def told(values_ms: Sequence[float]) -> str:
    return f"{percentile(values_ms, 0.5):.1f} / {percentile(values_ms, 0.99):.1f}"


async def plan_of(database: AsyncEngine, case: str, vector: NDArray[np.float32]) -> str:
    """The nodes of the plan by which the nearest are found."""
    async with database.begin() as connection:
        bounds = vectors_pgvector.EXACT_BELOW, vectors_pgvector.EF_SEARCH
        small = await vectors_pgvector._is_small(connection, case, *bounds)
        query = vectors_pgvector._EXACT if small else vectors_pgvector._WALK
        values = {"case": case, "vector": literal(vector), "limit": LIMIT}
        lines = (await connection.execute(text(f"EXPLAIN {query.text}"), values)).scalars().all()
    used = [
        line.split("->")[-1].split("  (")[0].strip() for line in lines if "using" in line or "Scan on" in line
    ]
    return "; ".join(one for one in used if "hidden" not in one)


async def recalls(database: AsyncEngine, crowd: Crowd, bare: asyncpg.Connection, count: int) -> None:
    """The ten nearest beside those of a scan, for cases of every size."""
    header(
        "case",
        "passages",
        "recall@10 of 10",
        "of 100",
        "p50 / p99, ms",
        "a scan",
        "bare",
        "its recall@10",
        "plan",
    )
    exact, ours = PgVectors(database, exact_below=2 * crowd.chunks), PgVectors(database)
    cases = {"small": crowd.small[:20], "middle": [crowd.middle], "large": [crowd.large]}
    for kind, some in cases.items():
        ten, hundred, theirs, took, scans, bare_took = [], [], [], [], [], []
        for i, case in enumerate(some):
            _, asked = asked_of(crowd, case, count // len(some) or 1, i)
            for vector in asked:
                began = time.perf_counter()
                right = {node for node, _ in await exact.nearest(case, vector, 10)}
                scans.append(1000 * (time.perf_counter() - began))
                for limit, hits in ((10, ten), (LIMIT, hundred)):
                    began = time.perf_counter()
                    found = await ours.nearest(case, vector, limit)
                    if limit == LIMIT:
                        took.append(1000 * (time.perf_counter() - began))
                    hits.append(len(right & {node for node, _ in found[:10]}) / len(right))
                began = time.perf_counter()
                rows = await bare.fetch(_BARE, case, literal(vector), LIMIT)
                bare_took.append(1000 * (time.perf_counter() - began))
                theirs.append(len(right & {row[0] for row in rows[:10]}) / len(right))
        plan = await plan_of(database, some[0], asked[0])
        shares = [f"{np.mean(values):.4f}" for values in (ten, hundred, theirs)]
        cells = [kind, f"{crowd.cases[some[0]]:,}", *shares[:2], told(took), told(scans), told(bare_took)]
        print(f"| {' | '.join([*cells, shares[2], plan])} |", flush=True)


async def tune(database: AsyncEngine, crowd: Crowd, count: int) -> None:
    """What fetching further, and walking wider, is worth."""
    header("case", "ef_search", "most scanned", "order", "factor", "limit", "recall@10", "found", "ms")
    exact = PgVectors(database, exact_below=2 * crowd.chunks)
    for case in (crowd.large, crowd.middle):
        _, asked = asked_of(crowd, case, count, 0)
        right = [{node for node, _ in await exact.nearest(case, vector, 10)} for vector in asked]
        for ef, scanned, order, factor, limit in SETTINGS:
            took, hits, found = [], [], []
            async with database.begin() as connection:
                await connection.execute(text(f"SET LOCAL hnsw.iterative_scan = {order}"))
                await connection.execute(text(f"SET LOCAL hnsw.ef_search = {ef}"))
                await connection.execute(text(f"SET LOCAL hnsw.max_scan_tuples = {scanned}"))
                await connection.execute(text("SET LOCAL enable_sort = off"))
                for vector, wanted in zip(asked, right, strict=True):
                    values = {
                        "case": case,
                        "vector": literal(vector),
                        "limit": limit,
                        "further": limit * factor,
                    }
                    began = time.perf_counter()
                    rows = (await connection.execute(_TUNED, values)).scalars().all()
                    took.append(1000 * (time.perf_counter() - began))
                    hits.append(len(wanted & set(rows[:10])) / len(wanted))
                    found.append(len(rows))
            print(
                f"| {crowd.cases[case]:,} | {ef} | {scanned:,} | {order} | {factor} | {limit} |"
                f" {np.mean(hits):.4f} | {np.mean(found):.0f} | {told(took)} |",
                flush=True,
            )


SETTINGS = [
    *((200, 200_000, "relaxed_order", factor, limit) for limit in (10, 100) for factor in (1, 2, 4)),
    *((ef, 200_000, "relaxed_order", 2, 10) for ef in (100, 400, 800)),
    (200, 20_000, "relaxed_order", 2, 100),
    (200, 50_000, "relaxed_order", 2, 100),
    (200, 200_000, "strict_order", 1, 10),
    (200, 200_000, "strict_order", 1, 100),
]


async def questions(
    database: AsyncEngine,
    crowd: Crowd,
    bare: asyncpg.Connection,
    services: Services,
    count: int,
    *,
    show: bool,
) -> None:
    """A question from its three legs to the ranked answer, nobody else asking."""
    redis = await connect(services.redis_url)
    graph, job, given = GraphPostgres(database), Alone(), Given()
    votes, articles, attention = Votes(database), Articles(database), AttentionNotes(database)
    graphs, vectors, words = QueryGraphs(redis, shards=16), PgVectors(database), Words(database)

    async def load(_machine: str) -> None:
        return None

    header("case", "meaning", "words", "links", "ranking", "whole question", "bare", "ratio of p50", "graph")
    for kind, some in (("small", crowd.small[:20]), ("middle", [crowd.middle]), ("large", [crowd.large])):
        took: dict[str, list[float]] = defaultdict(list)
        sent: dict[str, list[float]] = defaultdict(list)
        sizes = []

        async def timed(name: str, work: Any, took: dict[str, list[float]] = took) -> Any:
            began = time.perf_counter()
            done = await work
            took[name].append(1000 * (time.perf_counter() - began))
            return done

        for i, case in enumerate(some):
            about, asked = asked_of(crowd, case, count // len(some) or 1, 100 + i)
            for place, (passage, vector) in enumerate(zip(about, asked, strict=True)):
                question = question_about(crowd, passage, named=place % 2 == 0)
                given.vectors[question] = vector

                async def whole(case: str = case, question: str = question) -> Any:
                    legs = await asyncio.gather(
                        timed(
                            "meaning",
                            search_meaning(
                                SearchMeaning(case, question),
                                job,
                                vectors=vectors,
                                words=words,
                                encoder=given,
                            ),
                        ),
                        timed("words", search_words(SearchWords(case, question), job, words=words)),
                        timed("links", search_links(SearchLinks(case, question), job, graph=graph)),
                    )
                    found = {
                        leg.stage.removeprefix("by_"): [
                            {"node": one.node, "score": one.score} for one in leg.found
                        ]
                        for leg in legs
                    }
                    return await timed(
                        "ranking",
                        rank_hits(
                            RankHits(case, "query-0-bench", question, found), job, graph=graph, votes=votes,
                            graphs=graphs, articles=articles, attention=attention, load=load,
                        ),
                    )  # fmt: skip

                with statements(database, sent):
                    ranked = await timed("whole", whole())
                sizes.append((ranked.nodes, ranked.edges))
                await timed("bare", bare.fetch(_BARE, case, literal(vector), LIMIT))
        cells = [told(took[name]) for name in ("meaning", "words", "links", "ranking", "whole", "bare")]
        ratio = percentile(took["whole"], 0.5) / percentile(took["bare"], 0.5)
        nodes, edges = np.mean(sizes, axis=0)
        cells = [f"{kind}, {crowd.cases[some[0]]:,}", *cells, f"{ratio:.1f}", f"{nodes:.0f}, {edges:.0f}"]
        print(f"| {' | '.join(cells)} |", flush=True)
        if show:
            show_statements(sent, len(sizes))
    await redis.aclose()


def question_about(crowd: Crowd, passage: int, *, named: bool) -> str:
    """Some words of a passage, and of every other one something that it names."""
    words = crowd.text(passage).split()
    asked = " ".join(np.random.default_rng(passage).choice(words, WORDS_ASKED, replace=False).tolist())
    if not named:
        return f"What about {asked}?"
    first = passage // 2000 * 2000
    block = np.arange(first, min(first + 2000, crowd.chunks))
    return f"What has {crowd.entities[crowd.mentioned(block)[passage - first][0]][3]} to do with {asked}?"


async def run(options: argparse.Namespace, folder: Path) -> None:
    settings = Settings(data=folder, redis_url=None, queue_url=None, database_url=None)
    crowd = Crowd(options.chunks)
    async with running_services(settings) as services:
        await upgrade(services.database_url)
        server = services.embedded_postgres
        assert server is not None
        assert server.pid is not None
        bare = await asyncpg.connect(host=str(server.sockets), user=USER, database=DATABASE)
        for setting in (
            "hnsw.iterative_scan = relaxed_order",
            f"hnsw.ef_search = {vectors_pgvector.EF_SEARCH}",
        ):
            await bare.execute(f"SET {setting}")
        memory = Memory(server.pid)
        memory.start()
        there = await bare.fetchval("SELECT count(*) FROM cases")
        if not there:
            print("| what | s | MB |\n|---|---|---|")
            await fill(
                bare,
                crowd,
                memory_mb=options.memory,
                tell=lambda one: print(
                    f"| {one.name} | {one.seconds:.0f} | {one.size_bytes / 1e6:,.0f} |", flush=True
                ),
            )
            total = await bare.fetchval("SELECT pg_database_size(current_database())")
            print(f"| all | | {total / 1e6:,.0f} |", flush=True)
        elif there != len(crowd.cases):
            raise SystemExit(f"{folder} holds another crowd: name another folder, or as many chunks as then.")
        filling = memory.most_bytes
        database = create_engine(services.database_url)
        await recalls(database, crowd, bare, options.questions)
        if options.tune:
            await tune(database, crowd, options.questions)
        await questions(database, crowd, bare, services, options.questions, show=options.statements)
        asking = memory.now()
        memory.stop()
        ours = psutil.Process().memory_info().rss
        took = [f"{value / 1e6:,.0f} MB" for value in (filling, asking, ours)]
        print(f"\nPostgreSQL: {took[0]} at most while it was filled, {took[1]} at the end; we: {took[2]}.")
        await database.dispose()
        await bare.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=50_000, help="passages of all cases, at least 50,000")
    parser.add_argument("--folder", type=Path, help="data folder that is kept; unset: one that is removed")
    parser.add_argument("--memory", type=int, default=MEMORY_MB, help="MB that building one index may take")
    parser.add_argument("--questions", type=int, default=QUESTIONS, help="questions of each kind")
    parser.add_argument("--tune", action="store_true", help="compare ways to walk")
    parser.add_argument("--statements", action="store_true", help="show which statements took longest")
    options = parser.parse_args()
    if options.folder is not None:
        asyncio.run(run(options, options.folder))
        return
    with tempfile.TemporaryDirectory(prefix="casewire-bench-", dir="/tmp") as folder:
        asyncio.run(run(options, Path(folder)))


if __name__ == "__main__":
    main()
