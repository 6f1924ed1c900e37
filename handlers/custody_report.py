"""What has happened to a piece of evidence, as a report that can be checked: the words and the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from typing_extensions import TypedDict

from storage.custody_check import Verdict
from storage.custody_heads import Head
from storage.custody_rows import CustodyRow

State = Literal["present", "removed", "deleted"]


class Person(TypedDict):
    """Who did something; the name is empty where there is no such account."""

    id: str
    name: str


class Related(TypedDict):
    """Other evidence; the name is empty where it is gone."""

    evidence: int
    filename: str


class ReportedFile(TypedDict):
    """The file: `sha256` and `bytes` of its content. What is not known is empty or 0."""

    filename: str
    title: str
    sha256: str
    bytes: int
    media_type: str
    uploaded_by: Person
    uploaded_at: str
    parent: Related | None
    children: list[Related]


class Deletion(TypedDict):
    """That the evidence was deleted."""

    who: Person
    why: str
    at: str


class CustodyEvent(TypedDict):
    """One row of a chain. `after` is the SHA-256 of the 32 bytes `before`, followed by `content` in UTF-8."""

    topic: str
    row: int
    at: str
    who: Person
    what: str
    detail: str
    before: str
    after: str
    content: str


class SignedHead(TypedDict):
    """An Ed25519 signature over `message`, which names row and hash."""

    row: int
    hash: str
    at: str
    signature: str
    message: str
    public_key: str


class ReportedChain(TypedDict):
    """A chain as it was checked for this report."""

    topic: str
    rows: int
    signed_to: int
    whole: bool
    problems: list[str]
    quotations_deleted: int
    head: SignedHead | None


class CustodyReport(TypedDict):
    """Who did what to a piece of evidence, when, and how that is proved. Times are UTC."""

    evidence: int
    case: str
    upload: str
    state: State
    made_at: str
    made_by: Person
    file: ReportedFile
    deletion: Deletion | None
    events: list[CustodyEvent]
    chains: list[ReportedChain]
    public_key: str


_ACCESS = {
    "read": "read the text",
    "download": "opened or downloaded the file",
    "report": "made a custody report",
}
_ENTRIES = {
    "spawn": "announced",
    "received": "received",
    "gathered": "received in parts",
    "assembled": "put together",
    "verified": "accepted as evidence",
    "recognised": "found to be in the case already",
    "extracted": "text read from it",
    "remove": "removed",
    "restore": "restored",
    "erase": "deletion ordered",
    "grace_over": "time to restore it ended",
    "swept": "deleted with what it belongs to",
    "forgotten": "deleted",
    "cancel": "cancelled",
    "retry": "tried again",
    "unlock": "a password was given",
    "needs_password": "found to ask for a password",
    "started": "work began",
    "broke": "work failed",
}
_FACTS = ("sha256", "bytes", "media_type", "why", "reason")


def moment(at: datetime | float) -> str:
    """A time in UTC to the millisecond.

    >>> moment(0.25)
    '1970-01-01 00:00:00.250'
    """
    when = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def event_of(row: CustodyRow, names: Mapping[str, str]) -> CustodyEvent:
    """A row in words."""
    who = str(row.data.get("actor", row.data.get("who", "")))
    what, detail = _words(row)
    return {
        "topic": row.topic,
        "row": row.seq,
        "at": moment(row.at),
        "who": person(who, names),
        "what": what,
        "detail": detail,
        "before": row.previous,
        "after": row.hash,
        "content": row.content.decode(),
    }


def person(who: str, names: Mapping[str, str]) -> Person:
    """Somebody with their name; the server itself is called Casewire."""
    return {"id": who, "name": names.get(who, "Casewire" if who == "system" else "")}


def chain_of(verdict: Verdict, heads: Sequence[Head], public_key: str) -> ReportedChain:
    """A checked chain with the newest head that vouches for it."""
    signed = [head for head in heads if head.valid and head.seq == verdict.signed_to]
    return {
        "topic": verdict.topic,
        "rows": verdict.rows,
        "signed_to": verdict.signed_to,
        "whole": verdict.ok,
        "problems": [f"row {problem.seq}: {problem.what}" for problem in verdict.problems],
        "quotations_deleted": verdict.forgotten,
        "head": _head(signed[-1], public_key) if signed else None,
    }


def _head(head: Head, public_key: str) -> SignedHead:
    return {
        "row": head.seq,
        "hash": head.hash,
        "at": moment(head.at),
        "signature": head.signature,
        "message": head.message.decode(),
        "public_key": head.key or public_key,
    }


def _words(row: CustodyRow) -> tuple[str, str]:
    data = row.data
    if row.what == "access":
        return _ACCESS.get(data["what"], str(data["what"])), ""
    if row.what == "deletion":
        told = "its bytes, text, vectors and mentions are gone; this record stays"
        return "deleted", f"reason: {data['why']}; {told}" if data.get("why") else told
    event, context = str(data["event"]), data.get("context", {})
    left = [state for state in data["from"] if state not in data["to"]]
    entered = [state for state in data["to"] if state not in data["from"]]
    moved = f"{', '.join(left) or '–'} → {', '.join(entered)}" if entered else ""
    facts = [f"{name}: {context[name]}" for name in _FACTS if context.get(name)]
    return _ENTRIES.get(event, event.replace("_", " ")), "; ".join([*([moved] if moved else []), *facts])
