"""The timeline of a case: everything with a date, with its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from handlers.sentence_around import sentence_around
from server.auth import require_role
from server.bodies import Json, query
from server.operations import operation
from server.pages import cursor_of, next_page, page_of, values_of
from server.parts import parts_of
from storage.timeline import KINDS, After, Chosen, Entry, Forms, Kind

_DAY = r"^\d{4}(-\d{2}(-\d{2})?)?$"
MOST_NAMES = 8


class Wanted(BaseModel):
    """Which entries: kinds separated by commas, first and last day (`2001`, `2001-06` or `2001-06-04`),
    `about` an entity or a person of interest; `after` is the cursor of a page."""

    model_config = ConfigDict(extra="forbid")
    kinds: Annotated[str, Field(max_length=60)] = ""
    since: Annotated[str, Field(pattern=_DAY)] | Literal[""] = ""
    until: Annotated[str, Field(pattern=_DAY)] | Literal[""] = ""
    about: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    after: Annotated[str, Field(max_length=2000)] | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100

    @field_validator("kinds")
    @classmethod
    def _known(cls, told: str) -> str:
        if unknown := [one for one in told.split(",") if one and one not in KINDS]:
            raise ValueError(f"there is no kind “{unknown[0]}”; there are {', '.join(KINDS)}")
        return told

    @property
    def chosen(self) -> Chosen:
        """The same as storage asks for it; a month or a year as last day lasts until its end."""
        kinds = [kind for kind in KINDS if kind in self.kinds.split(",")]
        until = f"{self.until}~" if 0 < len(self.until) < 10 else self.until
        return Chosen(kinds or KINDS, self.since, until, self.about)


class NameView(TypedDict):
    """Who is named in the sentence."""

    node: int
    name: str
    kind: str


class EntryView(TypedDict):
    """Something with a date.

    `at` is as exact as its source: a year, a month, a day, or a day with a time. `otherwise` is the other
    day that a date in figures may mean, "" where only one is possible. The date is `written` between
    `before` and `behind`. Characters `start`..`end` are the date's place in the evidence's text, 0 and 0
    where the evidence as a whole has it.
    """

    at: str
    kind: Kind
    otherwise: str
    evidence: int
    title: str
    page: int
    start: int
    end: int
    chunk: int
    before: str
    written: str
    behind: str
    names: list[NameView]


class MonthView(TypedDict):
    """How many entries a month (`2001-06`) has, or a year of which no month is told."""

    month: str
    entries: int


class TimelineView(TypedDict):
    """A page of entries by time.

    `day_first` tells how dates in figures are read that may mean two days: as most of the case's dates
    are written that can mean only one, of which `by_day` begin with the day and `by_month` with the month.
    `months` are told with the first page alone; also those outside the days that were asked for, so that
    others can be chosen.
    """

    entries: list[EntryView]
    day_first: bool
    by_day: int
    by_month: int
    ambiguous: int
    months: list[MonthView]


@operation("viewer", answer=TimelineView, query=Wanted, paged=True)
async def get_timeline(request: Request) -> Response:
    """What happened when, by page; while another page follows, the header `Link` holds its address."""
    case = request.path_params["case"]
    await require_role(request, f"case:{case}", "viewer", "case")
    wanted = query(request, Wanted)
    timeline = parts_of(request).timeline
    after = None if wanted.after is None else After(*values_of(wanted.after, str, int, int, str))
    forms = await timeline.forms(case)
    rows = await timeline.page(case, wanted.chosen, forms, after=after, limit=wanted.limit + 1)
    page, more = page_of(rows, wanted.limit)
    whole = replace(wanted.chosen, since="", until="")
    months = await timeline.density(case, whole, forms) if after is None else []
    last = page[-1] if page else None
    cursor = cursor_of(last.at, last.evidence, last.start, last.kind) if more and last else None
    told = _view(page, forms, months)
    return Json(told, headers=next_page(request, "after", cursor))


def _view(page: Sequence[Entry], forms: Forms, months: list[tuple[str, int]]) -> TimelineView:
    return {
        "entries": [_entry(entry) for entry in page],
        "day_first": forms.reads_day_first,
        "by_day": forms.day_first,
        "by_month": forms.month_first,
        "ambiguous": forms.either,
        "months": [{"month": month, "entries": entries} for month, entries in months],
    }


def _entry(entry: Entry) -> EntryView:
    before, behind = "", ""
    names: dict[int, NameView] = {}
    if entry.chunk:
        start, end = entry.start - entry.chunk_start, entry.end - entry.chunk_start
        first, last = sentence_around(entry.text, start, end)
        before, behind = _line(entry.text[first:start]), _line(entry.text[end:last])
        for one in entry.named:
            if entry.chunk_start + first <= one.start and one.end <= entry.chunk_start + last:
                names.setdefault(one.node, {"node": one.node, "name": one.name, "kind": one.kind})
    elif entry.kind == "mail":
        before = _line(
            f"{entry.sender or ''} to {entry.receivers}" if entry.receivers else entry.sender or ""
        )
    return {
        "at": entry.at,
        "kind": entry.kind,
        "otherwise": entry.otherwise,
        "evidence": entry.evidence,
        "title": entry.title,
        "page": entry.page,
        "start": entry.start,
        "end": entry.end,
        "chunk": entry.chunk,
        "before": before,
        "written": _line(entry.written),
        "behind": behind,
        "names": list(names.values())[:MOST_NAMES],
    }


def _line(text: str) -> str:
    """In one line, a space at either end where there was one."""
    told = " ".join(text.split())
    if not told:
        return " " if text else ""
    left = " " if text[0].isspace() else ""
    return f"{left}{told}{' ' if text[-1].isspace() else ''}"[:600]


routes = [Route("/api/cases/{case}/timeline", get_timeline, methods=["GET"])]
