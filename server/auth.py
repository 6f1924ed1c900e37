"""Who is asking: the login behind a request or a socket, and whether the request is their own doing."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from starlette.requests import HTTPConnection, Request

from machines.event import Role, at_least
from server.bodies import refuse_nul
from server.errors import Denied, Missing, Unauthenticated
from server.parts import Parts, parts_of
from server.sessions import Login
from storage.people import Person

COOKIE = "casewire_session"
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Visitor:
    """A logged-in person and the login that says so."""

    person: Person
    login: Login


async def visitor_of(connection: HTTPConnection) -> Visitor | None:
    """Who is logged in; None for a missing, wrong or ended login."""
    parts: Parts = parts_of(connection)
    token = connection.cookies.get(COOKIE)
    login = await parts.sessions.find(token) if token else None
    person = await parts.people.get(login.user) if login else None
    return Visitor(person, login) if login and person else None


def check_origin(connection: HTTPConnection) -> None:
    """Refuse what another site's page has made the browser send.

    Programs send no Origin and hold no browser's cookie, so its absence is no fault.

    Raises:
        Denied: The Origin is not one of the server's.
    """
    origin = connection.headers.get("origin")
    if origin is not None and origin.lower() not in parts_of(connection).settings.origins:
        raise Denied("requests from this origin are refused", code="origin.forbidden")


async def require_visitor(request: Request) -> Visitor:
    """The logged-in person; an unsafe request must also be meant.

    Raises:
        Invalid: A part of the path holds NUL.
        Unauthenticated: Nobody is logged in.
        Denied: The origin is foreign, or the CSRF token is missing or wrong.
    """
    safe = request.method in SAFE_METHODS
    if not safe:
        check_origin(request)
    visitor = await visitor_of(request)
    if visitor is None:
        raise Unauthenticated("log in first")
    if not safe and not secrets.compare_digest(
        request.headers.get(CSRF_HEADER, "").encode(), visitor.login.csrf.encode()
    ):
        raise Denied(f"the header {CSRF_HEADER} must carry the token of /api/session", code="csrf.wrong")
    refuse_nul(request.path_params)
    return visitor


async def require_role(request: Request, topic: str, needed: Role, what: str) -> tuple[Visitor, Role]:
    """The logged-in person, who holds at least a role on a topic.

    Args:
        what: What is asked for, such as `case`, for the sentence to those who may not know of it.

    Raises:
        Unauthenticated, Denied: As `require_visitor`; also a role too small.
        Missing: No role at all, which looks the same as a topic that does not exist.
    """
    visitor = await require_visitor(request)
    role = await parts_of(request).rights.role(visitor.person, topic)
    if role is None:
        raise Missing(f"there is no such {what}")
    if not at_least(role, needed):
        raise Denied(f"this needs the role {needed}; yours is {role}", code="role.too_small")
    return visitor, role
