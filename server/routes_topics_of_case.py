"""What a case is about, and which documents are like one another."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.auth import require_role
from server.bodies import Json, number, query
from server.evidence_access import evidence_of
from server.operations import operation
from server.pages import next_page, page_of
from server.parts import parts_of
from storage.topics import SimilarRow, TopicEvidence, TopicRow


class Wanted(BaseModel):
    """A page of a topic's evidence: what comes behind the one of that id."""

    model_config = ConfigDict(extra="forbid")
    after: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    limit: Annotated[int, Field(ge=1, le=500)] = 100


@operation("viewer", answer=list[TopicRow])
async def list_topics(request: Request) -> Response:
    """The topics of a case with how much evidence each has, the largest first."""
    case = request.path_params["case"]
    await require_role(request, f"case:{case}", "viewer", "case")
    return Json(await parts_of(request).topics.of_case(case))


@operation("viewer", answer=list[TopicEvidence], query=Wanted, paged=True)
async def list_evidence_of_topic(request: Request) -> Response:
    """The evidence of a topic by page; none where the case has no such topic any more."""
    case = request.path_params["case"]
    await require_role(request, f"case:{case}", "viewer", "case")
    wanted = query(request, Wanted)
    rows = await parts_of(request).topics.evidence(
        case, number(request, "subject"), after=wanted.after, limit=wanted.limit + 1
    )
    page, more = page_of(rows, wanted.limit)
    return Json(page, headers=next_page(request, "after", str(page[-1].id) if more else None))


@operation("viewer", answer=list[SimilarRow])
async def list_similar(request: Request) -> Response:
    """The five documents nearest to one in meaning, beyond its near copies."""
    _, row = await evidence_of(request)
    return Json(await parts_of(request).topics.similar(row.id))


routes = [
    Route("/api/cases/{case}/topics", list_topics, methods=["GET"]),
    Route("/api/cases/{case}/topics/{subject}/evidence", list_evidence_of_topic, methods=["GET"]),
    Route("/api/evidence/{evidence}/similar", list_similar, methods=["GET"]),
]
