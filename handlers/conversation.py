"""What a new question may presuppose: the case's title and the conversation so far."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from handlers.prompt import Turn
from handlers.said import Claimed, Said
from storage.machine_store import TopicState

ReadTopic = Callable[[str], Awaitable[TopicState]]


@dataclass(frozen=True)
class Conversation:
    """The case's title and the answered turns, oldest first."""

    title: str
    said: list[Said]

    @property
    def turns(self) -> list[Turn]:
        """The turns as a prompt shows them."""
        return [Turn(said.question, said.answer) for said in self.said]


async def conversation_of(case: str, query: str, conversation: str, *, read_topic: ReadTopic) -> Conversation:
    """The answered questions that were asked before a query in its conversation."""
    machines = (await read_topic(f"case:{case}")).machines
    title = next((str(m.context["title"]) for m in machines if m.kind == "case"), "")
    this = next((m for m in machines if m.id == query), None)
    asked_at = this.context["asked_at"] if this is not None else float("inf")
    earlier = sorted(
        (
            m
            for m in machines
            if m.kind == "query"
            and m.id != query
            and m.context["conversation"] == conversation
            and m.context["asked_at"] < asked_at
            and m.context["answer"] is not None
        ),
        key=lambda m: (m.context["asked_at"], m.id),
    )
    return Conversation(title, [said_in(m.context) for m in earlier])


def meant(context: Mapping[str, Any]) -> str:
    """What a question was searched by: itself, or what it means by what was said before."""
    understood = context.get("understood")
    return str(understood["text"] if understood else context["question"])


def said_in(context: Mapping[str, Any]) -> Said:
    """A turn as what follows may lean on it: without what rests on removed or deleted evidence."""
    withheld = set(context.get("withheld", ()))
    understood = context.get("understood")
    if understood and withheld.intersection(understood["evidence"]):
        understood = None
    answer = context["answer"]
    claims = tuple(
        Claimed(
            claim["text"],
            tuple(dict.fromkeys(c["evidence"] for c in claim["citations"] if c["evidence"])),
            tuple(dict.fromkeys(c["title"] for c in claim["citations"])),
        )
        for claim in answer["claims"]
        if claim["text"] and not withheld.intersection(c["evidence"] for c in claim["citations"])
    )
    whole = len(claims) == len(answer["claims"])
    return Said(
        question=understood["text"] if understood else context["question"],
        # Where it is not supported, the claims are no more than the closest passages.
        claims=claims if answer["supported"] else (),
        evidence=tuple(understood["evidence"]) if understood else (),
        answer=answer["text"] if whole else "\n".join(claim.text for claim in claims),
    )
