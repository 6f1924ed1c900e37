"""The description of the API, for whoever wants to write a client."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.bodies import Json
from server.openapi import description
from server.operations import operation
from server.parts import parts_of


@operation("public", answer=dict[str, Any])
async def openapi(request: Request) -> Response:
    """This description, in OpenAPI 3.1."""
    state = request.app.state
    if not hasattr(state, "openapi"):
        state.openapi = description(request.app.routes, parts_of(request).settings.address)
    return Json(state.openapi)


routes = [Route("/api/openapi.json", openapi, methods=["GET"])]
