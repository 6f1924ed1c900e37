"""A vote is stored, and every open order of its case is solved anew and pushed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol

from handlers.attention import attention_of
from handlers.conversation import meant
from handlers.job import Job
from handlers.query_graph import QueryGraph, from_bytes, order, solve, solved, to_bytes
from handlers.rank import ORDERED, SHOWN, Load, as_context, build_graph, hits_for, legs_from, ordered
from machines.case import Changed
from machines.query import RecordVote, Reranked
from machines.snapshot import Snapshot
from storage.attention import AttentionNotes
from storage.graph import Graph
from storage.query_graphs import QueryGraphs
from storage.votes import NotInCase, Tally, Votes

logger = logging.getLogger(__name__)

TAKES_VOTES = frozenset({"ranking", "answering", "answered"})


class Send(Protocol):
    """Sends a handler's event to a machine; a repeat with the same `event_id` does nothing."""

    async def __call__(self, machine: str, event: str, data: dict[str, Any], *, event_id: str) -> object:
        """The outcome, or the first one's; None where the machine takes no such event any more."""


class CaseMachine(Protocol):
    """Finds the machine of a case."""

    async def __call__(self, case: str) -> str | None:
        """Its id; None where there is no such case."""


async def record_vote(
    effect: RecordVote,
    job: Job,
    *,
    votes: Votes,
    graph: Graph,
    graphs: QueryGraphs,
    attention: AttentionNotes,
    load: Load,
    send: Send,
    case_machine: CaseMachine,
) -> None:
    """Store the vote, then order anew the query it was cast in, then the case's other newest ones.

    A vote on something that the case does not have (any more) is noted in the log and dropped.
    """
    try:
        tally = await votes.record(
            effect.case,
            effect.user,
            effect.node,
            effect.value,
            query=effect.query,
            effect=job.id,
            at=effect.at,
        )
    except NotInCase:
        logger.warning(
            "A vote on a node that its case does not have was dropped.",
            extra={"action": "vote.drop", "case": effect.case, "node": effect.node},
        )
        return
    others = [query for query in await graphs.newest(effect.case) if query != effect.query]
    await recount(
        effect.case,
        [effect.query, *others],
        tally,
        job.id,
        graph=graph,
        graphs=graphs,
        attention=attention,
        load=load,
        send=send,
        case_machine=case_machine,
    )


async def recount(
    case: str,
    queries: Sequence[str],
    tally: Tally,
    cause: str,
    *,
    graph: Graph,
    graphs: QueryGraphs,
    attention: AttentionNotes,
    load: Load,
    send: Send,
    case_machine: CaseMachine,
) -> None:
    """Order queries anew under the votes, and tell the case; `cause` names what moved them, once for all."""
    for query in queries:
        reranked = await rerank(
            case, query, tally, graph=graph, graphs=graphs, attention=attention, load=load
        )
        if reranked is not None:
            data = reranked.model_dump(mode="json")
            await send(query, Reranked.name, data, event_id=f"{cause}:{query}")
    if (machine := await case_machine(case)) is not None:
        data = Changed(part="standing").model_dump(mode="json")
        await send(machine, Changed.name, data, event_id=f"{cause}:standing")


async def rerank(
    case: str,
    query: str,
    tally: Tally,
    *,
    graph: Graph,
    graphs: QueryGraphs,
    attention: AttentionNotes,
    load: Load,
) -> Reranked | None:
    """The order of a query under the votes, with the hits that come into view; None where it takes none.

    The asker's attention counts as it did when they asked: a vote moves nothing but by itself.
    """
    snapshot = await load(query)
    if snapshot is None or not TAKES_VOTES.intersection(snapshot.configuration):
        return None
    context = snapshot.context
    legs = legs_from(context["legs"])
    built = await _graph_of(case, query, snapshot, graph=graph, graphs=graphs)
    if built is None:
        return None
    paid = await attention_of(context, attention=attention)
    solution = solve(built, tally.sums, paid, cast_here=tally.cast_in(query, meant(context)))
    best = order(built, solution, ORDERED)
    await graphs.replace(query, to_bytes(solved(built, solution)))
    new = [node for node, _ in best[:SHOWN] if str(node) not in context["hits"]]
    return Reranked(
        order=ordered(best),
        hits=await hits_for(case, meant(context), legs, built, new, graph=graph),
        as_of=tally.as_of,
        votes=as_context(tally.sums),
    )


async def _graph_of(
    case: str, query: str, snapshot: Snapshot, *, graph: Graph, graphs: QueryGraphs
) -> QueryGraph | None:
    """The query's graph, built anew where the cache has lost it; None while it is first being built."""
    kept = await graphs.get(query)
    if kept is not None:
        return from_bytes(kept)
    if "ranking" in snapshot.configuration:
        # The ranking under way reads the votes after it has kept its graph, so it takes this one in.
        return None
    context = snapshot.context
    built = await build_graph(case, meant(context), legs_from(context["legs"]), graph=graph)
    await graphs.put(case, query, to_bytes(built), asked_at=context["asked_at"])
    return built
