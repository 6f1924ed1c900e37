"""The description of the API says what the running server does, no more and no less."""

from __future__ import annotations

import ast
import copy
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import pytest_asyncio
import schemathesis
from openapi_spec_validator import validate
from redis.asyncio import Redis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

import server
from server.faults import codes
from server.openapi import described, description
from server.routes import ROUTES
from server.routes_streams import MEDIA_TYPE
from server.services import Services
from server.settings import Settings
from server.tus import MEDIA_TYPE as TUS_MEDIA_TYPE
from tests.server.beside import beside
from tests.server.contents import Contents, fill, with_webhooks
from tests.server.live import Live, Person, running

# The server under test runs in this process and draws its pauses from `random` while strategies are drawn.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"
)

API = ("/api/", "/streams/", "/healthz", "/metrics")
"""How the paths of the API begin; all others are those of the browser's files."""

ANSWERED_S = 60.0
"""Nothing here is about speed; hashing a password on a busy machine takes a while."""
LONGEST_S = 1800.0
"""For all requests of one operation, some thirty."""

WITHOUT_MADE_UP_CREDENTIALS = SchemathesisConfig(
    projects=ProjectsConfig(
        default=ProjectConfig(generation=GenerationConfig(with_security_parameters=False))
    )
)


@schemathesis.serializer(TUS_MEDIA_TYPE)
def octets(_: Any, value: Any) -> Any:
    """Bytes as they are."""
    return value


ENDING_LOGINS = ("POST /api/login", "POST /api/logout", "POST /api/register")

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def test_every_route_of_the_api_is_described_and_nothing_else_is() -> None:
    there = {
        (method, route.path)
        for route in ROUTES
        if isinstance(route, Route) and route.path.startswith(API)
        for method in (route.methods or set()) - ({"HEAD"} if "GET" in (route.methods or set()) else set())
    }
    told = {(one.method, one.path) for one in described(ROUTES)}
    assert told == there


def test_the_description_is_valid_openapi_and_names_no_operation_twice() -> None:
    document = description(ROUTES, "http://127.0.0.1:8000")
    validate(document)
    names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert sorted(names) == sorted(set(names))


def test_every_code_that_is_given_where_an_error_is_raised_is_described() -> None:
    told = {code for some in codes().values() for code in some}
    raised = set(_codes_raised())
    assert raised
    assert raised <= told


@pytest_asyncio.fixture(loop_scope="session")
async def live(
    settings: Settings, services: Services, redis_client: Redis, database: str
) -> AsyncIterator[Live]:
    """A server on emptied stores, which may call webhooks."""
    async with running(with_webhooks(settings), services) as started:
        yield started


async def test_the_description_is_served_to_everybody(live: Live) -> None:
    async with live.person(login=False) as nobody:
        document = (await nobody.http.get("/api/openapi.json")).json()
    assert document == description(ROUTES, live.url)


# Hundreds of requests one after the other, which only `beside` may end.
@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
async def test_the_server_answers_as_described_whatever_is_asked(live: Live, mode: GenerationMode) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        contents = await fill(live, ann, bob)
        document = closed((await ann.http.get("/api/openapi.json")).json())
        failures = []
        # What others need is ended after them.
        labels = sorted(_labels(document), key=lambda label: label.startswith("DELETE "))
        for label in sorted(labels, key=ENDING_LOGINS.__contains__):
            if label in ENDING_LOGINS:
                await ann.login()
            fuzz = partial(_fuzz, document, label, mode, ann, contents)
            failures += await beside(fuzz, within_s=LONGEST_S)
    assert not failures, "\n\n".join(failures)


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """The document, strict: an answer holds no field that is not described."""
    strict = copy.deepcopy(document)
    bodies = {
        content["schema"].get("$ref", "").rpartition("/")[2]
        for path in strict["paths"].values()
        for operation in path.values()
        for content in operation.get("requestBody", {}).get("content", {}).values()
    }
    for name, schema in strict["components"]["schemas"].items():
        if name not in bodies | {"Problem"} and "properties" in schema:
            schema["additionalProperties"] = False
    return strict


def _labels(document: dict[str, Any]) -> Iterator[str]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if any(MEDIA_TYPE in one.get("content", {}) for one in operation["responses"].values()):
                continue  # it has no end
            yield f"{method.upper()} {path}"


def _fuzz(
    document: dict[str, Any],
    label: str,
    mode: GenerationMode,
    person: Person,
    contents: Contents,
    look: Callable[[], None],
) -> list[str]:
    """What is wrong with the answers to so many requests, of each kind of addresses; see `beside`."""
    method, path = label.split(" ")
    api = schemathesis.openapi.from_dict(document, config=WITHOUT_MADE_UP_CREDENTIALS)
    operation = api[path][method]
    cookies = dict(person.http.cookies)
    headers = {"X-CSRF-Token": person.csrf}
    failures: list[str] = []
    for known in ({}, contents.parameters(path)) if "{" in path else ({},):
        if mode is GenerationMode.NEGATIVE and not _may_be_wrong(
            document["paths"][path][method.lower()], known
        ):
            continue
        strategy = operation.as_strategy(generation_mode=mode, path_parameters=known or None)

        @hypothesis.settings(
            max_examples=15,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
        )
        @hypothesis.given(case=strategy)
        def ask(case: Any) -> None:
            look()
            response = case.call(
                base_url=person.live.url, headers=headers, cookies=cookies, timeout=ANSWERED_S
            )
            case.validate_response(response, checks=CHECKS)

        try:
            ask()
        except hypothesis.errors.Unsatisfiable:
            continue  # nothing about this operation can be wrong
        except BaseExceptionGroup as error:
            failures.append(f"{label} {mode.value}: {_all(error)}")
    return failures


def _may_be_wrong(operation: dict[str, Any], known: dict[str, Any]) -> bool:
    """Whether a request has anything that can be wrong; looking for it in vain takes hundreds of tries."""
    free = [one for one in operation.get("parameters", ()) if one["name"] not in known]
    return "application/json" in operation.get("requestBody", {}).get("content", {}) or any(
        one["in"] != "path" or one["schema"] != {"type": "string", "minLength": 1} for one in free
    )


def _all(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "\n".join(_all(inner) for inner in error.exceptions)
    return f"{type(error).__name__}: {error}"[:1500]


def _codes_raised() -> Iterator[str]:
    for file in Path(server.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                for keyword in node.exc.keywords:
                    if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                        yield str(keyword.value.value)
