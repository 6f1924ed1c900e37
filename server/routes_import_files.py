"""The files of an import: listed by page, sent in batches or one by one, given up with a reason."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import AsyncIterator
from typing import Annotated, get_args

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from typing_extensions import TypedDict

from machines.errors import NotAllowed
from machines.import_files import UNSENT, FileState
from server.auth import sender_of
from server.bodies import Body, Json, nothing, number, query, read
from server.errors import Clash, Missing
from server.import_batches import Batches
from server.import_machines import shortened, spawning_id
from server.operations import operation
from server.pages import next_page, page_of
from server.parts import Parts, parts_of
from server.routes_imports import import_of, require_open
from storage.import_files import FileRow
from storage.imports import ImportRow

logger = logging.getLogger(__name__)

STATES: tuple[FileState, ...] = get_args(FileState)
_CSV_PAGE = 1000


class FilePage(BaseModel):
    """Which files: of which states (separated by commas, all unless given), how many after which number."""

    model_config = ConfigDict(extra="forbid")
    state: Annotated[str, Field(pattern="^[a-z]+(,[a-z]+)*$", max_length=200)] | None = None
    after: Annotated[int, Field(ge=0, le=2**62)] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class GivenUp(Body):
    """A file that cannot be sent, and why."""

    file: int = Field(ge=1, le=2**62)
    reason: str = Field(min_length=1, max_length=1000)


class GivenUpFiles(Body):
    """Files that cannot be sent."""

    files: list[GivenUp] = Field(min_length=1, max_length=1000)


class FileView(TypedDict):
    """A file of an import; `retryable` where another try is possible."""

    file: int
    path: str
    bytes: int
    modified: float
    found: bool
    state: FileState
    machine: str
    evidence: int
    reason: str
    pages: int
    retryable: bool


class Acknowledged(TypedDict):
    """Where a file of a batch stands; `reason` says why one that arrived was not taken."""

    file: int
    state: FileState
    evidence: int
    reason: str


class Expected(TypedDict):
    """The upload machine of a file, which waits for its content if the file is still to be sent."""

    machine: str
    state: FileState


@operation("viewer", answer=list[FileView], query=FilePage, paged=True)
async def list_files(request: Request) -> Response:
    """Files of an import, in the order in which they were listed; while more follow, `Link` leads there."""
    row, _ = await import_of(request, "viewer")
    wanted = query(request, FilePage)
    states = tuple(s for s in STATES if s in (wanted.state or "").split(","))
    if wanted.state is not None and not states:
        return Json([])
    files = await parts_of(request).import_files.files(
        row.id, states, after=wanted.after, limit=wanted.limit + 1
    )
    page, more = page_of(files, wanted.limit)
    cursor = str(page[-1].id) if more else None
    return Json([_view(file) for file in page], headers=next_page(request, "after", cursor))


@operation("viewer", media="text/csv")
async def failures(request: Request) -> Response:
    """What has failed, with path, size and reason, as CSV."""
    row, _ = await import_of(request, "viewer")
    return StreamingResponse(
        _csv(parts_of(request), row),
        media_type="text/csv",
        headers={
            "Content-Disposition": 'attachment; filename="failures.csv"',
            "Cache-Control": "no-store",
        },
    )


@operation(
    "editor", answer=list[Acknowledged], raw="application/octet-stream", errors=(400, 409, 413, 422, 507)
)
async def receive_batch(request: Request) -> Response:
    """Receive many small files: a line of JSON that names them, then their contents."""
    row, visitor = await import_of(request, "editor")
    parts = parts_of(request)
    await require_open(parts, row)

    transfers = parts.uploading.transfers
    batches = Batches(parts.engine, parts.blobs, parts.arrivals, parts.import_files, transfers)
    sender = sender_of(parts, visitor, row.topic)
    files, refused = await batches.receive(row, request.stream(), sender.actor, may=sender.may)
    return Json(
        [
            {
                "file": file.id,
                "state": file.state,
                "evidence": file.evidence,
                "reason": refused.get(file.id, file.reason),
            }
            for file in files
        ]
    )


@operation("editor", answer=Expected, errors=(409,))
async def expect_file(request: Request) -> Response:
    """Have a machine for a file that is sent in a request of its own; asked again, the same one."""
    row, _ = await import_of(request, "editor")
    parts = parts_of(request)
    file = number(request, "file")
    await require_open(parts, row)
    found = (await parts.import_files.some(row.id, [file])).get(file)
    if found is None:
        raise Missing("the import has no such file")
    if not found.machine and found.state == "waiting":
        once = spawning_id(found.id, found.attempt)
        mine = parts.engine.machine_for("upload", row.topic, once)
        if await parts.import_files.give_machine(row.id, found.id, mine) == mine:
            data = {"filename": shortened(found.path), "bytes": found.bytes}
            await parts.engine.spawn(
                "upload", row.topic, data, source="handler", actor=row.owner, event_id=once
            )
            await parts.import_files.note_arrival(row.id)
        found = (await parts.import_files.some(row.id, [file]))[file]
    if not found.machine:
        raise Clash(f"the file is {found.state}; nothing is to be sent", code="upload.not_receiving")
    return Json({"machine": found.machine, "state": found.state})


@operation("editor", status=204, body=GivenUpFiles)
async def give_up(request: Request) -> Response:
    """Note files that cannot be sent, with the reason; they can be tried again like all that failed."""
    row, visitor = await import_of(request, "editor")
    parts = parts_of(request)
    body = await read(request, GivenUpFiles)
    failed = {each.file: each.reason for each in body.files}
    await parts.import_files.fail(row.id, sorted(failed.items()))
    for file in (await parts.import_files.some(row.id, sorted(failed))).values():
        if file.machine and file.state in UNSENT:
            await _refuse(parts, file, failed[file.id], visitor.person.id)
    return nothing()


async def _refuse(parts: Parts, file: FileRow, reason: str, actor: str) -> None:
    try:
        await parts.engine.send(file.machine, "refused", {"reason": reason}, source="handler", actor=actor)
    except NotAllowed:  # its content has come after all
        logger.info("A file came after all.", extra={"action": "import.came", "machine": file.machine})


def _view(file: FileRow) -> FileView:
    return {
        "file": file.id,
        "path": file.path,
        "bytes": file.bytes,
        "modified": file.modified,
        "found": file.found,
        "state": file.state,
        "machine": file.machine,
        "evidence": file.evidence,
        "reason": file.reason,
        "pages": file.pages,
        "retryable": file.retryable,
    }


async def _csv(parts: Parts, row: ImportRow) -> AsyncIterator[str]:
    yield _line("path", "bytes", "reason", "can be tried again")
    after = 0
    while page := await parts.import_files.files(row.id, ("failed",), after=after, limit=_CSV_PAGE):
        after = page[-1].id
        yield "".join(_line(f.path, f.bytes, f.reason, "yes" if f.retryable else "no") for f in page)


def _line(*values: str | int) -> str:
    """A row; a text that a spreadsheet would take for a formula is quoted as one."""
    safe = [
        f"'{v}" if isinstance(v, str) and v[:1] in ("=", "+", "-", "@", "\t", "\r") else v for v in values
    ]
    written = io.StringIO()
    csv.writer(written).writerow(safe)
    return written.getvalue()


routes = [
    Route("/api/imports/{import}/files", list_files, methods=["GET"]),
    Route("/api/imports/{import}/failures.csv", failures, methods=["GET"]),
    Route("/api/imports/{import}/batch", receive_batch, methods=["POST"]),
    Route("/api/imports/{import}/files/{file}/upload", expect_file, methods=["POST"]),
    Route("/api/imports/{import}/failed", give_up, methods=["POST"]),
]
