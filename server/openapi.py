"""The description of the HTTP API in OpenAPI 3.1, made from the routes and the models beside them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, TypeAdapter
from starlette.routing import BaseRoute, Route

from server.auth import COOKIE, CSRF_HEADER, SAFE_METHODS
from server.bodies import KEY_LETTERS
from server.faults import codes, phrase_of
from server.operations import Access, Operation, operation_of

Schema = dict[str, Any]

_REF = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")

_NUMBER: Schema = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
_NUMBERS = frozenset({"evidence", "entity", "letter", "poi"})
"""Path parameters that are whole numbers; all others are text."""

_SECURITY: dict[Access, tuple[str, ...]] = {"public": (), "session": ("session",)}
"""Which proofs an access takes; both where it is not named here."""

_DESCRIPTION = """\
Requests and answers are JSON. A refusal is `application/problem+json` with a stable `code`; `temporary`
tells whether the same request may succeed later. Whoever may not know of a thing is told that there is
none (404). Browsers log in and are known by a cookie; their unsafe requests carry the token of
`/api/session` in `X-CSRF-Token`. Programs bring an API token as `Authorization: Bearer`, which is made
at `/api/tokens`; where both are given, the bearer counts. Everything that changes is pushed over the
websocket `/ws`, subprotocol `casewire.v1.json`."""


@dataclass(frozen=True)
class Described:
    """One method of one path, with how it was described."""

    method: str
    path: str
    endpoint: Callable[..., Any]
    operation: Operation


def described(routes: Sequence[BaseRoute]) -> Iterator[Described]:
    """The operations of those routes whose endpoints carry one, in the order of the routes."""
    for route in routes:
        told = operation_of(route.endpoint) if isinstance(route, Route) else None
        if told is None or not isinstance(route, Route):
            continue
        path = _PARAMETER.sub(r"{\1}", route.path)
        methods = route.methods or set()
        for method in sorted(methods - {"HEAD"} if "GET" in methods else methods):
            yield Described(method, path, route.endpoint, told)


def description(routes: Sequence[BaseRoute], server: str) -> Schema:
    """The whole document, as JSON values.

    Args:
        server: Address at which the paths begin.
    """
    operations = list(described(routes))
    schemas, components = _schemas(operations)
    paths: dict[str, Schema] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Casewire", "version": version("casewire"), "description": _DESCRIPTION},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "schemas": components | {"Problem": _PROBLEM},
            "responses": {str(status): _refusal(status, some) for status, some in codes().items()},
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
                "csrf": {"type": "apiKey", "in": "header", "name": CSRF_HEADER},
                "token": {"type": "http", "scheme": "bearer", "description": "An API token, `cw_…`."},
            },
        },
    }


_PROBLEM: Schema = {
    "type": "object",
    "description": "A refusal (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "temporary"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For people."},
        "code": {"type": "string", "description": "For programs; it does not change."},
        "temporary": {"type": "boolean", "description": "The same request may succeed later."},
        "allowed": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Events that the machine would take now.",
        },
        "current": {
            "type": "object",
            "required": ["version", "value"],
            "properties": {"version": {"type": "integer"}, "value": {}},
            "description": "What an edit was not made on top of.",
        },
    },
}


def _refusal(status: int, some: list[str]) -> Schema:
    problem = {"allOf": [{"$ref": _REF.format(model="Problem")}, {"properties": {"code": {"enum": some}}}]}
    return {
        "description": phrase_of(status),
        "content": {"application/problem+json": {"schema": problem}},
    }


def _schemas(operations: list[Described]) -> tuple[dict[int, Schema], dict[str, Schema]]:
    """By id of the type: what to write where a body or an answer is; and the components they name."""
    types: dict[int, tuple[Any, str]] = {}
    for one in operations:
        if one.operation.body is not None:
            types[id(one.operation.body)] = (one.operation.body, "validation")
        if one.operation.answer is not None:
            types[id(one.operation.answer)] = (one.operation.answer, "serialization")
    inputs: list[Any] = [(key, mode, TypeAdapter(kind)) for key, (kind, mode) in types.items()]
    found, definitions = TypeAdapter.json_schemas(inputs, ref_template=_REF)
    return {int(str(key)): schema for (key, _), schema in found.items()}, definitions.get("$defs", {})


def _operation(one: Described, schemas: dict[int, Schema]) -> Schema:
    told = one.operation
    summary, _, more = inspect.cleandoc(one.endpoint.__doc__ or "").partition("\n\n")
    written: Schema = {
        "operationId": one.endpoint.__name__,
        "summary": " ".join(summary.split()),
        "tags": [one.path.split("/")[2] if one.path.startswith("/api/") else "health"],
        "security": _security(one),
        "parameters": list(_parameters(one)),
        "responses": _responses(one, schemas),
        "x-access": told.access,
    }
    if more:
        written["description"] = more
    if told.body is not None:
        content: Schema = {"application/json": {"schema": schemas[id(told.body)]}}
        written["requestBody"] = {"required": True, "content": content}
    elif told.raw:
        content = {told.raw: {"schema": {"type": "string", "format": "binary"}}}
        written["requestBody"] = {"required": True, "content": content}
    return written


def _security(one: Described) -> list[Schema]:
    unsafe: Schema = {} if one.method in SAFE_METHODS else {"csrf": []}
    ways: dict[str, Schema] = {"session": {"session": [], **unsafe}, "token": {"token": []}}
    return [ways[way] for way in _SECURITY.get(one.operation.access, ("session", "token"))]


def _parameters(one: Described) -> Iterator[Schema]:
    for name in _PARAMETER.findall(one.path):
        schema = _NUMBER if name in _NUMBERS else {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if one.operation.query is not None:
        yield from _query(one.operation.query)
    if one.operation.repeatable:
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "A repeat within a day with the same key does nothing and gets the first answer.",
            "schema": {
                "type": "string",
                "minLength": 1,
                "maxLength": KEY_LETTERS,
                "pattern": "^[!-~]+$",
            },
        }


def _query(model: type[BaseModel]) -> Iterator[Schema]:
    schema = model.model_json_schema(ref_template=_REF)
    for name, field in schema["properties"].items():
        # What a field may be besides null: a parameter that is not given is not there.
        choices = [choice for choice in field.get("anyOf", []) if choice.get("type") != "null"]
        plain = {key: value for key, value in field.items() if key not in ("anyOf", "title", "default")}
        given = {**plain, **choices[0]} if len(choices) == 1 else plain
        if field.get("default") is not None:
            given["default"] = field["default"]
        yield {"name": name, "in": "query", "required": name in schema.get("required", []), "schema": given}


def _responses(one: Described, schemas: dict[int, Schema]) -> Schema:
    told = one.operation
    success: Schema = {"description": phrase_of(told.status)}
    if told.answer is not None:
        success["content"] = {told.media: {"schema": schemas[id(told.answer)]}}
    elif told.status != HTTPStatus.NO_CONTENT:
        success["content"] = {media.strip(): {} for media in told.media.split(",")}
    if told.paged:
        link = "Leads to the next page (rel=next); absent on the last one."
        success["headers"] = {"Link": {"description": link, "schema": {"type": "string"}}}
    responses: Schema = {str(told.status): success}
    for status in told.also:
        responses[str(status)] = {"description": phrase_of(status)}
    for status in sorted(_refusals(one)):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return responses


def _refusals(one: Described) -> set[int]:
    """Statuses of refusal that follow from what an operation takes, and those it names."""
    told, unsafe = one.operation, one.method not in SAFE_METHODS
    found = {503, *told.errors}
    if told.access != "public":
        found.add(401)
    if unsafe or told.access in ("self", "session", "editor", "owner", "admin"):
        found.add(403)
    if "{" in one.path:
        found |= {404, 422}
    if told.query is not None:
        found.add(422)
    if told.body is not None:
        found |= {413, 422}
    if told.repeatable:
        found.add(409)
    return found
