"""API tokens of the person who is logged in: made, listed, revoked."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, Field, FutureDatetime
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from server.auth import require_login
from server.bodies import Body, Json, nothing, read
from server.errors import Denied, Missing
from server.operations import operation
from server.parts import parts_of
from storage.tokens import Scope, TokenRow

CaseId = Annotated[str, Field(min_length=1, max_length=80)]


class NewToken(Body):
    """A token to be made; `cases` restricts it to some of the person's cases, null to none."""

    name: str = Field(min_length=1, max_length=200)
    scopes: Annotated[set[Scope], Field(min_length=1)]
    cases: Annotated[list[CaseId], Field(min_length=1, max_length=1000)] | None = None
    expires_at: Annotated[AwareDatetime, FutureDatetime] | None = None


class TokenView(TypedDict):
    """A token as its owner sees it; the secret is told once, when it is made."""

    id: str
    name: str
    scopes: list[Scope]
    cases: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None


class MadeToken(TokenView):
    """A token that was just made, with its secret."""

    secret: str


@operation("session", answer=list[TokenView])
async def list_tokens(request: Request) -> Response:
    """The visitor's tokens, newest first, expired ones too."""
    visitor = await require_login(request)
    rows = await parts_of(request).tokens.store.of_user(visitor.person.id)
    return Json([_view(row) for row in rows])


@operation("session", answer=MadeToken, status=201, body=NewToken, errors=(404, 409))
async def make_token(request: Request) -> Response:
    """Make a token, and tell its secret this once."""
    visitor = await require_login(request)
    parts = parts_of(request)
    body = await read(request, NewToken)
    if "admin" in body.scopes and not visitor.person.is_admin:
        raise Denied("only an administrator's token can have the scope admin", code="admin.needed")
    for case in body.cases or ():
        if await parts.rights.role_for(visitor, f"case:{case}") is None:
            raise Missing("there is no such case")
    secret, row = await parts.tokens.make(
        visitor.person.id,
        body.name,
        scopes=sorted(body.scopes),
        cases=body.cases,
        expires_at=body.expires_at,
    )
    return Json(_view(row) | {"secret": secret}, 201)


@operation("session", status=204)
async def revoke_token(request: Request) -> Response:
    """End a token, here and on the sockets that it opened."""
    visitor = await require_login(request)
    parts = parts_of(request)
    await parts.tokens.store.revoke(visitor.person.id, request.path_params["token"])
    await parts.rights.announce(visitor.person.id)
    return nothing()


def _view(row: TokenRow) -> dict[str, object]:
    return {key: value for key, value in asdict(row).items() if key != "user_id"}


routes = [
    Route("/api/tokens", list_tokens, methods=["GET"]),
    Route("/api/tokens", make_token, methods=["POST"]),
    Route("/api/tokens/{token}", revoke_token, methods=["DELETE"]),
]
