"""Who may do what: every visitor at every route and with every message, as the tables declare it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, get_args

import httpx
import pytest
import pytest_asyncio

from machines.chart import events_of, spawner
from machines.event import Event, Role, at_least
from machines.step import CHARTS
from server.auth import SAFE_METHODS
from server.errors import Close
from server.messages import AnyRequest
from server.openapi import Described, described
from server.routes import ROUTES
from server.services import Services
from storage.same_as import Pair
from tests.patience import PATIENCE_S
from tests.server.contents import HOOK_URL, dead_letter
from tests.server.live import PASSWORD, TRUSTED
from tests.server.visitors import KINDS, Kind, World, everybody_anew

Change = Callable[[World], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class Ask:
    """A request that succeeds for whoever may make it.

    Attributes:
        prepare: Run first; ids that it returns take the place of the world's.
        refused: Status and code for whoever may ask, where something else than a right is missing.
        headers: Besides the proof.
        alone: Made without any proof, since its answer would replace the login.
    """

    body: Any = None
    content: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    prepare: Change | None = None
    refused: tuple[int, str] | None = None
    alone: bool = False


async def _new_upload(world: World) -> dict[str, Any]:
    topic = f"case:{world.contents.ids['case']}"
    made = await world.live.parts.engine.spawn("upload", topic, {"filename": "b.txt"})
    return {"machine": made.machine}


async def _new_transfer(world: World) -> dict[str, Any]:
    path = f"/api/cases/{world.contents.ids['case']}/tus"
    made = await world.people["owner"].call("POST", path, headers=TUS | NEW_UPLOAD)
    return {"upload": made.headers["location"].rpartition("/")[2]}


async def _new_poi(world: World) -> dict[str, Any]:
    poi = await world.live.parts.pois.add(world.contents.ids["case"], "Eve Example", [], "")
    return {"poi": poi.id}


async def _new_member(world: World) -> dict[str, Any]:
    leaver = world.people["leaver"]
    await world.live.parts.cases.set_member(world.contents.ids["case"], leaver.email, "viewer")
    return {"user": leaver.id}


async def _new_webhook(world: World) -> dict[str, Any]:
    topic, url = world.contents.ids["topic"], HOOK_URL
    made = await world.people["owner"].call("POST", "/api/webhooks", {"topic": topic, "url": url})
    return {"webhook": made.json()["id"]}


async def _new_letter(world: World) -> dict[str, Any]:
    return {"letter": await dead_letter(world.live, world.contents.ids["webhook"])}


async def _new_verdict(world: World) -> dict[str, Any]:
    ids = world.contents.ids
    pair = Pair.of(ids["entity"], poi=ids["poi"])
    judged = await world.live.parts.same_names.judge(ids["case"], pair, "unsure", [], "somebody")
    return {"verdict": judged.id}


async def _no_token(world: World) -> dict[str, Any]:
    return {"token": "0123456789abcdef"}


async def _no_conversation(world: World) -> dict[str, Any]:
    return {"conversation": "query-0-none"}


async def _not_learnt(world: World) -> dict[str, Any]:
    return {"what": "read", "node": world.contents.ids["evidence"]}


async def _new_account(world: World) -> dict[str, Any]:
    world.contents.ids["email"] = f"{token_hex(4)}@example.org"
    return {}


TUS = {"Tus-Resumable": "1.0.0"}
NEW_UPLOAD = {"Upload-Length": "10", "Upload-Metadata": "filename YS50eHQ="}
FIRST_BYTES = TUS | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}

POI = {"name": "Ada Example"}
ASKS: dict[str, Ask] = {
    "POST /api/register": Ask(
        {"email": "{email}", "name": "New", "password": PASSWORD}, prepare=_new_account, alone=True
    ),
    "POST /api/login": Ask({"email": "owner@example.org", "password": PASSWORD}, alone=True),
    "POST /api/tokens": Ask({"name": "another", "scopes": ["read"]}),
    "POST /api/cases": Ask({"title": "Another"}),
    "PUT /api/cases/{case}/members": Ask({"email": "leaver@example.org", "role": "viewer"}),
    "DELETE /api/cases/{case}/members/{user}": Ask(prepare=_new_member),
    "POST /api/cases/{case}/pois": Ask(POI),
    "PUT /api/cases/{case}/pois/{poi}": Ask(POI),
    "DELETE /api/cases/{case}/pois/{poi}": Ask(prepare=_new_poi),
    # Who began one matters, too; what is not there is missing to all.
    "PUT /api/cases/{case}/conversations/{conversation}": Ask(
        {"name": "Money"}, prepare=_no_conversation, refused=(404, "not_found")
    ),
    "DELETE /api/cases/{case}/conversations/{conversation}": Ask(
        prepare=_no_conversation, refused=(404, "not_found")
    ),
    "POST /api/cases/{case}/shown": Ask({"query": "query-0-none", "nodes": [1]}, refused=(404, "not_found")),
    "PUT /api/learnt": Ask({"on": True}),
    "DELETE /api/cases/{case}/learnt/{what}/{node}": Ask(prepare=_not_learnt, refused=(404, "not_found")),
    "POST /api/cases/{case}/suggested-names/verdicts": Ask(
        {"entity": "{entity}", "poi": "{poi}", "verdict": "unsure"}
    ),
    "DELETE /api/cases/{case}/suggested-names/verdicts/{verdict}": Ask(prepare=_new_verdict),
    "PUT /api/entities/{entity}": Ask({"status": "accepted"}),
    "POST /api/cases/{case}/attention": Ask({"what": "view", "node": "{evidence}"}),
    "POST /api/cases/{case}/uploads": Ask({"filename": "c.txt"}),
    # An upload is no search, which is said to those alone who might have one.
    "GET /api/detective/{machine}/findings": Ask(refused=(404, "not_found")),
    "PUT /api/uploads/{machine}/content": Ask(content=b"Something else.", prepare=_new_upload),
    # Here files come through the server, which is said to those alone who might send any.
    "POST /api/uploads/{machine}/multipart": Ask({"bytes": 5}, refused=(404, "not_found")),
    "DELETE /api/uploads/{machine}/multipart": Ask(refused=(404, "not_found")),
    "POST /api/uploads/{machine}/multipart/complete": Ask(refused=(404, "not_found")),
    "POST /api/cases/{case}/tus": Ask(headers=TUS | NEW_UPLOAD),
    "HEAD /api/tus/{upload}": Ask(headers=TUS, prepare=_new_transfer),
    "PATCH /api/tus/{upload}": Ask(content=b"12345", headers=FIRST_BYTES, prepare=_new_transfer),
    "DELETE /api/tus/{upload}": Ask(headers=TUS, prepare=_new_transfer),
    "POST /api/tus/{upload}": Ask(
        content=b"12345",
        headers=FIRST_BYTES | {"X-HTTP-Method-Override": "PATCH"},
        prepare=_new_transfer,
    ),
    # A text has no pictures, which is said to those alone who may read it.
    "GET /api/evidence/{evidence}/pages/{page}.webp": Ask(refused=(404, "picture.none")),
    "GET /api/evidence/{evidence}/thumbnail": Ask(refused=(404, "picture.none")),
    # Somebody edits the same before, so that a number that was right for one is wrong for the next.
    "PUT /api/evidence/{evidence}/title": Ask({"title": "a.txt", "if_version": 0}),
    "PUT /api/evidence/{evidence}/summary": Ask(
        {"restore": 7, "if_version": 0}, refused=(404, "edit.unknown")
    ),
    "PUT /api/evidence/{evidence}/tags": Ask({"tags": [], "if_version": 0}),
    # There is nothing to unlock, which is said to those alone who might.
    "POST /api/uploads/{machine}/unlock": Ask({"password": "sesame"}, refused=(409, "event.not_allowed")),
    "POST /api/cases/{case}/imports": Ask({"title": "Another folder"}),
    "POST /api/imports/{import}/manifest": Ask({"files": []}),
    "POST /api/imports/{import}/batch": Ask(content=b"{}\n", refused=(422, "batch.invalid")),
    "POST /api/imports/{import}/failed": Ask({"files": [{"file": 1, "reason": "gone"}]}),
    "POST /api/webhooks": Ask({"topic": "{topic}", "url": HOOK_URL}),
    "DELETE /api/webhooks/{webhook}": Ask(prepare=_new_webhook),
    "POST /api/webhooks/{webhook}/replay": Ask({"offset": 0}),
    "DELETE /api/webhooks/{webhook}/dead-letters/{letter}": Ask(prepare=_new_letter),
    "PUT /api/cases/{case}/models": Ask({"host": "nobody:1"}, refused=(409, "request.conflict")),
    "DELETE /api/cases/{case}/models": Ask({"host": "nobody:1"}),
    "DELETE /api/tokens/{token}": Ask(prepare=_no_token, refused=(404, "not_found")),
}
"""By method and path; what is not here needs neither body nor preparation."""

OPERATIONS = {f"{one.method} {one.path}": one for one in described(ROUTES)}

Refusal = tuple[int, str]


def refusal(one: Described, kind: Kind) -> Refusal | None:
    """How the tables say that a visitor is refused; None for whoever may."""
    access, unsafe = one.operation.access, one.method not in SAFE_METHODS
    if access == "public":
        return None
    if not kind.person:
        return 401, "auth.required"
    if unsafe and not kind.writes:
        return 403, "scope.too_small"
    match access:
        case "login":
            return None
        case "session":
            return None if kind.scopes is None else (403, "login.needed")
        case "self":
            return (403, "scope.too_small") if kind.elsewhere else None
        case "admin":
            return None if kind.administers else (403, "admin.needed")
        case role:
            return _short_of(role, kind.role_on("case"))


def _short_of(needed: Role, role: Role | None) -> Refusal | None:
    if role is None:
        return 404, "not_found"
    return None if at_least(role, needed) else (403, "role.too_small")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(services: Services, _migrated: str) -> AsyncIterator[World]:
    """One server for all cells: none of them leaves anything behind that another one meets."""
    async with everybody_anew(services, _migrated) as made:
        yield made


def test_every_request_of_the_table_belongs_to_an_operation() -> None:
    assert ASKS.keys() <= OPERATIONS.keys()
    assert {label for label, one in OPERATIONS.items() if one.operation.body} <= ASKS.keys()


@pytest.mark.parametrize("label", OPERATIONS)
async def test_every_route_lets_in_whom_it_declares_and_nobody_else(world: World, label: str) -> None:
    one, ask = OPERATIONS[label], ASKS.get(label, Ask())
    wrong = {}
    # Where no proof is shown all visitors are the same, and hashing a password takes its time.
    for visitor, kind in list(KINDS.items())[: 1 if ask.alone else None]:
        ids = world.contents.ids | (await ask.prepare(world) if ask.prepare else {})
        async with _door(world, visitor, alone=ask.alone, leaving=label == "POST /api/logout") as http:
            told = await _asked(http, one, ask, ids)
        refused = refusal(one, kind)
        if refused and one.method == "HEAD":
            refused = refused[0], ""
        fine = {(one.operation.status, ""), *((status, "") for status in one.operation.also)}
        expected = {refused} if refused else {ask.refused} if ask.refused else fine
        if told not in expected:
            wrong[visitor] = f"got {told}, declared {expected}"
    assert not wrong


@asynccontextmanager
async def _door(
    world: World, visitor: str, *, alone: bool, leaving: bool
) -> AsyncIterator[httpx.AsyncClient]:
    """A visitor's client; for a logout one with a login of its own, so that the others last."""
    at_door = world.visitors[visitor]
    if alone:
        async with httpx.AsyncClient(base_url=world.live.url, verify=TRUSTED, timeout=PATIENCE_S) as http:
            yield http
    elif leaving and at_door.person is not None and at_door.kind.scopes is None:
        async with world.live.person(at_door.kind.person, login=False) as person:
            await person.login()
            person.http.headers["X-CSRF-Token"] = person.csrf
            yield person.http
    else:
        yield at_door.http


async def _asked(http: httpx.AsyncClient, one: Described, ask: Ask, ids: dict[str, Any]) -> tuple[int, str]:
    """Status and code of the answer; no code for success."""
    given: dict[str, Any] = {"headers": ask.headers}
    if ask.content is not None:
        given["content"] = ask.content
    if ask.body is not None:
        given["json"] = {key: _filled(value, ids) for key, value in ask.body.items()}
    async with http.stream(one.method, one.path.format(**ids), **given) as response:
        if response.is_success:  # perhaps without an end
            return response.status_code, ""
        await response.aread()
        # What is asked with HEAD has no body.
        code = str(response.json()["code"]) if one.method != "HEAD" else ""
        return response.status_code, code


def _filled(value: Any, ids: dict[str, Any]) -> Any:
    known = isinstance(value, str) and value.startswith("{")
    return ids[value.strip("{}")] if known else value


PLACES = ("case", "user", "system")
HOMES = {kind: chart.spawn_topics[0] for kind, chart in CHARTS.items()}
"""By kind: the place where the world has a machine of it."""

DATA = {"import": {"title": "Boxes"}, "query": {"question": "Who signed?"}, "upload": {"filename": "d.txt"}}
SOCKETS = {name: kind for name, kind in KINDS.items() if kind.person}


def _topic(world: World, place: str) -> str:
    if place == "system":
        return place
    return f"case:{world.contents.ids['case']}" if place == "case" else f"user:{world.people['owner'].id}"


async def _told(world: World, visitor: str, request: str, **fields: Any) -> str:
    """The code of the reply; `ok` for none."""
    wire = world.visitors[visitor].wire
    assert wire is not None
    reply = await wire.ask(request, **fields)
    return "ok" if reply["type"] == "ok" else str(reply["code"])


def test_the_matrix_knows_every_message_of_the_websocket() -> None:
    kinds = get_args(get_args(AnyRequest)[0])
    names = {get_args(kind.model_fields["type"].annotation)[0] for kind in kinds}
    assert names == {"subscribe", "unsubscribe", "spawn", "send", "ping"}


async def test_nobody_is_given_a_socket(world: World) -> None:
    async with world.live.person("nobody", login=False) as nobody, nobody.socket() as wire:
        assert await wire.close_code() == Close.UNAUTHENTICATED


@pytest.mark.parametrize("place", PLACES)
async def test_a_topic_is_followed_by_whom_it_concerns_and_left_by_everybody(
    world: World, place: str
) -> None:
    wrong = {}
    for visitor, kind in SOCKETS.items():
        told = await _told(world, visitor, "subscribe", topic=_topic(world, place))
        if told != ("ok" if kind.role_on(place) else "not_found"):
            wrong[visitor] = told
        for request, fields in (("unsubscribe", {"topic": _topic(world, place)}), ("ping", {})):
            assert await _told(world, visitor, request, **fields) == "ok"
    assert not wrong


@pytest.mark.parametrize("chart", CHARTS)
async def test_a_machine_is_spawned_by_whom_its_chart_declares(world: World, chart: str) -> None:
    source, least = spawner(CHARTS[chart])
    data, wrong = DATA.get(chart, {}), {}
    for visitor, kind in SOCKETS.items():
        for place in PLACES:
            role = kind.role_on(place)
            if not kind.writes:
                expected = "scope.too_small"
            elif role is None:
                expected = "not_found"
            elif source != "client" or not at_least(role, least) or place not in CHARTS[chart].spawn_topics:
                expected = "event.forbidden"
            else:
                expected = "ok"
            told = await _told(world, visitor, "spawn", kind=chart, topic=_topic(world, place), data=data)
            if told != expected:
                wrong[visitor, place] = f"got {told}, declared {expected}"
    assert not wrong


@pytest.mark.parametrize("chart", CHARTS)
async def test_an_event_is_taken_from_whom_its_chart_declares(world: World, chart: str) -> None:
    events: dict[str, type[Event] | None] = {**events_of(CHARTS[chart]), "no_such_event": None}
    wrong = {}
    for visitor, kind in SOCKETS.items():
        role = kind.role_on(HOMES[chart])
        for name, event in events.items():
            if not kind.writes:
                expected = "scope.too_small"
            elif role is None:
                expected = "not_found"
            elif event is None:
                expected = "event.unknown"
            elif event.source != "client" or not at_least(role, event.role):
                expected = "event.forbidden"
            else:
                # The payload fits no event: whoever has the right is told of that, and nothing changes.
                expected = "event.payload"
            machine = world.contents.machines[chart]
            told = await _told(world, visitor, "send", machine=machine, event=name, data={"no such field": 1})
            if told != expected:
                wrong[visitor, name] = f"got {told}, declared {expected}"
    assert not wrong
