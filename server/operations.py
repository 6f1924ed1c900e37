"""What an HTTP operation takes and answers, told beside its endpoint for the OpenAPI description."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

Access = Literal["public", "login", "viewer", "editor", "owner", "admin"]
"""Who may call: anybody, whoever is logged in, a role on the topic concerned, an administrator."""


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes:
        access: Who may call it.
        answer: Type of the JSON answer, whatever pydantic's `TypeAdapter` takes; None for no content.
        status: Status of success.
        body: Model of the JSON body.
        query: Model of the query parameters.
        raw: Media type of a body that is not JSON.
        media: Media type of the answer.
    """

    access: Access
    answer: Any = None
    status: int = 200
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    raw: str = ""
    media: str = "application/json"


Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

_ATTRIBUTE = "casewire_operation"


def operation(
    access: Access,
    *,
    answer: Any = None,
    status: int = 200,
    body: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    raw: str = "",
    media: str = "application/json",
) -> Callable[[Endpoint], Endpoint]:
    """Describe the endpoint below; its docstring's first sentence is the summary."""

    def described(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ATTRIBUTE, Operation(access, answer, status, body, query, raw, media))
        return endpoint

    return described


def operation_of(endpoint: Callable[..., Any]) -> Operation | None:
    """How an endpoint was described; None where it was not."""
    found: Operation | None = getattr(endpoint, _ATTRIBUTE, None)
    return found
