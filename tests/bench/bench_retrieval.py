"""How well retrieval finds what is asked for, each leg alone, fused, and with the graph.

`python -m tests.bench.bench_retrieval [--limit N] [--set NAME …]` prints one Markdown table a set,
in percent with 95 % bootstrap intervals over questions, then paired differences. Every number
comes through the tables and handlers that answer a query.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.query_graph import fuse, order, solve
from handlers.rank import build_graph
from handlers.search import search_links, search_meaning, search_words
from machines.query import SearchLinks, SearchMeaning, SearchWords
from server.services import running_services
from server.settings import Settings
from storage.database import create_engine
from storage.graph_postgres import GraphPostgres
from storage.migrate import upgrade
from storage.vectors_pgvector import PgVectors
from storage.words import Words
from tests.bench.retrieval_peers import Bm25s, HippoRag
from tests.bench.retrieval_sets import SETS, CachedEncoder, Question, RetrievalSet, Source, folder, load

RESAMPLES = 2000
MEASURES = ("recall@2", "recall@5", "recall@10", "all@5", "MRR")
Rankings = dict[str, list[int]]
Peer = Bm25s | HippoRag


class Alone:
    """A job that nobody watches and nobody cancels."""

    id = machine = topic = "bench"
    attempt = 1

    async def progress(self, done: int, total: int, unit: str) -> None:
        return

    async def token(self, text: str, position: int) -> None:
        return

    async def check(self) -> None:
        return


async def ask(database: AsyncEngine, question: Question, encoder: CachedEncoder) -> Rankings:
    """What each way of searching puts first."""
    graph, job, case = GraphPostgres(database), Alone(), question.case
    vectors, words = PgVectors(database), Words(database)
    by_leg = {
        "meaning": await search_meaning(
            SearchMeaning(case, question.text), job, vectors=vectors, words=words, encoder=encoder
        ),
        "words": await search_words(SearchWords(case, question.text), job, words=words),
        "links": await search_links(SearchLinks(case, question.text), job, graph=graph),
    }
    legs = {leg: [(found.node, found.score) for found in result.found] for leg, result in by_leg.items()}
    built = await build_graph(case, question.text, legs, graph=graph)
    fused = fuse(legs)
    return {
        "BM25": [node for node, _ in legs["words"]],
        "dense": [node for node, _ in legs["meaning"]],
        "links": [node for node, _ in legs["links"]],
        "RRF (BM25, dense)": rrf([legs["words"], legs["meaning"]]),
        "RRF (all legs)": rrf(list(legs.values())),
        "fused legs": sorted(fused, key=lambda node: (-fused[node], node)),
        "whole": [node for node, _ in order(built, solve(built, {}), 50)],
    }


def rrf(rankings: Sequence[Sequence[tuple[int, float]]], k: int = 60) -> list[int]:
    """Reciprocal rank fusion (Cormack, Clarke & Büttcher, SIGIR 2009)."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for place, (node, _) in enumerate(ranking, 1):
            scores[node] = scores.get(node, 0.0) + 1 / (k + place)
    return sorted(scores, key=lambda node: (-scores[node], node))


def measure(ranking: Sequence[int], gold: set[int]) -> list[float]:
    """One question's value of each of `MEASURES`."""
    recall = [len(gold & set(ranking[:k])) / len(gold) for k in (2, 5, 10)]
    first = next((place for place, node in enumerate(ranking, 1) if node in gold), None)
    return [*recall, float(gold <= set(ranking[:5])), 1 / first if first else 0.0]


def interval(values: NDArray[np.float64]) -> str:
    """Mean and the 95 % bootstrap interval, in percent."""
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    return f"{100 * values.mean():.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def report(chosen: RetrievalSet, values: Mapping[str, NDArray[np.float64]]) -> None:
    """Print the tables; each array is (questions, measures)."""
    count = len(next(iter(values.values())))
    print(f"\n### {chosen.name}: {count} questions\n")
    print("| ranking | " + " | ".join(MEASURES) + " |\n|---" + "|---" * len(MEASURES) + "|")
    for name, array in values.items():
        print(f"| {name} | " + " | ".join(interval(array[:, i]) for i in range(len(MEASURES))) + " |")
    print("\nThe whole less the other, paired:\n")
    print("| other | " + " | ".join(MEASURES) + " |\n|---" + "|---" * len(MEASURES) + "|")
    for name, array in values.items():
        if name != "whole":
            gain = values["whole"] - array
            print(f"| {name} | " + " | ".join(interval(gain[:, i]) for i in range(len(MEASURES))) + " |")


def peers_of(sources: Sequence[Source], encoder: CachedEncoder) -> list[tuple[str, Peer]]:
    """The others that rank these passages; positions count through all sources in order."""
    passages = [passage for source in sources for passage in source.passages]
    found: list[tuple[str, Peer]] = [("bm25s", Bm25s(passages))]
    if facts := [of_passage for source in sources for of_passage in source.facts]:
        found.append(("HippoRAG 2, its formula", HippoRag(passages, facts, encoder)))
    return found


async def run(chosen: RetrievalSet, database: AsyncEngine, limit: int | None) -> None:
    encoder = CachedEncoder()
    questions = chosen.questions[:limit]
    wanted = {question.case for question in questions}
    ids = {
        case: await load(database, f"{chosen.name}/{case}", s, encoder, by_rules=chosen.by_rules)
        for case, s in chosen.cases.items()
        if case in wanted
    }
    peers = {case: peers_of(chosen.cases[case], encoder) for case in wanted}
    measured: dict[str, list[list[float]]] = {}
    for question in questions:
        gold = {ids[question.case][place] for place in question.gold}
        asked = replace(question, case=f"{chosen.name}/{question.case}")
        nodes = list(ids[question.case].values())
        theirs = {name: [nodes[i] for i in peer.rank(question.text)] for name, peer in peers[question.case]}
        for name, ranking in (theirs | await ask(database, asked, encoder)).items():
            measured.setdefault(name, []).append(measure(ranking, gold))
    report(chosen, {name: np.array(values) for name, values in measured.items()})


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, help="ask only the first so many questions")
    parser.add_argument("--set", nargs="+", choices=sorted(SETS), default=["musique", "rules"])
    arguments = parser.parse_args()
    root = folder()
    if root is None:
        print("no retrieval sets: set CASEWIRE_RETRIEVAL to their folder")
        return
    with tempfile.TemporaryDirectory(prefix="casewire-bench-", dir="/tmp") as data:
        settings = Settings(data=Path(data), redis_url=None, queue_url=None, database_url=None)
        async with running_services(settings) as services:
            await upgrade(services.database_url)
            database = create_engine(services.database_url)
            for name in arguments.set:
                await run(SETS[name](root), database, arguments.limit)
            await database.dispose()


if __name__ == "__main__":
    asyncio.run(main())
