"""What could be asked in a case, and what a question with a slip in it probably meant."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.did_you_mean import Meant
from handlers.suggestions import OF_CASE, Suggestion, suggested
from server.auth import require_role
from server.bodies import Json, query
from server.operations import operation
from server.parts import parts_of


class Written(BaseModel):
    """A question as it was typed."""

    model_config = ConfigDict(extra="forbid")
    q: Annotated[str, Field(max_length=2000)] = ""


@operation("viewer", answer=Meant, query=Written)
async def did_you_mean(request: Request) -> Response:
    """What a question meant, by the names and words of its case; empty where nothing in it is amiss."""
    case = request.path_params["case"]
    await require_role(request, f"case:{case}", "viewer", "case")
    return Json(await parts_of(request).lexicons.meant(case, query(request, Written).q))


@operation("viewer", answer=list[Suggestion])
async def list_suggestions(request: Request) -> Response:
    """Questions and names that a question could begin with: the visitor's own first, then the case's."""
    case = request.path_params["case"]
    visitor, _ = await require_role(request, f"case:{case}", "viewer", "case")
    prepared = parts_of(request).prepared
    if await prepared.get(case, OF_CASE) is None:
        await prepared.want(case)
    return Json(await suggested(case, visitor.person.id, prepared=prepared))


routes = [
    Route("/api/cases/{case}/suggest", did_you_mean, methods=["GET"]),
    Route("/api/cases/{case}/suggestions", list_suggestions, methods=["GET"]),
]
