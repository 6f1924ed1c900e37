"""Cases and their members."""

from __future__ import annotations

from datetime import datetime
from secrets import token_hex

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from handlers.sources import sources_of
from machines.case import Part
from machines.event import Role
from machines.snapshot import Snapshot
from server.auth import Visitor, require_role, require_self, require_visitor
from server.bodies import Body, Json, nothing, read, repeatable
from server.errors import Missing
from server.operations import operation
from server.parts import Parts, parts_of
from server.routes_auth import Email
from storage.cases import CaseRow
from storage.machine_store import new_machine_id
from storage.people import Person
from storage.pois import PoiRow


class NewCase(Body):
    """A case to be opened."""

    title: str = Field(min_length=1, max_length=300)
    description: str = Field(default="", max_length=5000)


class NewMember(Body):
    """A person, by address, and the role they shall have."""

    email: Email
    role: Role


class CaseView(TypedDict):
    """A case and the visitor's role in it; `evidence` counts."""

    id: str
    title: str
    description: str
    role: Role
    state: str
    evidence: int
    created_at: datetime
    machine: str


class UserView(TypedDict):
    """A person as other members see them."""

    id: str
    name: str
    email: str


class MemberView(TypedDict):
    """A person and their role in the case."""

    user: UserView
    role: Role


class Counts(TypedDict):
    """How much a case holds; rejected entities do not count."""

    evidence: int
    chunks: int
    entities: int


class CaseWhole(CaseView):
    """A case with all that its page shows beside its machines; `outside` are sources for its questions."""

    members: list[MemberView]
    pois: list[PoiRow]
    counts: Counts
    outside: list[str]


@operation("login", answer=list[CaseView])
async def list_cases(request: Request) -> Response:
    """The visitor's cases, newest first."""
    visitor = await require_visitor(request)
    parts = parts_of(request)
    rows = await parts.cases.of_user(visitor.person.id)
    within = [row for row in rows if visitor.limits.reach(f"case:{row.id}")]
    return Json([await describe(parts, row, visitor) for row in within])


@operation("self", answer=CaseView, status=201, body=NewCase, repeatable=True)
async def create_case(request: Request) -> Response:
    """Store the case and its owner, then bring its machine to life."""
    visitor = await require_self(request)
    parts = parts_of(request)
    body = await read(request, NewCase)
    case = token_hex(10)
    machine = new_machine_id("case", f"case:{case}", parts.settings.shards)
    row = await parts.cases.create(
        case,
        body.title,
        body.description,
        machine,
        visitor.person.id,
        request=repeatable(request, visitor.person.id, body),
    )
    await parts.rights.announce(visitor.person.id)
    await _machine_of(parts, row, visitor)
    # A repeat is told the same, whatever has become of the case since.
    return Json(_view(row, row.title, "open"), 201)


@operation("viewer", answer=CaseWhole)
async def get_case(request: Request) -> Response:
    """One case with its members, persons of interest and counts."""
    parts = parts_of(request)
    case = request.path_params["case"]
    visitor, _ = await require_role(request, f"case:{case}", "viewer", "case")
    row = await parts.cases.get(case, visitor.person.id)
    if row is None:
        raise Missing("there is no such case")
    members = await parts.cases.members(case)
    more = {
        "members": [{"user": _user(m.user), "role": m.role} for m in members],
        "pois": await parts.pois.of_case(case),
        "counts": await parts.cases.counts(case),
        "outside": list(sources_of(parts.settings.sources)),
    }
    view = await describe(parts, row, visitor)
    parts.warming.opened(case, view["title"])
    return Json({**view, **more})


@operation("owner", answer=MemberView, body=NewMember, errors=(409, 429))
async def put_member(request: Request) -> Response:
    """Give a person a role in the case."""
    parts = parts_of(request)
    case = request.path_params["case"]
    visitor, _ = await require_role(request, f"case:{case}", "owner", "case")
    body = await read(request, NewMember)
    # Naming an address that has no account stays counted, as the answer tells who has one.
    await parts.invitations.begin(visitor.person.id)
    person, before = await parts.cases.set_member(case, body.email, body.role)
    await parts.invitations.succeeded(visitor.person.id)
    await parts.rights.announce(person.id)
    await tell_changed(parts, case, "members", visitor.person.id)
    if before is None:
        await _welcome(parts, case, person.id, body.role, visitor)
    return Json({"user": _user(person), "role": body.role})


@operation("owner", status=204, errors=(409,))
async def delete_member(request: Request) -> Response:
    """End a person's role; everyone may end their own."""
    parts = parts_of(request)
    case, user = request.path_params["case"], request.path_params["user"]
    visitor = await require_visitor(request)
    needed: Role = "viewer" if user == visitor.person.id else "owner"
    await require_role(request, f"case:{case}", needed, "case")
    await parts.cases.remove_member(case, user)
    await parts.rights.announce(user)
    await tell_changed(parts, case, "members", visitor.person.id)
    return nothing()


async def describe(parts: Parts, row: CaseRow, visitor: Visitor) -> CaseView:
    """A case as the wire shows it; its state and title are its machine's."""
    machine = await _machine_of(parts, row, visitor)
    return _view(row, machine.context["title"], machine.configuration[0])


async def _machine_of(parts: Parts, row: CaseRow, visitor: Visitor) -> Snapshot:
    """The machine of a case, made here where a crash came between the row and the machine."""
    snapshot = await parts.engine.load(row.machine)
    if snapshot is None:
        made = await parts.engine.spawn(
            "case",
            f"case:{row.id}",
            {"title": row.title, "description": row.description},
            source="handler",
            actor=visitor.person.id,
            event_id=f"case:{row.id}",
            machine=row.machine,
        )
        snapshot = made.snapshot or await parts.engine.load(row.machine)
    assert snapshot is not None
    return snapshot


def _view(row: CaseRow, title: str, state: str) -> CaseView:
    return {
        "id": row.id,
        "title": title,
        "description": row.description,
        "role": row.role,
        "state": state,
        "evidence": row.evidence,
        "created_at": row.created_at,
        "machine": row.machine,
    }


async def tell_changed(parts: Parts, case: str, part: Part, actor: str) -> None:
    """Have the open pages of a case read a part of it again."""
    machine = await parts.cases.machine(case)
    await parts.engine.send(machine, "changed", {"part": part}, source="handler", actor=actor)


def _user(person: Person) -> UserView:
    return {"id": person.id, "name": person.name, "email": person.email}


async def _welcome(parts: Parts, case: str, user: str, role: Role, visitor: Visitor) -> None:
    row = await parts.cases.get(case, user)
    assert row is not None
    await parts.engine.spawn(
        "notification",
        f"user:{user}",
        {
            "title": "You were added to a case",
            "body": f"{visitor.person.name} made you {role} of “{row.title}”",
            "about": f"case:{case}",
        },
        source="handler",
        actor=visitor.person.id,
    )


routes = [
    Route("/api/cases", list_cases, methods=["GET"]),
    Route("/api/cases", create_case, methods=["POST"]),
    Route("/api/cases/{case}", get_case, methods=["GET"]),
    Route("/api/cases/{case}/members", put_member, methods=["PUT"]),
    Route("/api/cases/{case}/members/{user}", delete_member, methods=["DELETE"]),
]
