"""Every refusal over HTTP is a problem document, and every page carries its headers."""

from __future__ import annotations

import httpx
import pytest
from redis.exceptions import ConnectionError as RedisDown
from sqlalchemy.exc import OperationalError

from machines.errors import NotAllowed
from server.errors import ServerError, TooMany
from server.faults import ANSWERS, fault_of
from server.headers import content_security_policy
from server.settings import Settings
from tests.patience import PATIENCE_S
from tests.server.live import TRUSTED, Live

FIELDS = {"type", "title", "status", "detail", "code", "temporary"}


def _subclasses(family: type[Exception]) -> set[type[Exception]]:
    return {family} | {below for sub in family.__subclasses__() for below in _subclasses(sub)}


def test_every_refusal_of_the_server_itself_has_its_place_in_the_table() -> None:
    assert _subclasses(ServerError) - {ServerError} <= ANSWERS.keys()


def test_what_is_not_in_the_table_is_a_fault_of_the_server_and_tells_nothing() -> None:
    fault = fault_of(KeyError("a secret"))
    assert (fault.status, fault.code, fault.expected) == (500, "internal", False)
    assert "secret" not in fault.detail


def test_a_service_that_is_down_is_temporary_and_says_so_without_its_address() -> None:
    for error in (RedisDown("at 10.0.0.1"), OperationalError("SELECT 1", {}, Exception("at 10.0.0.1"))):
        fault = fault_of(error)
        assert (fault.status, fault.temporary, fault.code) == (503, True, "service.unavailable")
        assert "10.0.0.1" not in fault.detail


def test_a_refused_event_tells_what_would_be_allowed() -> None:
    fault = fault_of(NotAllowed("no", event="close", states=["closed"], allowed=["reopen"]))
    assert (fault.status, fault.code, fault.allowed) == (409, "event.not_allowed", ("reopen",))


def test_waiting_is_told_in_a_header() -> None:
    assert fault_of(TooMany("wait", retry_after_s=7)).headers == {"Retry-After": "7"}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not_found"),
        ("PATCH", "/api/cases", 405, "http.method_not_allowed"),
        ("GET", "/api/cases", 401, "auth.required"),
        ("GET", "/api/status", 401, "auth.required"),
        ("GET", "/api/charts", 401, "auth.required"),
        ("POST", "/api/login", 422, "request.invalid"),
        ("GET", "/assets/../../pyproject.toml", 404, "not_found"),
        ("GET", "/assets/%2e%2e/%2e%2e/%2e%2e/pyproject.toml", 404, "not_found"),
    ],
)
async def test_refusals_are_problem_documents(
    live: Live, method: str, path: str, status: int, code: str
) -> None:
    async with httpx.AsyncClient(base_url=live.url, verify=TRUSTED, timeout=PATIENCE_S) as http:
        response = await http.request(method, path)
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem.keys() >= FIELDS
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code)


async def test_a_body_is_refused_with_the_field_that_does_not_fit(live: Live) -> None:
    async with live.person() as ann:
        wrong = await ann.call("POST", "/api/cases", {"title": "", "colour": "red"})
        assert wrong.status_code == 422
        assert "title" in wrong.json()["detail"]
        assert "colour" in wrong.json()["detail"]
        large = await ann.call("POST", "/api/cases", {"title": "x" * 300_000})
        assert (large.status_code, large.json()["code"]) == (413, "request.too_large")
        broken = await ann.call(
            "POST", "/api/cases", content=b"{", headers={"Content-Type": "application/json"}
        )
        assert broken.status_code == 422


async def test_the_character_that_postgres_cannot_store_is_refused(live: Live) -> None:
    async with live.person() as ann:
        response = await ann.call("POST", "/api/cases", {"title": "a\0b"})
        assert (response.status_code, response.json()["code"]) == (422, "request.invalid")


async def test_numbers_in_paths_are_numbers(live: Live) -> None:
    async with live.person() as ann:
        assert (await ann.http.get("/api/evidence/x")).status_code == 422
        assert (await ann.http.get("/api/evidence/99999999999999999999")).status_code == 422
        assert (await ann.http.get("/api/evidence/1")).status_code == 404


async def test_every_answer_carries_the_policy_that_keeps_strange_scripts_out(live: Live) -> None:
    async with httpx.AsyncClient(base_url=live.url, verify=TRUSTED, timeout=PATIENCE_S) as http:
        for path in ("/", "/api/session", "/api/nothing"):
            headers = (await http.get(path)).headers
            policy = headers["content-security-policy"]
            assert "script-src 'self' 'wasm-unsafe-eval';" in policy
            assert "'unsafe-eval'" not in policy
            assert f"connect-src 'self' {live.url.replace('http', 'ws', 1)}" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert "referrer-policy" in headers


def test_the_policy_lets_pages_connect_to_their_own_server_only(settings: Settings) -> None:
    public = settings.model_copy(update={"public_url": "https://cases.example.org"})
    connect = content_security_policy(public).partition("connect-src ")[2].partition(";")[0]
    assert connect == "'self' wss://cases.example.org"


async def test_health_tells_nothing_but_itself_without_a_login(live: Live) -> None:
    async with httpx.AsyncClient(base_url=live.url, verify=TRUSTED, timeout=PATIENCE_S) as http:
        answer = (await http.get("/healthz")).json()
    assert answer == {"ok": True}


async def test_the_status_names_what_runs_where_and_that_it_is_well(live: Live) -> None:
    async with live.person() as ann:
        status = (await ann.http.get("/api/status")).json()
    assert status["server"]["rss_bytes"] > 1 << 20
    assert {service["name"] for service in status["services"]} >= {"redis", "postgres"}
    assert all(service["ok"] for service in status["services"])
    assert set(status["queues"]) == {"cpu", "gpu"}
    assert (status["well"], status["problems"]) == (True, [])
    assert status["language_model"]["mode"] == "extractive"


async def test_charts_are_drawn_with_the_active_states_lit(live: Live) -> None:
    async with live.person() as ann:
        charts = {chart["kind"]: chart for chart in (await ann.http.get("/api/charts")).json()}
        assert {"case", "upload", "query", "notification"} <= charts.keys()
        drawn = (await ann.http.get("/api/charts/case.dot?active=closed")).text
        assert drawn.count('class="active"') == 1
        assert (await ann.http.get("/api/charts/case.mmd")).text.startswith("stateDiagram")
        assert (await ann.http.get("/api/charts/case.json")).json()["kind"] == "case"
        assert (await ann.http.get("/api/charts/nothing.dot")).json()["code"] == "chart.unknown"
        assert (await ann.http.get("/api/charts/case.gif")).status_code == 404
