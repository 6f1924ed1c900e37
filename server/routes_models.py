"""Where the text of a case goes to models, and whether its owners let it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from handlers.language_model_ollama import address_of
from handlers.models import is_local
from server.auth import require_role
from server.bodies import Body, Json, nothing, read
from server.errors import Clash
from server.operations import operation
from server.parts import parts_of
from server.routes_cases import tell_changed
from server.settings import Settings
from storage.consents import CaseConsents


class HostNamed(Body):
    """A host that the settings name, as `name:port`."""

    host: str = Field(min_length=1, max_length=300)


class HostView(TypedDict):
    """A host that models of this instance are at, and what it gets of the case.

    `local` ones are this machine, or as good by `CASEWIRE_LOCAL_HOSTS`, and need no agreement; of others
    nothing goes there before an owner has agreed: `agreed_by` is that user's id, "" for nobody.
    """

    host: str
    does: list[Literal["writes answers and reads evidence", "embeds passages and questions"]]
    models: list[str]
    local: bool
    agreed_by: str
    agreed_at: datetime | None


@operation("viewer", answer=list[HostView])
async def list_model_hosts(request: Request) -> Response:
    """Every host that gets, or would get, text of the case; none where all models are built in."""
    case = request.path_params["case"]
    await require_role(request, f"case:{case}", "viewer", "case")
    parts = parts_of(request)
    agreed = {row.host: row for row in await CaseConsents(parts.database).of_case(case)}
    views = []
    for host, uses in hosts_of(parts.settings).items():
        row = agreed.get(host)
        views.append(
            {
                "host": host,
                "does": [does for does, _ in uses],
                "models": list(dict.fromkeys(model for _, model in uses)),
                "local": is_local(host, parts.settings.trusted_hosts),
                "agreed_by": row.user_id if row else "",
                "agreed_at": row.at if row else None,
            }
        )
    return Json(views)


@operation("owner", status=204, body=HostNamed, errors=(409,))
async def agree(request: Request) -> Response:
    """Let the text of the case go to a host; what was refused for want of it can be tried again."""
    case = request.path_params["case"]
    visitor, _ = await require_role(request, f"case:{case}", "owner", "case")
    body, parts = await read(request, HostNamed), parts_of(request)
    if body.host not in hosts_of(parts.settings):
        raise Clash("no model of this instance is at that host: read the case's models again")
    await CaseConsents(parts.database).give(case, body.host, visitor.person.id)
    await tell_changed(parts, case, "members", visitor.person.id)
    return nothing()


@operation("owner", status=204, body=HostNamed)
async def disagree(request: Request) -> Response:
    """Let nothing more go to a host; what it has got it may have kept."""
    case = request.path_params["case"]
    visitor, _ = await require_role(request, f"case:{case}", "owner", "case")
    body, parts = await read(request, HostNamed), parts_of(request)
    await CaseConsents(parts.database).take_back(case, body.host)
    await tell_changed(parts, case, "members", visitor.person.id)
    return nothing()


def hosts_of(settings: Settings) -> dict[str, list[tuple[str, str]]]:
    """The hosts that the settings name for models: what each does, and by which model."""
    hosts: dict[str, list[tuple[str, str]]] = {}
    writer = settings.openai_base_url or settings.ollama_host
    if writer is not None:
        use = ("writes answers and reads evidence", settings.language_model)
        hosts.setdefault(urlsplit(address_of(writer)).netloc, []).append(use)
    if settings.embedding_model is not None and settings.ollama_host is not None:
        use = ("embeds passages and questions", settings.embedding_model)
        hosts.setdefault(urlsplit(address_of(settings.ollama_host)).netloc, []).append(use)
    return hosts


routes = [
    Route("/api/cases/{case}/models", list_model_hosts, methods=["GET"]),
    Route("/api/cases/{case}/models", agree, methods=["PUT"]),
    Route("/api/cases/{case}/models", disagree, methods=["DELETE"]),
]
