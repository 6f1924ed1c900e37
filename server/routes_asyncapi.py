"""`/api/asyncapi.json`: what the server says on websocket, streams and webhooks."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.asyncapi import description
from server.bodies import Json
from server.operations import operation
from server.parts import parts_of


@operation("public", answer=dict[str, Any])
async def asyncapi(request: Request) -> Response:
    """The AsyncAPI document of this server."""
    return Json(description(parts_of(request).settings.address))


routes = [Route("/api/asyncapi.json", asyncapi, methods=["GET"])]
