"""Questions whose hits, paths or answer tell something of a piece of evidence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Protocol

from machines.query import Answer, Hit
from machines.query_parts import answer_without, hits_without
from machines.snapshot import Snapshot

Names = Callable[[str, str], Awaitable[list[str]]]
"""Ids of the machines of a kind on a topic."""

UNDER_WAY = frozenset({"resolving", "retrieving", "ranking", "answering"})
"""States of a question whose results are still to come."""


class Send(Protocol):
    """Sends a handler's event to a machine; a repeat with the same `event_id` does nothing."""

    async def __call__(self, machine: str, event: str, data: dict[str, Any], *, event_id: str) -> object:
        """The outcome, or the first one's; None where the machine takes no such event any more."""


def quoted(context: Mapping[str, Any]) -> set[int]:
    """The evidence that a question's hits, its answer or what it was understood as rest on."""
    claims = (context.get("answer") or {}).get("claims", [])
    cited = {citation["evidence"] for claim in claims for citation in claim["citations"]}
    cited.update((context.get("understood") or {}).get("evidence", ()))
    return (cited | {hit["evidence"] for hit in context["hits"].values()}) - {0}


def quoting(context: Mapping[str, Any], evidence: int) -> bool:
    """Whether a question's hits or answer rest on the evidence."""
    return evidence in quoted(context)


def told_of(context: Mapping[str, Any]) -> set[int]:
    """The evidence with a place in which a search for a person has found her."""
    return {*(place["evidence"] for place in context["places"]), *context["withheld"]}


def telling(context: Mapping[str, Any], evidence: int) -> bool:
    """Whether a search for a person tells of a place in the evidence."""
    return evidence in told_of(context)


def led_through(context: Mapping[str, Any], labels: Collection[str]) -> list[int]:
    """The nodes of hits whose path names one of `labels`, or a page of it."""
    return sorted(
        int(node)
        for node, hit in context["hits"].items()
        if any(_is_named(label, labels) for step in hit["path"] for label in (step["source"], step["target"]))
    )


def redacted(snapshot: Snapshot, evidence: int, retold: Collection[int]) -> Snapshot:
    """A question that has ended, as it is kept from now on: without anything of the evidence."""
    context = dict(snapshot.context)
    hits = {node: Hit.model_validate(hit) for node, hit in context["hits"].items()}
    kept = hits_without(hits, {evidence}, {str(node) for node in retold})
    context["hits"] = {node: hit.model_dump(mode="json") for node, hit in kept.items()}
    if context.get("answer") is not None:
        answer = answer_without(Answer.model_validate(context["answer"]), {evidence})
        context["answer"] = answer.model_dump(mode="json")
    if evidence in (context.get("understood") or {}).get("evidence", ()):
        context["understood"] = None
    return replace(snapshot, context=context)


def _is_named(label: str, labels: Collection[str]) -> bool:
    return label in labels or label.rpartition(", page ")[0] in labels
