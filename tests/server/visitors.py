"""Everybody who may knock at the server, each with what they are known by and what that grants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from redis.asyncio import Redis

from machines.event import Role
from server.services import Services
from server.settings import Settings
from tests.conftest import empty
from tests.patience import PATIENCE_S
from tests.server.contents import Contents, fill, with_webhooks
from tests.server.live import TRUSTED, Live, Person, Wire, running


@dataclass
class Kind:
    """What a visitor is, as the rules count it.

    Attributes:
        person: Whose rights they act by; empty for nobody.
        role: That person's role in the case.
        scopes: Of their token; None for a login.
        elsewhere: Whether the token reaches another case alone.
    """

    person: str
    role: Role | None = None
    is_admin: bool = False
    scopes: frozenset[str] | None = None
    elsewhere: bool = False

    @property
    def writes(self) -> bool:
        return self.scopes is None or "write" in self.scopes

    @property
    def administers(self) -> bool:
        return self.is_admin and not self.elsewhere and (self.scopes is None or "admin" in self.scopes)

    def role_on(self, place: str) -> Role | None:
        """The role on the topic of the `case`, of the case's owner (`user`), or on `system`."""
        whole: dict[str, Role | None] = {
            "case": None if self.elsewhere else self.role,
            "user": "owner" if self.person == "owner" and not self.elsewhere else None,
            "system": "owner" if self.administers else None,
        }
        role = whole[place]
        return role if role is None or self.writes else "viewer"


KINDS = {
    "nobody": Kind(""),
    "stranger": Kind("stranger"),
    "viewer": Kind("viewer", "viewer"),
    "editor": Kind("editor", "editor"),
    "owner": Kind("owner", "owner"),
    "admin": Kind("admin", is_admin=True),
    "read token": Kind("owner", "owner", scopes=frozenset({"read"})),
    "write token": Kind("owner", "owner", scopes=frozenset({"write"})),
    "viewer's write token": Kind("viewer", "viewer", scopes=frozenset({"write"})),
    "token of another case": Kind("owner", "owner", scopes=frozenset({"write"}), elsewhere=True),
    "admin's write token": Kind("admin", is_admin=True, scopes=frozenset({"write"})),
    "admin's read token": Kind("admin", is_admin=True, scopes=frozenset({"read", "admin"})),
}


@dataclass
class Visitor:
    """Somebody at the door: an HTTP client that shows their proof, and a socket unless they have none."""

    kind: Kind
    http: httpx.AsyncClient
    person: Person | None
    wire: Wire | None = None


@dataclass
class World:
    """A server with a case that holds everything, and everybody at its door."""

    live: Live
    contents: Contents
    people: dict[str, Person]
    visitors: dict[str, Visitor] = field(default_factory=dict)


@asynccontextmanager
async def everybody(live: Live) -> AsyncIterator[World]:
    """The case, the people, their tokens and their sockets."""
    async with AsyncExitStack() as stack:
        people = {
            name: await stack.enter_async_context(live.person(name))
            for name in ("admin", "owner", "editor", "viewer", "stranger", "leaver")
        }
        contents = await fill(live, people["owner"], people["leaver"])
        here, elsewhere = {"id": contents.ids["case"]}, await people["owner"].case("Elsewhere")
        for role in ("editor", "viewer"):
            await people["owner"].invite(here, people[role], role)
        world = World(live, contents, people)
        for name, kind in KINDS.items():
            cases = [elsewhere["id"]] if kind.elsewhere else None
            world.visitors[name] = await stack.enter_async_context(
                _visitor(live, kind, people.get(kind.person), cases)
            )
        yield world


@asynccontextmanager
async def _visitor(
    live: Live, kind: Kind, person: Person | None, cases: list[str] | None
) -> AsyncIterator[Visitor]:
    if person is None:
        async with httpx.AsyncClient(base_url=live.url, verify=TRUSTED, timeout=PATIENCE_S) as http:
            yield Visitor(kind, http, None)
    elif kind.scopes is None:
        person.http.headers["X-CSRF-Token"] = person.csrf
        async with person.socket() as wire:
            yield Visitor(kind, person.http, person, wire)
    else:
        bearer = {"Authorization": f"Bearer {await secret(person, kind.scopes, cases)}"}
        async with (
            httpx.AsyncClient(base_url=live.url, verify=TRUSTED, headers=bearer, timeout=PATIENCE_S) as http,
            person.socket(headers=bearer | {"Cookie": ""}) as wire,
        ):
            yield Visitor(kind, http, person, wire)


async def secret(person: Person, scopes: frozenset[str], cases: list[str] | None = None) -> str:
    """A new token of a person."""
    body: dict[str, Any] = {"name": "a program", "scopes": sorted(scopes), "cases": cases}
    made = await person.call("POST", "/api/tokens", body)
    assert made.status_code == 201, made.text
    return str(made.json()["secret"])


@asynccontextmanager
async def everybody_anew(services: Services, database: str) -> AsyncIterator[World]:
    """Everybody at the door of a server on emptied stores, for all tests of a module."""
    settings = Settings(
        data=services.data_dir,
        redis_url=services.redis_url,
        queue_url=services.queue_url,
        database_url=services.database_url,
    )
    redis = Redis.from_url(services.redis_url)
    await redis.flushall()
    await redis.aclose()
    await empty(database)
    async with running(with_webhooks(settings), services) as live, everybody(live) as made:
        yield made
