"""Registering, logging in and out, and asking who one is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from server.auth import COOKIE, Visitor, check_origin, require_login, visitor_of
from server.bodies import Body, Json, nothing, read
from server.errors import Unauthenticated
from server.operations import operation
from server.parts import parts_of
from storage.people import Person, normal_email

Email = Annotated[str, StringConstraints(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]
Password = Annotated[str, StringConstraints(strip_whitespace=False, min_length=8, max_length=200)]


class Registration(Body):
    """A new account."""

    email: Email
    name: str = Field(min_length=1, max_length=200)
    password: Password


class Credentials(Body):
    """What opens an account."""

    email: Email
    password: Annotated[str, StringConstraints(strip_whitespace=False, max_length=200)]


class LoggedIn(TypedDict):
    """Who has just logged in, and what their unsafe requests must carry in `X-CSRF-Token`."""

    user: Person
    csrf: str


class SessionView(TypedDict):
    """Who is there; `csrf` is empty without a login. `registration` tells whether one may register."""

    user: Person | None
    csrf: str
    registration: Literal["open", "closed"]


@operation("public", answer=LoggedIn, status=201, body=Registration, errors=(403, 409, 429))
async def register(request: Request) -> Response:
    """Create an account and log in with it."""
    check_origin(request)
    parts = parts_of(request)
    body = await read(request, Registration)
    address = _address(request)
    await parts.registrations.begin(address)
    # An address that is taken stays counted as a failure, as it tells who has an account.
    person = await parts.people.register(
        body.email,
        body.name,
        await parts.passwords.hash(body.password),
        open_to_all=parts.settings.registration == "open",
    )
    await parts.registrations.succeeded(address)
    return await _logged_in(request, person, status=201)


@operation("public", answer=LoggedIn, body=Credentials, errors=(401, 403, 429))
async def login(request: Request) -> Response:
    """Log in; an unknown address takes as long, and is told the same, as a wrong password."""
    check_origin(request)
    parts = parts_of(request)
    body = await read(request, Credentials)
    address, email = _address(request), normal_email(body.email)
    await parts.logins_of_address.begin(address)
    await parts.logins.begin(address, email)
    found = await parts.people.by_email(email)
    person, password_hash = found if found else (None, None)
    fits = await parts.passwords.verify(password_hash, body.password)
    if not fits or person is None or password_hash is None:
        raise Unauthenticated("the e-mail address or the password is wrong", code="auth.failed")
    await parts.logins_of_address.succeeded(address)
    await parts.logins.succeeded(address, email)
    if parts.passwords.is_outdated(password_hash):
        await parts.people.replace_hash(person.id, await parts.passwords.hash(body.password))
    return await _logged_in(request, person, status=200)


@operation("session", status=204)
async def logout(request: Request) -> Response:
    """End the login, here and on the sockets that it opened."""
    visitor = await require_login(request)
    parts = parts_of(request)
    assert visitor.login is not None
    await parts.sessions.end(visitor.login)
    await parts.rights.announce(visitor.person.id)
    response = nothing()
    response.delete_cookie(COOKIE, path="/")
    return response


@operation("public", answer=SessionView)
async def session(request: Request) -> Response:
    """Who is logged in, the token for unsafe requests, and whether one may register."""
    parts = parts_of(request)
    visitor = await visitor_of(request)
    is_open = parts.settings.registration == "open" or not await parts.people.any()
    response = Json(
        {
            "user": visitor.person if visitor else None,
            "csrf": visitor.login.csrf if visitor and visitor.login else "",
            "registration": "open" if is_open else "closed",
        }
    )
    if visitor and visitor.login:
        _set_cookie(request, response, request.cookies[COOKIE])
    return response


async def _logged_in(request: Request, person: Person, *, status: int) -> Response:
    parts = parts_of(request)
    before: Visitor | None = await visitor_of(request)
    if before is not None and before.login is not None:
        await parts.sessions.end(before.login)
        await parts.rights.announce(before.person.id)
    token, started = await parts.sessions.begin(person.id)
    response = Json({"user": person, "csrf": started.csrf}, status)
    _set_cookie(request, response, token)
    return response


def _set_cookie(request: Request, response: Response, token: str) -> None:
    settings = parts_of(request).settings
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(settings.session_hours * 3600),
        path="/",
        secure=settings.address.startswith("https:"),
        httponly=True,
        samesite="lax",
    )


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


routes = [
    Route("/api/register", register, methods=["POST"]),
    Route("/api/login", login, methods=["POST"]),
    Route("/api/logout", logout, methods=["POST"]),
    Route("/api/session", session, methods=["GET"]),
]
