"""A conversation as a file to keep: its questions, answers and what these cite, as Markdown or as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel

from machines.query_parts import Answer, Citation, SourceRead, Understood
from machines.snapshot import Snapshot


class TranscriptTurn(BaseModel):
    """One question; times are ISO 8601 in UTC. `missing` counts claims that rest on removed evidence."""

    query: str
    question: str
    understood: Understood | None
    asked_by: str
    asked_at: str
    answer: Answer | None
    missing: int
    sources: list[SourceRead]


class Transcript(BaseModel):
    """A conversation with its case."""

    format: Literal["casewire.conversation.v1"] = "casewire.conversation.v1"
    case: str
    case_title: str
    conversation: str
    name: str
    exported_at: str
    turns: list[TranscriptTurn]


def transcript(
    *,
    case: str,
    case_title: str,
    conversation: str,
    name: str,
    machines: Sequence[Snapshot],
    people: Mapping[str, str],
    at: float,
) -> Transcript:
    """The turns in the order in which they were asked; `people` are names by user id."""
    return Transcript(
        case=case,
        case_title=case_title,
        conversation=conversation,
        name=name,
        exported_at=_iso(at),
        turns=[_turn(one.id, one.context, people) for one in machines],
    )


def as_markdown(told: Transcript) -> str:
    """The transcript for people: claims with numbers, and below what each number cites."""
    lines = [
        f"# {_line(told.name)}",
        "",
        f"Case: {_line(told.case_title)}. Exported {told.exported_at}.",
    ]
    for turn in told.turns:
        lines += ["", f"## {_line(turn.question)}", "", f"Asked by {_line(turn.asked_by)}, {turn.asked_at}."]
        if turn.understood is not None:
            lines.append(f"Understood as: {_line(turn.understood.text)}")
        lines += ["", *_answered(turn)]
    return "\n".join(lines) + "\n"


def _turn(machine: str, context: Mapping[str, Any], people: Mapping[str, str]) -> TranscriptTurn:
    withheld = set(context.get("withheld", ()))
    understood = context.get("understood")
    if understood and withheld.intersection(understood["evidence"]):
        understood = None
    answer, missing = None, 0
    if context.get("answer") is not None:
        whole = Answer.model_validate(context["answer"])
        shown = [c for c in whole.claims if c.text and not _rests_on(c.citations, withheld)]
        missing = len(whole.claims) - len(shown)
        text = whole.text if not missing else "\n".join(claim.text for claim in shown)
        dropped = [] if missing else whole.dropped
        answer = whole.model_copy(update={"claims": shown, "text": text, "dropped": dropped})
    return TranscriptTurn(
        query=machine,
        question=context["question"],
        understood=understood,
        asked_by=people.get(context["asker"], "a former member"),
        asked_at=_iso(context["asked_at"]),
        answer=answer,
        missing=missing,
        sources=context.get("sources", []),
    )


def _rests_on(citations: Sequence[Citation], withheld: set[int]) -> bool:
    return any(citation.evidence in withheld for citation in citations)


def _answered(turn: TranscriptTurn) -> list[str]:
    answer = turn.answer
    if answer is None:
        return ["No answer."]
    numbers: dict[str, int] = {}
    lines = [] if answer.supported else [_line(answer.text), ""]
    for claim in answer.claims:
        marks = "".join(f"[{numbers.setdefault(_place(c), len(numbers) + 1)}]" for c in claim.citations)
        lines += [f"> {_line(claim.text)} {marks}", ""]
    if turn.missing:
        lines += [f"{turn.missing} claims rest on evidence that was removed, and are left out.", ""]
    lines += [f"{number}. {place}" for place, number in numbers.items()]
    lines += [
        f"Source not read: {_line(source.url)} ({_line(source.reason)})"
        for source in turn.sources
        if not source.ok
    ]
    return lines


def _place(citation: Citation) -> str:
    if citation.source == "article":
        where = f"{_line(citation.url)}, fetched {_iso(citation.fetched_at)}"
        return f"{_line(citation.title)}, {where} (an article, no evidence)"
    page = f", page {citation.page}" if citation.page else ""
    where = f", characters {citation.start}–{citation.end}" if citation.end else ""
    return f"{_line(citation.title)} (evidence {citation.evidence}{page}{where})"


def _line(text: str) -> str:
    """One line in which nothing is taken for markup."""
    flat = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|" else c for c in flat)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
