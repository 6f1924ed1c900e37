"""Cases and their members."""

from __future__ import annotations

from secrets import token_hex
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from machines.case import Part
from machines.event import Role
from server.auth import Visitor, require_role, require_visitor
from server.bodies import Body, Json, nothing, read
from server.errors import Missing
from server.parts import Parts, parts_of
from server.routes_auth import Email
from storage.cases import CaseRow
from storage.machine_store import new_machine_id


class NewCase(Body):
    """A case to be opened."""

    title: str = Field(min_length=1, max_length=300)
    description: str = Field(default="", max_length=5000)


class NewMember(Body):
    """A person, by address, and the role they shall have."""

    email: Email
    role: Role


async def list_cases(request: Request) -> Response:
    """The visitor's cases, newest first."""
    visitor = await require_visitor(request)
    parts = parts_of(request)
    rows = await parts.cases.of_user(visitor.person.id)
    return Json([await describe(parts, row, visitor) for row in rows])


async def create_case(request: Request) -> Response:
    """Store the case and its owner, then bring its machine to life."""
    visitor = await require_visitor(request)
    parts = parts_of(request)
    body = await read(request, NewCase)
    case = token_hex(10)
    machine = new_machine_id("case", f"case:{case}", parts.settings.shards)
    await parts.cases.create(case, body.title, body.description, machine, visitor.person.id)
    await parts.rights.announce(visitor.person.id)
    row = await parts.cases.get(case, visitor.person.id)
    assert row is not None
    return Json(await describe(parts, row, visitor), 201)


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
        "members": [
            {"user": {"id": m.user.id, "name": m.user.name, "email": m.user.email}, "role": m.role}
            for m in members
        ],
        "pois": await parts.pois.of_case(case),
        "counts": await parts.cases.counts(case),
    }
    return Json(await describe(parts, row, visitor) | more)


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
    user = {"id": person.id, "name": person.name, "email": person.email}
    return Json({"user": user, "role": body.role})


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


async def describe(parts: Parts, row: CaseRow, visitor: Visitor) -> dict[str, Any]:
    """A case as the wire shows it; its state and title are its machine's.

    A crash may have come between the row and the machine, so a missing machine is made here.
    """
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
    return {
        "id": row.id,
        "title": snapshot.context["title"],
        "description": row.description,
        "role": row.role,
        "state": snapshot.configuration[0],
        "evidence": row.evidence,
        "created_at": row.created_at,
        "machine": row.machine,
    }


async def tell_changed(parts: Parts, case: str, part: Part, actor: str, poi: int = 0) -> None:
    """Have the open pages of a case read a part of it again, and a changed `poi` be looked for."""
    machine = await parts.cases.machine(case)
    await parts.engine.send(machine, "changed", {"part": part, "poi": poi}, source="handler", actor=actor)


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
