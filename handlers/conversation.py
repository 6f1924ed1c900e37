"""What a new question may presuppose: the case's title and the conversation so far."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from handlers.prompt import Turn
from machines.query import ComposeAnswer
from storage.machine_store import TopicState

TURNS = 400
"""Earlier turns that are looked at, the latest; the prompt chooses by a rule that needs them all."""

ReadTopic = Callable[[str], Awaitable[TopicState]]


@dataclass(frozen=True)
class Conversation:
    """The case's title and the earlier turns, oldest first."""

    title: str
    turns: list[Turn]


async def conversation_of(effect: ComposeAnswer, *, read_topic: ReadTopic) -> Conversation:
    """The answered questions that were asked before this one in its conversation."""
    machines = (await read_topic(f"case:{effect.case}")).machines
    title = next((str(m.context["title"]) for m in machines if m.kind == "case"), "")
    this = next((m for m in machines if m.id == effect.query), None)
    asked_at = this.context["asked_at"] if this is not None else float("inf")
    earlier = sorted(
        (
            m
            for m in machines
            if m.kind == "query"
            and m.id != effect.query
            and m.context["conversation"] == effect.conversation
            and m.context["asked_at"] < asked_at
            and m.context["answer"] is not None
        ),
        key=lambda m: (m.context["asked_at"], m.id),
    )
    turns = [Turn(m.context["question"], m.context["answer"]["text"]) for m in earlier[-TURNS:]]
    return Conversation(title, turns)
