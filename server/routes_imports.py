"""Folders: begun, listed, and looked at as a whole."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, cast

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from machines.event import BIGGEST, Role
from machines.import_files import FileState
from machines.importing_events import Pace
from machines.topics import import_topic
from server.auth import Visitor, require_role, require_visitor
from server.bodies import Body, Json, read, repeatable
from server.errors import Clash, Missing
from server.import_machines import begin_import
from server.operations import operation
from server.parts import Parts, parts_of
from storage.import_listing import COUNTED_BYTES, Listing
from storage.imports import ImportRow, UnknownImport, sums_of, tally_of
from storage.machine_store import new_machine_id

MANIFEST_FILES = 5000
MANIFEST_BYTES = 8 << 20

CLOSED = {"paused": "import.paused", "cancelling": "import.over", "cancelled": "import.over"}
"""States in which no files are taken."""


class NewImport(Body):
    """A folder; `title` is what it is called."""

    title: str = Field(min_length=1, max_length=300)


class ListedFile(Body):
    """A file of the folder: `modified` in Unix seconds; `failed` says why it cannot be sent."""

    path: Annotated[str, Field(min_length=1, max_length=4096)]
    bytes: int = Field(default=0, ge=0, le=BIGGEST)
    modified: Annotated[float, Field(ge=-1e11, le=1e11, allow_inf_nan=False)] = 0.0
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    failed: str = Field(default="", max_length=1000)


class Manifest(Body):
    """A part of the list of a folder."""

    files: list[ListedFile] = Field(max_length=MANIFEST_FILES)


class Begun(TypedDict):
    """The machine of an import, and the topic of its uploads."""

    machine: str
    topic: str


class Listed(TypedDict):
    """Where a listed file stands; `changed`: it was received as it was before, and differs now."""

    file: int
    state: FileState
    evidence: int
    changed: bool


class Tallied(TypedDict):
    """How many files are in which state, as `Tally` of the chart."""

    waiting: int
    sending: int
    queued: int
    working: int
    ready: int
    duplicate: int
    locked: int
    failed: int
    cancelled: int
    removed: int


class ImportView(TypedDict):
    """An import as it stands now; `tally` is counted, not remembered."""

    machine: str
    case: str
    title: str
    owner: str
    topic: str
    state: str
    outcome: str
    created_at: datetime
    tally: Tallied
    bytes: int
    bytes_here: int
    bytes_done: int
    pages: int
    found: int
    pace: Pace


@operation("editor", answer=Begun, status=201, body=NewImport, repeatable=True)
async def begin(request: Request) -> Response:
    """Begin to import a folder, whose list is then expected."""
    case = request.path_params["case"]
    visitor, _ = await require_role(request, f"case:{case}", "editor", "case")
    parts = parts_of(request)
    body = await read(request, NewImport)
    machine = new_machine_id("import", f"case:{case}", parts.settings.shards)
    row = await parts.imports.create(
        machine,
        case,
        visitor.person.id,
        body.title,
        import_topic(case, machine.rpartition("-")[2]),
        request=repeatable(request, visitor.person.id, body),
    )
    await begin_import(parts.engine, row)
    return Json({"machine": row.id, "topic": row.topic}, 201)


@operation("viewer", answer=list[ImportView])
async def list_imports(request: Request) -> Response:
    """The imports of a case, the newest first."""
    case = request.path_params["case"]
    await require_role(request, f"case:{case}", "viewer", "case")
    parts = parts_of(request)
    return Json([await _view(parts, row) for row in await parts.imports.of_case(case)])


@operation("viewer", answer=ImportView)
async def get_import(request: Request) -> Response:
    """One import."""
    row, _ = await import_of(request, "viewer")
    return Json(await _view(parts_of(request), row))


@operation("editor", answer=list[Listed], body=Manifest, errors=(409,))
async def list_manifest(request: Request) -> Response:
    """List files of the folder, each path once, and learn in the same order which are to be sent."""
    row, _ = await import_of(request, "editor")
    parts = parts_of(request)
    body = await read(request, Manifest, most_bytes=MANIFEST_BYTES)
    await require_open(parts, row, "cancelling", "cancelled")
    listed = [
        Listing(f.path, min(f.bytes, COUNTED_BYTES), f.modified, f.sha256, f.failed) for f in body.files
    ]
    if not listed:
        return Json([])
    files = await parts.import_files.add(row, listed, most_bytes=parts.settings.max_upload_bytes)
    return Json(
        [
            {
                "file": file.id,
                "state": file.state,
                "evidence": file.evidence,
                "changed": not each.failed and (file.bytes, file.modified) != (each.bytes, each.modified),
            }
            for file, each in zip(files, listed, strict=True)
        ]
    )


@operation("editor", answer=ImportView, errors=(409,))
async def end_manifest(request: Request) -> Response:
    """The list is complete."""
    row, visitor = await import_of(request, "editor")
    parts = parts_of(request)
    await require_open(parts, row, "cancelling", "cancelled")
    await parts.engine.send(row.id, "listed", {}, source="handler", actor=visitor.person.id)
    return Json(await _view(parts, row))


async def import_of(request: Request, needed: Role) -> tuple[ImportRow, Visitor]:
    """The import that is asked for, and who asks, with the role on its case.

    Raises:
        Missing: There is none that the visitor may see.
    """
    await require_visitor(request)
    try:
        row = await parts_of(request).imports.get(request.path_params["import"])
    except UnknownImport:
        raise Missing("there is no such import") from None
    visitor, _ = await require_role(request, f"case:{row.case_id}", needed, "import")
    return row, visitor


async def require_open(parts: Parts, row: ImportRow, *closed: str) -> None:
    """See that the import takes files.

    Raises:
        Clash: It is in one of the states `closed`; all in which it takes none, unless some are named.
    """
    state = await _state(parts, row)
    if state in (closed or CLOSED):
        what = "is paused; resume it first" if state == "paused" else "has been cancelled"
        raise Clash(f"the import {what}", code=CLOSED[state])


async def _state(parts: Parts, row: ImportRow) -> str:
    snapshot = await parts.engine.load(row.id)
    if snapshot is None and not row.over:
        await begin_import(parts.engine, row)
        snapshot = await parts.engine.load(row.id)
    if snapshot is None:
        return "cancelled"  # the one state that an import leaves Redis in
    return snapshot.configuration[0]


async def _view(parts: Parts, row: ImportRow) -> ImportView:
    state = await _state(parts, row)
    snapshot = await parts.engine.load(row.id)
    _, counts = await parts.imports.counts(row.id)
    view = {
        "machine": row.id,
        "case": row.case_id,
        "title": row.title,
        "owner": row.owner,
        "topic": row.topic,
        "state": state,
        "outcome": "" if snapshot is None else snapshot.context["outcome"],
        "created_at": row.created_at,
        "tally": tally_of(counts).model_dump(),
        **sums_of(counts),
        "pace": Pace().model_dump() if snapshot is None else snapshot.context["pace"],
    }
    return cast(ImportView, view)


routes = [
    Route("/api/cases/{case}/imports", begin, methods=["POST"]),
    Route("/api/cases/{case}/imports", list_imports, methods=["GET"]),
    Route("/api/imports/{import}", get_import, methods=["GET"]),
    Route("/api/imports/{import}/manifest", list_manifest, methods=["POST"]),
    Route("/api/imports/{import}/manifest/end", end_manifest, methods=["POST"]),
]
