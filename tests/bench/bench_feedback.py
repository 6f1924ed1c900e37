"""What one vote does: to the rest of its own question, and to questions that it was not cast in.

`python -m tests.bench.bench_feedback [--set NAME] [--limit N] [--others N] [--steps S …]` prints a table.
For each question one vote up is cast on its best-placed gold passage; then the same question, and others
drawn at random from the rest of its case, are asked anew under that vote. Reading counts as well: the same
passage, opened and read before by the asker, without any vote.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers import query_graph
from handlers.attention import WEIGHTS
from handlers.query_graph import QueryGraph, order, solve
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
from tests.bench.bench_retrieval import Alone, interval
from tests.bench.retrieval_sets import SETS, CachedEncoder, Question, RetrievalSet, folder, load

SHOWN = 5


@dataclass(frozen=True)
class Asked:
    """A question's case and graph, the chunks that answer it, and its order without votes."""

    case: str
    graph: QueryGraph
    gold: frozenset[int]
    best: list[int]


@dataclass(frozen=True)
class Said:
    """What is said of a passage: votes, or attention."""

    name: str
    vote: int = 0
    attention: float = 0.0

    def order(self, graph: QueryGraph, node: int) -> list[int]:
        votes = {node: self.vote} if self.vote else {}
        return top(graph, votes, {node: self.attention})


WAYS = (Said("a vote up", vote=1), Said("read before", attention=WEIGHTS["read"]))


def top(graph: QueryGraph, votes: Mapping[int, int], attention: Mapping[int, float]) -> list[int]:
    return [node for node, _ in order(graph, solve(graph, votes, attention), 50)]


def recall(ranking: Sequence[int], gold: frozenset[int]) -> float:
    return len(gold & set(ranking[:SHOWN])) / len(gold)


async def asked(
    database: AsyncEngine, question: Question, gold: frozenset[int], encoder: CachedEncoder
) -> Asked:
    graph, job, case = GraphPostgres(database), Alone(), question.case
    found = {
        "meaning": await search_meaning(
            SearchMeaning(case, question.text),
            job,
            vectors=PgVectors(database),
            words=Words(database),
            encoder=encoder,
        ),
        "words": await search_words(SearchWords(case, question.text), job, words=Words(database)),
        "links": await search_links(SearchLinks(case, question.text), job, graph=graph),
    }
    legs = {leg: [(one.node, one.score) for one in result.found] for leg, result in found.items()}
    built = await build_graph(case, question.text, legs, graph=graph)
    return Asked(case, built, gold, top(built, {}, {}))


def measure(questions: Sequence[Asked], said: Said, others: int) -> dict[str, list[float]]:
    """Of each question where gold was found and more remains: own and others' recall, and what stayed."""
    values: dict[str, list[float]] = {name: [] for name in ("before", "after", "stayed", "lost")}
    chance = np.random.default_rng(0)
    for i, one in enumerate(questions):
        voted = next((node for node in one.best if node in one.gold), None)
        if voted is None or len(one.gold) < 2:
            continue
        rest = one.gold - {voted}
        values["before"].append(recall(one.best, rest))
        values["after"].append(recall(said.order(one.graph, voted), rest))
        apart = [
            j
            for j, other in enumerate(questions)
            if j != i and other.case == one.case and voted not in other.gold
        ]
        if not apart:
            continue
        drawn = [questions[j] for j in chance.choice(apart, min(others, len(apart)), replace=False)]
        moved = [(other, said.order(other.graph, voted)) for other in drawn]
        values["stayed"].append(np.mean([other.best[:SHOWN] == new[:SHOWN] for other, new in moved]))
        values["lost"].append(
            np.mean([recall(new, other.gold) - recall(other.best, other.gold) for other, new in moved])
        )
    return values


def report(questions: Sequence[Asked], others: int, steps: Sequence[float]) -> None:
    print(f"\n{len(questions)} questions, {others} others for each; in percent, 95 % bootstrap intervals\n")
    print(
        "| said | step | rest's recall@5 before | after | gain | others' first five stay | their recall@5 |"
    )
    print("|---" * 7 + "|")
    kept = query_graph.VOTE_STEP
    for step in steps or (kept,):
        query_graph.VOTE_STEP = step
        for said in WAYS:
            found = {name: np.array(v) for name, v in measure(questions, said, others).items()}
            cells = [interval(found["before"]), interval(found["after"])]
            cells += [interval(found["after"] - found["before"]), interval(found["stayed"])]
            print(
                f"| {said.name} | {step} | " + " | ".join([*cells, interval(found["lost"])]) + " |",
                flush=True,
            )
    query_graph.VOTE_STEP = kept


async def run(chosen: RetrievalSet, database: AsyncEngine, limit: int | None) -> list[Asked]:
    encoder = CachedEncoder()
    questions = chosen.questions[:limit]
    wanted = {question.case for question in questions}
    ids = {
        case: await load(database, case, s, encoder, by_rules=chosen.by_rules)
        for case, s in chosen.cases.items()
        if case in wanted
    }
    found = []
    for question in questions:
        gold = frozenset(ids[question.case][place] for place in question.gold)
        found.append(await asked(database, question, gold, encoder))
    return found


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, help="ask only the first so many questions")
    parser.add_argument("--others", type=int, default=50, help="other questions asked under each vote")
    parser.add_argument("--set", choices=sorted(SETS), default="rules")
    parser.add_argument("--steps", type=float, nargs="*", default=[], help="values of VOTE_STEP to compare")
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
            questions = await run(SETS[arguments.set](root), database, arguments.limit)
            await database.dispose()
    report(questions, arguments.others, arguments.steps)


if __name__ == "__main__":
    asyncio.run(main())
