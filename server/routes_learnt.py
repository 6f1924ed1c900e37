"""What was learnt from a person's attention, shown to that person alone, who can undo it and turn it off."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from handlers.attention import HALF_LIFE_S, NOTED, Learnt, Sort, learnt
from handlers.feedback import recount
from machines.errors import StepError
from machines.event import BIGGEST, Role
from server.auth import require_role, require_self
from server.bodies import Body, Json, nothing, number, query, read
from server.engine import MachineMissing
from server.errors import Missing
from server.leaving import sender_of
from server.operations import operation
from server.parts import Parts, parts_of
from storage.attention import NodePlace


class CaseLearnt(TypedDict):
    """Of how many passages, pieces of evidence and names of a case something is kept."""

    case: str
    title: str
    items: int


class LearntView(TypedDict):
    """Whether attention is kept and counts, how fast it fades, and the cases in which there is any."""

    on: bool
    half_life_s: int
    cases: list[CaseLearnt]


class ItemView(TypedDict):
    """One thing that was learnt.

    `weight` is what is left of `full`, in units of a vote; a vote does not fade. `kind`: passage, evidence
    or name. `page` counts from 1 (0: no pages), `start` and `end` are characters of the evidence's text;
    `query` is the question in which a vote was cast.
    """

    what: Literal["vote", "read", "opened", "ignored", "accepted", "dismissed"]
    node: int
    kind: str
    evidence: int
    title: str
    page: int
    start: int
    end: int
    said: str
    at: float
    full: float
    weight: float
    query: str


class ItemsView(TypedDict):
    """A page of what was learnt in a case, newest first; `total` counts all of it."""

    items: list[ItemView]
    total: int


class Turned(Body):
    """Whether attention is kept and counts."""

    on: bool


class PageOfItems(BaseModel):
    """A page: `limit` items behind the first `after`."""

    model_config = ConfigDict(extra="forbid")
    after: Annotated[int, Field(ge=0, le=BIGGEST)] = 0
    limit: Annotated[int, Field(ge=1, le=200)] = 50


@operation("self", answer=LearntView)
async def get_learnt(request: Request) -> Response:
    """Whether attention is kept, and where there is any."""
    visitor = await require_self(request)
    parts, user = parts_of(request), visitor.person.id
    titles = await parts.cases.titles_of(user)
    counts = await parts.attention.counts(user, sorted(titles), time.time())
    return Json(
        {
            "on": await parts.attention.is_on(user),
            "half_life_s": HALF_LIFE_S,
            "cases": [
                {"case": case, "title": titles[case], "items": counts[case]}
                for case in sorted(counts, key=lambda case: (titles[case], case))
            ],
        }
    )


@operation("self", status=204, body=Turned)
async def turn_learning(request: Request) -> Response:
    """Let attention be kept and count, or neither."""
    visitor = await require_self(request)
    body = await read(request, Turned)
    await parts_of(request).attention.turn(visitor.person.id, on=body.on)
    return nothing()


@operation("self", status=204)
async def forget_everything(request: Request) -> Response:
    """Delete all that was learnt of the person, in every case; votes stay."""
    visitor = await require_self(request)
    await parts_of(request).attention.forget_all(visitor.person.id)
    return nothing()


@operation("viewer", answer=ItemsView, query=PageOfItems)
async def list_learnt(request: Request) -> Response:
    """What was learnt of the person in a case, newest first.

    What rests on evidence that is gone or out of sight is left out.
    """
    case = request.path_params["case"]
    visitor, _ = await require_role(request, f"case:{case}", "viewer", "case")
    page, parts, user = query(request, PageOfItems), parts_of(request), visitor.person.id
    now = time.time()
    found = learnt(await parts.attention.kept(case, user, now), now)
    votes = await parts.attention.votes(case, user)
    places = await parts.attention.places(case, [one.node for one in found] + [one.node for one in votes])
    items = [_item(one, places[one.node]) for one in found if one.node in places]
    items += [
        _view("vote", places[one.node], one.at, float(one.value), float(one.value), one.query)
        for one in votes
        if one.node in places
    ]
    items.sort(key=lambda item: (-item["at"], item["node"], item["what"]))
    return Json({"items": items[page.after : page.after + page.limit], "total": len(items)})


@operation("viewer", status=204)
async def forget_case_learnt(request: Request) -> Response:
    """Delete all that was learnt of the person in a case; votes stay."""
    case = request.path_params["case"]
    visitor, _ = await require_role(request, f"case:{case}", "viewer", "case")
    await parts_of(request).attention.forget_all(visitor.person.id, case)
    return nothing()


@operation("viewer", status=204)
async def forget_learnt(request: Request) -> Response:
    """Undo one thing that was learnt; a vote is taken back, as in its question."""
    case, what, node = request.path_params["case"], request.path_params["what"], number(request, "node")
    visitor, role = await require_role(request, f"case:{case}", "viewer", "case")
    parts, user = parts_of(request), visitor.person.id
    if what == "vote":
        await _take_back(parts, case, user, role, node)
        return nothing()
    sort: Sort | None = next((one for one in NOTED if one == what), None)
    if sort is None or not await parts.attention.forget(case, user, node, NOTED[sort]):
        raise Missing("nothing of the kind was learnt there; load the page again to see what is")
    return nothing()


async def _take_back(parts: Parts, case: str, user: str, role: Role, node: int) -> None:
    """By the question it was cast in, which then shows it no more; by itself where that is gone.

    Raises:
        Missing: There is no such vote.
    """
    standing = next((one for one in await parts.attention.votes(case, user) if one.node == node), None)
    if standing is None:
        raise Missing("there is no such vote of yours; load the page again to see what is")
    if await parts.engine.topic_of(standing.query) == f"case:{case}":
        try:
            await parts.engine.send(
                standing.query, "vote", {"node": node, "value": 0}, source="client", actor=user, role=role
            )
            return
        except (StepError, MachineMissing):
            pass  # it takes votes no more: the vote outlived it
    effect = f"undo:{uuid4().hex}"
    tally = await parts.votes.record(case, user, node, 0, query=standing.query, effect=effect, at=time.time())
    await recount(
        case,
        await parts.query_graphs.newest(case),
        tally,
        effect,
        graph=parts.graph,
        graphs=parts.query_graphs,
        attention=parts.attention,
        load=parts.engine.load,
        send=sender_of(parts.engine),
        case_machine=parts.cases.machine,
    )


def _item(one: Learnt, place: NodePlace) -> dict[str, Any]:
    return _view(one.what, place, one.at, one.full, one.weight, "")


def _view(what: str, place: NodePlace, at: float, full: float, weight: float, asked: str) -> dict[str, Any]:
    return {
        "what": what,
        "node": place.node,
        "kind": place.what,
        "evidence": place.evidence,
        "title": place.title,
        "page": place.page,
        "start": place.start,
        "end": place.end,
        "said": place.said,
        "at": at,
        "full": full,
        "weight": round(weight, 4),
        "query": asked,
    }


routes = [
    Route("/api/learnt", get_learnt, methods=["GET"]),
    Route("/api/learnt", turn_learning, methods=["PUT"]),
    Route("/api/learnt", forget_everything, methods=["DELETE"]),
    Route("/api/cases/{case}/learnt", list_learnt, methods=["GET"]),
    Route("/api/cases/{case}/learnt", forget_case_learnt, methods=["DELETE"]),
    Route("/api/cases/{case}/learnt/{what}/{node}", forget_learnt, methods=["DELETE"]),
]
