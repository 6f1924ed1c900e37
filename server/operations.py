"""What an HTTP operation takes and answers, told beside its endpoint for the OpenAPI description."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

Access = Literal["public", "login", "self", "session", "viewer", "editor", "owner", "admin"]
"""Who may call.

`public`: anybody. `login`: whoever is logged in or brings an API token. `self`: the same, without
tokens that reach only some cases. `session`: only who has logged in, no token. `viewer`, `editor`,
`owner`: that role on the topic concerned. `admin`: an administrator, or their token of that scope.
An unsafe method needs a token of the scope `write` wherever a token is accepted.
"""


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
        media: Media type of the answer, or several separated by commas.
        errors: Statuses of refusal besides those that follow from the rest, such as 409.
        also: Statuses besides `status` whose content, if any, is not JSON, such as 206.
        repeatable: Whether it takes the header `Idempotency-Key`.
        paged: Whether the header `Link` leads to a next page.
    """

    access: Access
    answer: Any = None
    status: int = 200
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    raw: str = ""
    media: str = "application/json"
    errors: tuple[int, ...] = ()
    also: tuple[int, ...] = ()
    repeatable: bool = False
    paged: bool = False


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
    errors: tuple[int, ...] = (),
    also: tuple[int, ...] = (),
    repeatable: bool = False,
    paged: bool = False,
) -> Callable[[Endpoint], Endpoint]:
    """Describe the endpoint below; its docstring's first sentence is the summary."""

    def described(endpoint: Endpoint) -> Endpoint:
        told = Operation(access, answer, status, body, query, raw, media, errors, also, repeatable, paged)
        setattr(endpoint, _ATTRIBUTE, told)
        return endpoint

    return described


def operation_of(endpoint: Callable[..., Any]) -> Operation | None:
    """How an endpoint was described; None where it was not."""
    found: Operation | None = getattr(endpoint, _ATTRIBUTE, None)
    return found
