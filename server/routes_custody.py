"""What was removed and can be restored, what was deleted, and the custody report of each."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from handlers.custody_report import CustodyReport
from machines.event import BIGGEST
from server.auth import require_role, require_visitor
from server.bodies import Json, number, query
from server.custody_report import NoRecords, Reports, Subject
from server.errors import Missing
from server.evidence_access import require_sight, sees_removed
from server.operations import operation
from server.parts import parts_of
from server.routes_cases import CaseView, describe
from server.runtime import custody_folder
from storage.departures import Departures
from storage.evidence import EvidenceRow


class RemovedPage(BaseModel):
    """A page of what waits to be deleted: up to `limit` rows with ids above `after`."""

    model_config = ConfigDict(extra="forbid")
    after: Annotated[int, Field(ge=0, le=BIGGEST)] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 200


class RemovedEvidence(TypedDict):
    """Evidence out of sight; it goes at `grace_until` (Unix seconds) unless its upload is restored."""

    id: int
    upload: str
    filename: str
    title: str
    bytes: int
    media_type: str
    removed_at: datetime
    removed_by: str
    reason: str
    grace_until: float


class DeletedEvidence(TypedDict):
    """The tombstone of evidence."""

    id: int
    upload: str
    filename: str
    sha256: str
    bytes: int
    deleted_at: datetime
    deleted_by: str
    reason: str


class Removed(TypedDict):
    """What waits to be deleted, by id (nothing to viewers), and what was deleted, the latest first."""

    removed: list[RemovedEvidence]
    deleted: list[DeletedEvidence]


DELETED_AT_MOST = 200


@operation("viewer", answer=Removed, query=RemovedPage)
async def list_removed(request: Request) -> Response:
    """The evidence of a case that was removed and can be restored, and that which was deleted.

    What can be restored is told to those who may do that, editors and owners.
    """
    case = request.path_params["case"]
    _, role = await require_role(request, f"case:{case}", "viewer", "case")
    parts = parts_of(request)
    page = query(request, RemovedPage)
    removed: list[RemovedEvidence] = []
    waiting: list[EvidenceRow] = []
    if sees_removed(role):
        waiting = await parts.evidence.of_case(case, after=page.after, limit=page.limit, hidden=True)
    for row in waiting:
        machine = await parts.engine.load(row.upload)
        context = {} if machine is None else machine.context
        assert row.removed_at is not None
        removed.append(
            {
                "id": row.id,
                "upload": row.upload,
                "filename": row.filename,
                "title": row.title,
                "bytes": row.bytes,
                "media_type": row.media_type,
                "removed_at": row.removed_at,
                "removed_by": context.get("removed_by", ""),
                "reason": context.get("why", ""),
                "grace_until": context.get("grace_until", 0.0),
            }
        )
    gone = await Departures(parts.database, parts.journal).of_case(case, DELETED_AT_MOST)
    deleted: list[DeletedEvidence] = [
        {
            "id": one.evidence,
            "upload": one.upload,
            "filename": str(one.facts.get("filename", "")),
            "sha256": str(one.facts.get("sha256", "")),
            "bytes": int(one.facts.get("bytes", 0)),
            "deleted_at": one.at,
            "deleted_by": one.actor,
            "reason": one.reason,
        }
        for one in gone
        if one.complete
    ]
    return Json({"removed": removed, "deleted": deleted})


@operation("login", answer=list[CaseView])
async def list_removed_cases(request: Request) -> Response:
    """The visitor's cases that wait to be deleted, newest first."""
    visitor = await require_visitor(request)
    parts = parts_of(request)
    rows = await parts.cases.of_user(visitor.person.id, hidden=True)
    within = [row for row in rows if visitor.limits.reach(f"case:{row.id}")]
    return Json([await describe(parts, row, visitor) for row in within])


@operation("viewer", answer=CustodyReport)
async def get_custody(request: Request) -> Response:
    """Who did what to a piece of evidence, when, with the hashes that prove it; also of deleted evidence."""
    return Json(await _report(request))


@operation("viewer", media="application/pdf", errors=(503,))
async def get_custody_pdf(request: Request) -> Response:
    """The custody report as PDF."""
    report = await _report(request)
    content = await parts_of(request).paper.pdf(report)
    name = f"custody-{report['evidence']}.pdf"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(content, media_type="application/pdf", headers=headers)


async def _report(request: Request) -> CustodyReport:
    await require_visitor(request)
    parts = parts_of(request)
    reports = Reports(parts.database, parts.journal, custody_folder(parts.services), signs=True)
    try:
        subject: Subject = await reports.subject(number(request, "evidence"))
    except NoRecords as error:
        raise Missing("there is no such evidence") from error
    hidden = subject.row is not None and subject.row.hidden_at is not None
    visitor = await require_sight(request, subject.evidence, subject.case, hidden=hidden)
    role = await parts.rights.role_for(visitor, f"case:{subject.case}")
    return await reports.make(subject, visitor.person.id, removed=sees_removed(role))


routes = [
    Route("/api/removed-cases", list_removed_cases, methods=["GET"]),
    Route("/api/cases/{case}/removed", list_removed, methods=["GET"]),
    Route("/api/evidence/{evidence}/custody", get_custody, methods=["GET"]),
    Route("/api/evidence/{evidence}/custody.pdf", get_custody_pdf, methods=["GET"]),
]
