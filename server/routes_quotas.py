"""How much room is left for evidence, so that nobody sends in vain what does not fit."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from server.auth import require_role
from server.bodies import Json
from server.operations import operation
from server.parts import parts_of
from storage.quotas import Used


class RoomView(TypedDict):
    """The quotas that there are, none where nothing is limited, and the size of the largest file.

    A quota counts what is stored and what is on its way; that of a `person` is the asker's, in all cases.
    """

    quotas: list[Used]
    largest_file: int


@operation("viewer", answer=RoomView)
async def get_quotas(request: Request) -> Response:
    """How much evidence the case and the visitor hold, and how much they may."""
    case = request.path_params["case"]
    visitor, _ = await require_role(request, f"case:{case}", "viewer", "case")
    parts = parts_of(request)
    used = await parts.uploading.transfers.used(case, visitor.person.id)
    return Json({"quotas": [asdict(one) for one in used], "largest_file": parts.settings.max_upload_bytes})


routes = [Route("/api/cases/{case}/quotas", get_quotas, methods=["GET"])]
