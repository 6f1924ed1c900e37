"""Evidence that somebody may want to read, and what of it they put aside."""

from __future__ import annotations

from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.recommend import Recommended, name_for, recommended, withdraw
from server.auth import require_role
from server.bodies import Json, nothing
from server.evidence_access import evidence_of
from server.operations import operation
from server.parts import parts_of


@operation("viewer", answer=list[Recommended])
async def list_recommended(request: Request) -> Response:
    """Evidence of the case that the visitor has not opened, the most fitting first, each with a reason."""
    case = request.path_params["case"]
    visitor, _ = await require_role(request, f"case:{case}", "viewer", "case")
    prepared, user = parts_of(request).prepared, visitor.person.id
    if await prepared.get(case, name_for(user)) is None:
        await prepared.want(case)
    return Json(await recommended(case, user, prepared=prepared))


@operation("viewer", status=204)
async def put_aside(request: Request) -> Response:
    """Recommend evidence to the visitor no more."""
    visitor, row = await evidence_of(request)
    parts, user = parts_of(request), visitor.person.id
    effect = f"dismissed:{user}:{row.id}:{uuid4().hex}"
    await parts.votes.note(row.case_id, user, "dismissed", row.id, query="", effect=effect, value=-1.0)
    await withdraw(row.case_id, user, row.id, prepared=parts.prepared)
    return nothing()


routes = [
    Route("/api/cases/{case}/recommended", list_recommended, methods=["GET"]),
    Route("/api/evidence/{evidence}/recommended", put_aside, methods=["DELETE"]),
]
