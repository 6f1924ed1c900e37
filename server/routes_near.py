"""Evidence that is nearly the same as other evidence of its case: shown, never hidden."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from server.auth import require_role
from server.bodies import Json, query
from server.evidence_access import evidence_of
from server.operations import operation
from server.parts import parts_of

MOST = 200
"""Near copies that are listed for one piece of evidence."""
MOST_ASKED = 100
"""Pieces of evidence whose links among each other are asked for at once."""


class Asked(BaseModel):
    """Which pieces of evidence, by their ids separated by commas."""

    model_config = ConfigDict(extra="forbid")
    evidence: Annotated[
        str, Field(pattern=r"^([0-9]{1,18}(,[0-9]{1,18})*)?$", max_length=19 * MOST_ASKED)
    ] = ""

    @field_validator("evidence")
    @classmethod
    def _few(cls, told: str) -> str:
        if told.count(",") >= MOST_ASKED:
            raise ValueError(f"at most {MOST_ASKED} ids")
        return told


class NearView(TypedDict):
    """Evidence that is nearly the same.

    `score` is the share of both that they have in common, 0 to 1; `contained` how much of the shorter one
    stands in the other; not `exact`: estimated, as the texts are very long.
    """

    evidence: int
    title: str
    filename: str
    media_type: str
    kind: Literal["text", "picture"]
    score: float
    contained: float
    exact: bool


class PairView(TypedDict):
    """Two pieces of evidence that are nearly the same, a < b."""

    a: int
    b: int
    kind: Literal["text", "picture"]
    score: float


@operation("viewer", answer=list[NearView])
async def get_near(request: Request) -> Response:
    """The near copies of a piece of evidence, the most alike first, at most 200."""
    _, row = await evidence_of(request)
    return Json(await parts_of(request).near.of_evidence(row.id, limit=MOST))


@operation("viewer", answer=list[PairView], query=Asked)
async def get_near_among(request: Request) -> Response:
    """Which of these pieces of evidence of a case are near copies of each other."""
    case = request.path_params["case"]
    await require_role(request, f"case:{case}", "viewer", "case")
    asked = query(request, Asked)
    return Json(
        await parts_of(request).near.among(case, [int(one) for one in asked.evidence.split(",") if one])
    )


routes = [
    Route("/api/evidence/{evidence}/near", get_near, methods=["GET"]),
    Route("/api/cases/{case}/near", get_near_among, methods=["GET"]),
]
