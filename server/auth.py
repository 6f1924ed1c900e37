"""Who is asking: the login or token behind a request or a socket, and whether it is their own doing."""

from __future__ import annotations

import secrets

from starlette.requests import HTTPConnection, Request

from machines.event import Role, at_least
from server.admission import Visitor as Visitor
from server.bodies import refuse_nul
from server.errors import Clash, Denied, Missing, Unauthenticated
from server.parts import Parts, parts_of
from server.pouring import Sender
from server.rights import Rights
from server.tokens import limits_of

COOKIE = "casewire_session"
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


async def visitor_of(connection: HTTPConnection) -> Visitor | None:
    """Who is there; None for a missing, wrong or ended login or token.

    A token is what its sender has chosen to be known by, so where there is one the cookie is not
    looked at, not even when the token is wrong.
    """
    parts: Parts = parts_of(connection)
    secret = _bearer(connection)
    if secret is not None:
        token = await parts.tokens.find(secret)
        person = await parts.people.get(token.user_id) if token else None
        if token is None or person is None:
            return None
        return Visitor(person, token, limits_of(token))
    cookie = connection.cookies.get(COOKIE)
    login = await parts.sessions.find(cookie) if cookie else None
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
    """Who is there; an unsafe request must also be meant, and within the token's scopes.

    Raises:
        Invalid: A part of the path holds NUL.
        Unauthenticated: Nobody is logged in, and no token counts.
        Denied: The origin is foreign, the CSRF token of the login is missing or wrong, or the API
            token may only read.
    """
    safe = request.method in SAFE_METHODS
    if not safe:
        check_origin(request)
    visitor = await visitor_of(request)
    if visitor is None:
        if _bearer(request) is not None:
            raise Unauthenticated("the token is unknown, revoked or expired", code="token.invalid")
        raise Unauthenticated("log in first")
    if not safe and visitor.login is not None:
        # A page of another site can make a browser send the cookie, but neither header.
        if not secrets.compare_digest(
            request.headers.get(CSRF_HEADER, "").encode(), visitor.login.csrf.encode()
        ):
            raise Denied(f"the header {CSRF_HEADER} must carry the token of /api/session", code="csrf.wrong")
    elif not safe:
        require_writing(visitor)
    refuse_nul(request.path_params)
    request.state.visitor = visitor  # for what is in front of the application
    return visitor


def require_writing(visitor: Visitor) -> None:
    """Refuse a token that may only read.

    Raises:
        Denied: It is one.
    """
    if not visitor.limits.writes:
        raise Denied("this token may only read", code="scope.too_small")


async def require_login(request: Request) -> Visitor:
    """The person who logged in: what decides about logins and tokens is out of reach of a token.

    Raises:
        Unauthenticated, Denied: As `require_visitor`; also for an API token.
    """
    visitor = await require_visitor(request)
    if visitor.login is None:
        raise Denied("this needs a login; an API token does not suffice", code="login.needed")
    return visitor


async def require_self(request: Request) -> Visitor:
    """Who is there, for what belongs to the person and to no case.

    Raises:
        Unauthenticated, Denied: As `require_visitor`; also a token that reaches only some cases.
    """
    visitor = await require_visitor(request)
    if visitor.limits.cases is not None:
        raise Denied("this token reaches only some cases", code="scope.too_small")
    return visitor


async def require_admin(request: Request) -> Visitor:
    """Who is there, an administrator.

    Raises:
        Unauthenticated, Denied: As `require_visitor`; also everyone else, and a token without the scope.
    """
    visitor = await require_visitor(request)
    if not visitor.administers:
        raise Denied("this is for administrators", code="admin.needed")
    return visitor


async def require_role(request: Request, topic: str, needed: Role, what: str) -> tuple[Visitor, Role]:
    """Who is there and holds at least a role on a topic.

    Args:
        what: What is asked for, such as `case`, for the sentence to those who may not know of it.

    Raises:
        Unauthenticated, Denied: As `require_visitor`; also a role too small.
        Missing: No role at all, which looks the same as a topic that does not exist.
    """
    visitor = await require_visitor(request)
    role = await parts_of(request).rights.role_for(visitor, topic)
    if role is None:
        raise Missing(f"there is no such {what}")
    if not at_least(role, needed):
        raise Denied(f"this needs the role {needed}; yours is {role}", code="role.too_small")
    if request.method not in SAFE_METHODS:
        await require_staying(parts_of(request).rights, topic)
    return visitor, role


async def require_staying(rights: Rights, topic: str) -> None:
    """Refuse to change anything in a case that waits to be deleted.

    Raises:
        Clash: It does.
    """
    if await rights.leaving(topic):
        raise Clash("this case waits to be deleted; its owner can restore it", code="case.leaving")


def sender_of(parts: Parts, visitor: Visitor, topic: str) -> Sender:
    """Whoever sends bytes to a topic, who may for as long as they stay an editor of a case that stays."""

    async def may() -> bool:
        role = await parts.rights.role_for(visitor, topic)
        lasts = at_least(role, "editor") and await parts.admission.lasts(visitor)
        return lasts and not await parts.rights.leaving(topic)

    return Sender(visitor.person.id, may)


def _bearer(connection: HTTPConnection) -> str | None:
    """The secret of an `Authorization` of that scheme; other schemes belong to proxies in front."""
    scheme, _, secret = connection.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None
