"""What one vote does: to the rest of its own question, and to questions that it was not cast in.

`python -m tests.bench.bench_feedback [--set NAME] [--limit N] [--others N] [--steps S …] [--related R …]`
prints a table. For each question one vote up is cast on its best-placed gold passage; then the same
question, and others drawn at random from the rest of its case, are asked under that vote: whether their
first five stay, and what their own recall@5 gains or loses. “Cast elsewhere” is the same vote, cast in a
question of other words: what a related question has of it. A vote down is cast on the best of the first
five that is not gold. Reading counts as well: the best-placed gold passage, opened and read before by the
asker, without any vote.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
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
    """What is said of a passage: votes, or attention; `here` if in the question that is measured."""

    name: str
    vote: int = 0
    attention: float = 0.0
    here: bool = False

    def target(self, one: Asked) -> int | None:
        """The best-placed passage that answers; for a vote down, of the first ones the best that does not."""
        if self.vote < 0:
            return next((node for node in one.best[:SHOWN] if node not in one.gold), None)
        return next((node for node in one.best if node in one.gold), None)

    def order(self, graph: QueryGraph, node: int, *, own: bool) -> list[int]:
        """The order of a question under it, `own` if it is the one that the passage answers."""
        votes = {node: self.vote} if self.vote else {}
        return top(graph, votes, {node: self.attention}, {node} if self.here and own else ())


WAYS = (
    Said("a vote up", vote=1, here=True),
    Said("a vote up, cast elsewhere", vote=1),
    Said("a vote down", vote=-1, here=True),
    Said("a vote down, cast elsewhere", vote=-1),
    Said("read before", attention=WEIGHTS["read"]),
)


def top(
    graph: QueryGraph, votes: Mapping[int, int], attention: Mapping[int, float], here: Collection[int]
) -> list[int]:
    return [node for node, _ in order(graph, solve(graph, votes, attention, cast_here=here), 50)]


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
    return Asked(case, built, gold, top(built, {}, {}, ()))


def measure(questions: Sequence[Asked], said: Said, others: int) -> dict[str, list[float]]:
    """Of each question with such a passage and more gold than it: own and others' recall, and what stayed.

    Others that are answered by what is voted up are left out, by what is voted down are not.
    """
    names = ("before", "after", "stayed", "others before", "others after")
    values: dict[str, list[float]] = {name: [] for name in names}
    chance = np.random.default_rng(0)
    for i, one in enumerate(questions):
        voted = said.target(one)
        if voted is None or not (rest := one.gold - {voted}):
            continue
        values["before"].append(recall(one.best, rest))
        values["after"].append(recall(said.order(one.graph, voted, own=True), rest))
        apart = [
            j
            for j, other in enumerate(questions)
            if j != i and other.case == one.case and (said.vote < 0 or voted not in other.gold)
        ]
        if not apart:
            continue
        drawn = [questions[j] for j in chance.choice(apart, min(others, len(apart)), replace=False)]
        moved = [(other, said.order(other.graph, voted, own=False)) for other in drawn]
        values["stayed"].append(np.mean([other.best[:SHOWN] == new[:SHOWN] for other, new in moved]))
        values["others before"].append(np.mean([recall(other.best, other.gold) for other in drawn]))
        values["others after"].append(np.mean([recall(new, other.gold) for other, new in moved]))
    return values


def report(questions: Sequence[Asked], others: int, steps: Sequence[float], related: Sequence[float]) -> None:
    print(f"\n{len(questions)} questions, up to {others} others each; percent, 95 % bootstrap intervals\n")
    print(
        "| said | step | related | rest's recall@5 before | after | gain "
        "| others' first five stay | their recall@5 before | after | gain |"
    )
    print("|---" * 10 + "|")
    kept = query_graph.VOTE_STEP, query_graph.RELATED
    for step, floor in itertools.product(steps or kept[:1], related or kept[1:]):
        query_graph.VOTE_STEP, query_graph.RELATED = step, floor
        for said in WAYS:
            cells = cells_of({name: np.array(v) for name, v in measure(questions, said, others).items()})
            print(f"| {said.name} | {step} | {floor} | " + " | ".join(cells) + " |", flush=True)
    query_graph.VOTE_STEP, query_graph.RELATED = kept


def cells_of(found: Mapping[str, NDArray[np.float64]]) -> list[str]:
    """Means with their intervals; gains are of the same question before and after."""
    before, after = found["before"], found["after"]
    others_before, others_after = found["others before"], found["others after"]
    columns = (before, after, after - before, found["stayed"])
    return [interval(one) for one in (*columns, others_before, others_after, others_after - others_before)]


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
    parser.add_argument("--related", type=float, nargs="*", default=[], help="values of RELATED to compare")
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
    report(questions, arguments.others, arguments.steps, arguments.related)


if __name__ == "__main__":
    asyncio.run(main())
