"""The conversations of a case: listed, searched, named, exported and deleted."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from handlers.forget_conversation import forget_conversation
from handlers.transcript import Transcript, as_markdown, transcript
from machines.event import Role, at_least
from machines.snapshot import Snapshot
from server.auth import Visitor, require_role
from server.bodies import Body, Json, nothing, query, read
from server.conversations import conversation_stores
from server.errors import Denied, Missing
from server.operations import operation
from server.pages import cursor_of, next_page, page_of, values_of
from server.parts import Parts, parts_of
from server.views import MachineView, machine_view
from storage.archive import archived
from storage.conversations import ConversationRow, Conversations, Leaving

EXCERPT = 240


class Wanted(BaseModel):
    """Conversations that hold every word of `q`; `mine` for those in which the visitor asked."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    q: Annotated[str, Field(max_length=200)] = ""
    mine: bool = False
    before: Annotated[str, Field(max_length=400)] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class Form(BaseModel):
    """As what a conversation is exported."""

    model_config = ConfigDict(extra="forbid")
    form: Literal["md", "json"] = "md"


class NewName(Body):
    """What a conversation is called from now on; empty for its first question."""

    name: str = Field(max_length=200)


class Asker(TypedDict):
    """Who began a conversation; the name is empty where they have left the case."""

    id: str
    name: str


class FoundView(TypedDict):
    """The latest turn in which a search found its words."""

    machine: str
    question: str
    excerpt: str


class ConversationView(TypedDict):
    """A conversation; times are Unix seconds, `named` tells whether a person named it."""

    id: str
    name: str
    named: bool
    asker: Asker
    started_at: float
    last_at: float
    turns: int
    mine: bool
    may_rename: bool
    may_delete: bool
    found: FoundView | None


class Thread(ConversationView):
    """A conversation with all its questions, in the order in which they were asked."""

    queries: list[MachineView]


@operation("viewer", answer=list[ConversationView], query=Wanted, paged=True)
async def list_conversations(request: Request) -> Response:
    """The conversations of a case, the last asked in first; names, questions and answers are searched."""
    case = request.path_params["case"]
    visitor, role = await require_role(request, f"case:{case}", "viewer", "case")
    parts, wanted = parts_of(request), query(request, Wanted)
    before = None if wanted.before is None else values_of(wanted.before, float, str)
    rows = await _conversations(parts).page(
        case,
        visitor.person.id,
        words=wanted.q.split(),
        only_mine=wanted.mine,
        before=before,
        limit=wanted.limit + 1,
    )
    page, more = page_of(rows, wanted.limit)
    names = await _names(parts, case)
    cursor = cursor_of(float(page[-1].last_at), page[-1].id) if more else None
    return Json(
        [_view(row, names, visitor, role, wanted.q) for row in page],
        headers=next_page(request, "before", cursor),
    )


@operation("viewer", answer=Thread)
async def get_conversation(request: Request) -> Response:
    """One conversation with all its questions, those that have left Redis included."""
    row, visitor, role = await _there(request)
    parts, case = parts_of(request), request.path_params["case"]
    view = _view(row, await _names(parts, case), visitor, role, "")
    machines = await _machines(parts, case, row.id)
    return Json({**view, "queries": [machine_view(machine, role) for machine in machines]})


@operation("viewer", answer=ConversationView, body=NewName)
async def rename_conversation(request: Request) -> Response:
    """Call it otherwise; for whoever began it, and for editors."""
    row, visitor, role = await _there(request)
    parts, case = parts_of(request), request.path_params["case"]
    if not _may_rename(row, visitor, role):
        raise Denied("only who began a conversation, or an editor of the case, can rename it")
    body = await read(request, NewName)
    await _conversations(parts).rename(case, row.id, body.name)
    return await _answer(request)


@operation("viewer", media="text/markdown, application/json", query=Form)
async def export_conversation(request: Request) -> Response:
    """The conversation as a file, with citations: Markdown to read, JSON to work with."""
    row, _, _ = await _there(request)
    parts, case = parts_of(request), request.path_params["case"]
    told = await _transcript(parts, case, row)
    form = query(request, Form).form
    headers = {
        "Content-Disposition": f'attachment; filename="conversation.{form}"',
        "Cache-Control": "no-store",
    }
    if form == "md":
        return Response(as_markdown(told), media_type="text/markdown", headers=headers)
    return Response(told.model_dump_json(indent=2), media_type="application/json", headers=headers)


@operation("viewer", status=204)
async def delete_conversation(request: Request) -> Response:
    """Delete it with all its questions and answers; for whoever began it, and for owners."""
    row, visitor, role = await _there(request)
    parts, case = parts_of(request), request.path_params["case"]
    if not _may_delete(row, visitor, role):
        raise Denied("only who began a conversation, or an owner of the case, can delete it")
    await _conversations(parts).remove(case, row.id, visitor.person.id)
    stores = conversation_stores(
        parts.engine, parts.redis, parts.database, parts.journal, parts.settings.shards
    )
    await forget_conversation(Leaving(case, row.id, visitor.person.id), stores=stores)
    return nothing()


async def _there(request: Request) -> tuple[ConversationRow, Visitor, Role]:
    case = request.path_params["case"]
    visitor, role = await require_role(request, f"case:{case}", "viewer", "case")
    row = await _conversations(parts_of(request)).get(
        case, visitor.person.id, request.path_params["conversation"]
    )
    if row is None:
        raise Missing("there is no such conversation")
    return row, visitor, role


async def _answer(request: Request) -> Response:
    row, visitor, role = await _there(request)
    names = await _names(parts_of(request), request.path_params["case"])
    return Json(_view(row, names, visitor, role, ""))


def _conversations(parts: Parts) -> Conversations:
    return Conversations(parts.database, parts.journal)


async def _names(parts: Parts, case: str) -> dict[str, str]:
    return {member.user.id: member.user.name for member in await parts.cases.members(case)}


async def _machines(parts: Parts, case: str, conversation: str) -> list[Snapshot]:
    found = []
    for machine in await _conversations(parts).machines(case, conversation):
        snapshot = await parts.engine.load(machine)
        if snapshot is None:
            async with parts.database.connect() as connection:
                snapshot = await archived(connection, machine)
        if snapshot is not None:
            found.append(snapshot)
    return found


async def _transcript(parts: Parts, case: str, row: ConversationRow) -> Transcript:
    machine = await parts.engine.load(await parts.cases.machine(case))
    return transcript(
        case=case,
        case_title="" if machine is None else machine.context["title"],
        conversation=row.id,
        name=row.name or row.question,
        machines=await _machines(parts, case, row.id),
        people=await _names(parts, case),
        at=time.time(),
    )


def _view(
    row: ConversationRow, names: dict[str, str], visitor: Visitor, role: Role, asked: str
) -> ConversationView:
    found: FoundView | None = None
    if row.found is not None:
        excerpt = _excerpt(row.found.answer, asked.split())
        found = {"machine": row.found.machine, "question": row.found.question, "excerpt": excerpt}
    return {
        "id": row.id,
        "name": row.name or row.question,
        "named": bool(row.name),
        "asker": {"id": row.asker, "name": names.get(row.asker, "")},
        "started_at": row.started_at,
        "last_at": row.last_at,
        "turns": row.turns,
        "mine": row.mine,
        "may_rename": _may_rename(row, visitor, role),
        "may_delete": _may_delete(row, visitor, role),
        "found": found,
    }


def _may_rename(row: ConversationRow, visitor: Visitor, role: Role) -> bool:
    return row.asker == visitor.person.id or at_least(role, "editor")


def _may_delete(row: ConversationRow, visitor: Visitor, role: Role) -> bool:
    return row.asker == visitor.person.id or at_least(role, "owner")


def _excerpt(answer: str, words: list[str]) -> str:
    """The part of an answer around the first word that was looked for."""
    flat = " ".join(answer.split())
    places = [place for word in words if (place := flat.lower().find(word.lower())) >= 0]
    start = max(0, min(places, default=0) - EXCERPT // 3)
    cut = flat[start : start + EXCERPT]
    return f"{'…' if start else ''}{cut}{'…' if start + EXCERPT < len(flat) else ''}"


routes = [
    Route("/api/cases/{case}/conversations", list_conversations, methods=["GET"]),
    Route("/api/cases/{case}/conversations/{conversation}", get_conversation, methods=["GET"]),
    Route("/api/cases/{case}/conversations/{conversation}", rename_conversation, methods=["PUT"]),
    Route("/api/cases/{case}/conversations/{conversation}", delete_conversation, methods=["DELETE"]),
    Route("/api/cases/{case}/conversations/{conversation}/export", export_conversation, methods=["GET"]),
]
