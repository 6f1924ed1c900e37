"""Titles, summaries and tags written by people, with every version that there was.

Each edit is written into the chain of custody with the hashes of what stood there before and after.
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from machines.event import BIGGEST
from server.auth import require_role
from server.bodies import Body, Json, read
from server.evidence_access import evidence_of
from server.operations import operation
from server.parts import Parts, parts_of
from server.routes_cases import tell_changed
from storage.edits import EditRow, Part

Version = Annotated[int, Field(ge=0, le=BIGGEST)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=80)]


class _EditBody(Body):
    """An edit on top of version `if_version` (0: what a run found), or an earlier version taken again."""

    if_version: Version
    restore: Version | None = None

    @abstractmethod
    def new(self) -> Any:
        """The new value as it is stored; None where an earlier one is taken."""

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.restore is None) == (self.new() is None):
            raise ValueError("give either a new value or the version to restore")
        return self


class TitleEdit(_EditBody):
    """Another title."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None

    def new(self) -> str | None:
        return self.title


class SummaryEdit(_EditBody):
    """Another summary; an empty one says that there is nothing to say."""

    text: Annotated[str, StringConstraints(max_length=20_000)] | None = None

    def new(self) -> list[dict[str, Any]] | None:
        if self.text is None:
            return None
        return [{"text": self.text, "start": 0, "end": 0, "page": 0}] if self.text else []


class TagsEdit(_EditBody):
    """Other tags, all of them; those that differ only in case are one."""

    tags: Annotated[list[Tag], Field(max_length=50)] | None = None

    @field_validator("tags")
    @classmethod
    def _once(cls, tags: list[str] | None) -> list[str] | None:
        return None if tags is None else list({tag.casefold(): tag for tag in reversed(tags)}.values())[::-1]

    def new(self) -> list[str] | None:
        return self.tags


class Sentence(TypedDict):
    """A sentence of a summary; all numbers are 0 where a person wrote it."""

    text: str
    start: int
    end: int
    page: int


class EditorView(TypedDict):
    """Who wrote a version; the id is empty for a run."""

    id: str
    name: str


class EditView(TypedDict):
    """One version of a part; version 0 is what the newest run found."""

    part: Literal["title", "summary", "tags"]
    version: int
    value: str | list[str] | list[Sentence]
    by: EditorView
    restored: int | None
    at: datetime


class TagView(TypedDict):
    """A tag and how much evidence of the case has it."""

    tag: str
    evidence: int


@operation("editor", answer=EditView, body=TitleEdit, errors=(409,))
async def edit_title(request: Request) -> Response:
    """Write a title in place of the one that was found."""
    return await _edit(request, "title", TitleEdit)


@operation("editor", answer=EditView, body=SummaryEdit, errors=(409,))
async def edit_summary(request: Request) -> Response:
    """Write a summary in place of the one that was found."""
    return await _edit(request, "summary", SummaryEdit)


@operation("editor", answer=EditView, body=TagsEdit, errors=(409,))
async def edit_tags(request: Request) -> Response:
    """Write tags in place of those that were found."""
    return await _edit(request, "tags", TagsEdit)


@operation("viewer", answer=list[EditView])
async def list_edits(request: Request) -> Response:
    """Every version of what was ever edited: by part, the newest first."""
    _, row = await evidence_of(request)
    return Json([_view(edit) for edit in await parts_of(request).edits.history(row.id)])


@operation("viewer", answer=list[TagView])
async def list_tags(request: Request) -> Response:
    """The tags of a case, the most frequent first, at most 500."""
    case = request.path_params["case"]
    await require_role(request, f"case:{case}", "viewer", "case")
    tags = await parts_of(request).evidence.tags_of_case(case)
    return Json([{"tag": tag, "evidence": count} for tag, count in tags])


async def _edit(request: Request, part: Part, model: type[_EditBody]) -> Response:
    visitor, row = await evidence_of(request, "editor")
    body = await read(request, model)
    parts = parts_of(request)
    asked = {"if_version": body.if_version, "user": visitor.person.id}
    edit = await _put(parts, row.id, part, body, asked)
    await tell_changed(parts, row.case_id, "evidence", visitor.person.id)
    return Json(_view(edit))


async def _put(parts: Parts, evidence: int, part: Part, body: _EditBody, asked: dict[str, Any]) -> EditRow:
    if body.restore is not None:
        return await parts.edits.restore(evidence, part, body.restore, **asked)
    return await parts.edits.put(evidence, part, body.new(), **asked)


def _view(edit: EditRow) -> EditView:
    return {
        "part": edit.part,
        "version": edit.version,
        "value": edit.value,
        "by": {"id": edit.by, "name": edit.name},
        "restored": edit.restored,
        "at": edit.at,
    }


routes = [
    Route("/api/evidence/{evidence}/title", edit_title, methods=["PUT"]),
    Route("/api/evidence/{evidence}/summary", edit_summary, methods=["PUT"]),
    Route("/api/evidence/{evidence}/tags", edit_tags, methods=["PUT"]),
    Route("/api/evidence/{evidence}/edits", list_edits, methods=["GET"]),
    Route("/api/cases/{case}/tags", list_tags, methods=["GET"]),
]
