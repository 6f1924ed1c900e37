"""What matters most in a case, by its whole graph and the votes cast in it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.standing import Standing, case_standing
from server.auth import require_role
from server.bodies import Json
from server.operations import operation
from server.parts import parts_of


@operation("viewer", answer=list[Standing])
async def list_standing(request: Request) -> Response:
    """Evidence, entities and persons of interest, the highest standing first."""
    case = request.path_params["case"]
    await require_role(request, f"case:{case}", "viewer", "case")
    parts = parts_of(request)
    return Json(await case_standing(case, graph=parts.graph, votes=parts.votes, graphs=parts.query_graphs))


routes = [Route("/api/cases/{case}/standing", list_standing, methods=["GET"])]
