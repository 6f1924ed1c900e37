"""JSON in and out of HTTP: a body becomes a checked model, a value becomes a response."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from server.errors import Invalid, TooLarge
from storage.request_keys import Once

KEY_LETTERS = 200
"""Of an `Idempotency-Key`."""

BODY_BYTES = 256 * 1024
"""Largest JSON body; files are streamed elsewhere."""


class Body(BaseModel):
    """What a request may say; a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


M = TypeVar("M", bound=BaseModel)


async def read(request: Request, model: type[M], *, most_bytes: int = BODY_BYTES) -> M:
    """The request's body as a model.

    Raises:
        TooLarge: It is larger than `most_bytes`.
        Invalid: It is not JSON by its content type, or does not fit the model.
    """
    # Another site's form cannot send this type without asking first, which it is never allowed.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Invalid("the body must be JSON, with content type application/json")
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > most_bytes:
            raise TooLarge(f"the body is larger than {most_bytes} bytes")
    try:
        value = model.model_validate_json(bytes(body))
    except ValidationError as error:
        raise Invalid.of(error) from error
    refuse_nul(value.model_dump())
    return value


def repeatable(request: Request, user: str, body: BaseModel) -> Once | None:
    """How a repeat of this request is recognised; None where its client gave no `Idempotency-Key`.

    Raises:
        Invalid: The key is empty, too long, or holds what a header should not.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= KEY_LETTERS or not key.isascii() or not key.isprintable():
        raise Invalid(f"Idempotency-Key must hold 1 to {KEY_LETTERS} printable ASCII characters")
    asked = f"{request.method} {request.url.path}\n{body.model_dump_json()}"
    return Once(user, key, sha256(asked.encode()).hexdigest())


def refuse_nul(value: Any) -> None:
    """Refuse the one character that PostgreSQL stores in no text, wherever it stands.

    Raises:
        Invalid: A text in `value`, a tree of JSON values, holds it.
    """
    if isinstance(value, str):
        if "\0" in value:
            raise Invalid("texts must not hold the character NUL")
    elif isinstance(value, dict):
        for key, inner in value.items():
            refuse_nul(key)
            refuse_nul(inner)
    elif isinstance(value, list):
        for inner in value:
            refuse_nul(inner)


def query(request: Request, model: type[M]) -> M:
    """The request's query parameters as a model.

    Raises:
        Invalid: They do not fit.
    """
    try:
        value = model.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise Invalid.of(error) from error
    refuse_nul(value.model_dump())
    return value


def number(request: Request, name: str) -> int:
    """A path parameter that must be an id."""
    value = request.path_params[name]
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise Invalid(f"{name} must be a number")
    return int(value)


class Json(Response):
    """Any value of plain dictionaries, dataclasses and times; never cached."""

    media_type = "application/json"

    def __init__(self, value: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(value, status_code, {"Cache-Control": "no-store"} | dict(headers or {}))

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


def nothing() -> Response:
    """Done, and nothing to say."""
    return Response(status_code=204)
