"""API tokens: made once, listed without secret, limited by scopes, cases and time, and ended at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from redis.asyncio import Redis
from sqlalchemy import text

from server.errors import Close
from server.tokens import MOST_TOKENS, Limits
from tests.patience import PATIENCE_S
from tests.server.live import TRUSTED, Live, Person


async def make(person: Person, *scopes: str, **more: Any) -> dict[str, Any]:
    response = await person.call(
        "POST", "/api/tokens", {"name": "nightly export", "scopes": list(scopes)} | more
    )
    assert response.status_code == 201, response.text
    token: dict[str, Any] = response.json()
    return token


@asynccontextmanager
async def program(live: Live, secret: str) -> AsyncIterator[httpx.AsyncClient]:
    """Something that knows a secret and no cookie."""
    headers = {"Authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(
        base_url=live.url, verify=TRUSTED, headers=headers, timeout=PATIENCE_S
    ) as http:
        yield http


async def test_a_secret_is_told_once_and_only_its_hash_is_kept(live: Live, redis_client: Redis) -> None:
    async with live.person() as ann:
        made = await make(ann, "read")
        listed = (await ann.http.get("/api/tokens")).json()
        assert made["secret"].startswith(f"cw_{made['id']}_")
        assert listed == [{key: value for key, value in made.items() if key != "secret"}]
        async with live.parts.database.connect() as connection:
            rows = [str(row) for row in await connection.execute(text("SELECT * FROM api_tokens"))]
        assert len(rows) == 1
        assert made["secret"].rpartition("_")[2] not in rows[0]
        assert not [key async for key in redis_client.scan_iter() if made["id"].encode() in key]


async def test_a_token_acts_for_its_person_without_cookie_and_csrf(live: Live) -> None:
    async with live.person() as ann:
        made = await make(ann, "write")
        async with program(live, made["secret"]) as http:
            assert (await http.get("/api/session")).json()["user"]["id"] == ann.id
            assert (await http.get("/api/session")).json()["csrf"] == ""
            created = await http.post("/api/cases", json={"title": "By a program"})
            assert created.status_code == 201
        assert [case["title"] for case in (await ann.http.get("/api/cases")).json()] == ["By a program"]
        assert (await ann.http.get("/api/tokens")).json()[0]["used_at"] is not None


async def test_a_token_that_may_only_read_changes_nothing(live: Live) -> None:
    async with live.person() as ann:
        case, made = await ann.case(), await make(ann, "read")
        async with program(live, made["secret"]) as http:
            assert (await http.get(f"/api/cases/{case['id']}")).status_code == 200
            refused = await http.post(f"/api/cases/{case['id']}/pois", json={"name": "Ada Example"})
            assert (refused.status_code, refused.json()["code"]) == (403, "scope.too_small")
        bearer = {"Authorization": f"Bearer {made['secret']}"}
        async with ann.socket(headers=bearer) as wire:
            assert (await wire.ask("subscribe", topic=f"case:{case['id']}"))["type"] == "ok"
            for refusal in (
                await wire.ask("send", machine=case["machine"], event="close", data={}),
                await wire.ask("spawn", kind="query", topic=f"case:{case['id']}", data={"question": "Who?"}),
            ):
                assert (refusal["type"], refusal["code"]) == ("error", "scope.too_small")


async def test_a_token_of_some_cases_reaches_no_other_and_nothing_else(live: Live) -> None:
    async with live.person() as ann:
        one, other = await ann.case("One"), await ann.case("Other")
        made = await make(ann, "read", "write", "admin", cases=[one["id"]])
        async with program(live, made["secret"]) as http:
            assert [case["id"] for case in (await http.get("/api/cases")).json()] == [one["id"]]
            assert {m["topic"] for m in (await http.get("/api/machines")).json()["machines"]} == {
                f"case:{one['id']}"
            }
            assert (await http.get(f"/api/cases/{one['id']}")).status_code == 200
            assert (await http.get(f"/api/cases/{other['id']}")).status_code == 404
            assert (await http.get(f"/api/machines/{other['machine']}")).status_code == 404
            refused = await http.post("/api/cases", json={"title": "Another"})
            assert (refused.status_code, refused.json()["code"]) == (403, "scope.too_small")
        async with ann.socket(headers={"Authorization": f"Bearer {made['secret']}"}) as wire:
            for topic in (f"case:{other['id']}", f"user:{ann.id}", "system"):
                assert (await wire.ask("subscribe", topic=topic))["code"] == "not_found", topic


async def test_only_the_scope_admin_carries_an_administrator_s_rights(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        plain, admin = await make(ann, "write"), await make(ann, "read", "admin")
        for made, answer in ((plain, "error"), (admin, "ok")):
            async with ann.socket(headers={"Authorization": f"Bearer {made['secret']}"}) as wire:
                assert (await wire.ask("subscribe", topic="system"))["type"] == answer
        refused = await bob.call("POST", "/api/tokens", {"name": "x", "scopes": ["admin"]})
        assert (refused.status_code, refused.json()["code"]) == (403, "admin.needed")


async def test_a_token_makes_lists_and_revokes_no_tokens(live: Live) -> None:
    async with live.person() as ann:
        made = await make(ann, "write", "admin")
        async with program(live, made["secret"]) as http:
            for response in (
                await http.get("/api/tokens"),
                await http.post("/api/tokens", json={"name": "x", "scopes": ["read"]}),
                await http.delete(f"/api/tokens/{made['id']}"),
                await http.post("/api/logout"),
            ):
                assert (response.status_code, response.json()["code"]) == (403, "login.needed")


async def test_where_a_token_is_given_the_cookie_is_not_looked_at(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        made = await make(bob, "read")
        both = {"Authorization": f"Bearer {made['secret']}"}
        assert (await ann.http.get("/api/session", headers=both)).json()["user"]["id"] == bob.id
        wrong = {"Authorization": f"Bearer {made['secret']}x"}
        refused = await ann.http.get("/api/cases", headers=wrong)
        assert (refused.status_code, refused.json()["code"]) == (401, "token.invalid")
        assert refused.headers["www-authenticate"] == "Bearer"
        basic = {"Authorization": "Basic of-a-proxy"}
        assert (await ann.http.get("/api/session", headers=basic)).json()["user"]["id"] == ann.id


async def test_secrets_that_only_look_like_one_are_refused(live: Live) -> None:
    async with live.person() as ann:
        made = await make(ann, "read")
        prefix = f"cw_{made['id']}_"
        for wrong in ("cw", prefix, f"{prefix}{'x' * 43}", f"{prefix}{'x' * 500}", "cw_%00_x", "cw__x"):
            async with program(live, wrong) as http:
                assert (await http.get("/api/cases")).status_code == 401, wrong


async def test_a_foreign_origin_is_refused_with_a_token_too(live: Live) -> None:
    async with live.person() as ann:
        made = await make(ann, "write")
        async with program(live, made["secret"]) as http:
            foreign = {"Origin": "https://evil.example.org"}
            refused = await http.post("/api/cases", json={"title": "x"}, headers=foreign)
            assert (refused.status_code, refused.json()["code"]) == (403, "origin.forbidden")


async def test_an_expired_token_is_worth_nothing_and_a_past_expiry_cannot_be_asked_for(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        soon = datetime.now(UTC) + timedelta(hours=1)
        made = await make(ann, "read", expires_at=soon.isoformat())
        async with program(live, made["secret"]) as http:
            assert (await http.get("/api/cases")).status_code == 200
            async with live.parts.database.begin() as connection:
                await connection.execute(text("UPDATE api_tokens SET expires_at = now()"))
            assert (await http.get("/api/cases")).json()["code"] == "token.invalid"
        assert len((await ann.http.get("/api/tokens")).json()) == 1
        past = {"name": "x", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}
        assert (await ann.call("POST", "/api/tokens", past)).status_code == 422
    assert Limits(until=soon.timestamp()).cap("owner", f"case:{case['id']}") == "owner"
    assert Limits(until=0.0).cap("owner", f"case:{case['id']}") is None


async def test_a_revoked_token_closes_its_sockets_and_leaves_the_others_open(live: Live) -> None:
    async with live.person() as ann, ann.socket() as browser:
        one, other = await make(ann, "read"), await make(ann, "read")
        sockets = [{"Authorization": f"Bearer {made['secret']}"} for made in (one, other)]
        async with (
            ann.socket(headers=sockets[0]) as ended,
            ann.socket(headers=sockets[1]) as kept,
        ):
            await ended.ask("subscribe", topic=f"user:{ann.id}")
            assert (await ann.call("DELETE", f"/api/tokens/{one['id']}")).status_code == 204
            assert await ended.close_code() == Close.UNAUTHENTICATED
            assert (await kept.ask("ping"))["type"] == "ok"
            assert (await browser.ask("ping"))["type"] == "ok"
        async with program(live, one["secret"]) as http:
            assert (await http.get("/api/cases")).status_code == 401


async def test_somebody_else_s_token_cannot_be_seen_or_revoked(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        made = await make(ann, "read")
        assert (await bob.http.get("/api/tokens")).json() == []
        assert (await bob.call("DELETE", f"/api/tokens/{made['id']}")).status_code == 404
        case = await ann.case()
        foreign = {"name": "x", "scopes": ["read"], "cases": [case["id"]]}
        assert (await bob.call("POST", "/api/tokens", foreign)).status_code == 404


async def test_nobody_has_more_tokens_than_the_limit(live: Live) -> None:
    async with live.person() as ann:
        for number in range(MOST_TOKENS):
            await live.parts.tokens.make(
                ann.id, f"token {number}", scopes=["read"], cases=None, expires_at=None
            )
        refused = await ann.call("POST", "/api/tokens", {"name": "x", "scopes": ["read"]})
        assert (refused.status_code, refused.json()["code"]) == (409, "token.too_many")


async def test_a_token_without_scopes_or_with_unknown_ones_is_refused(live: Live) -> None:
    async with live.person() as ann:
        for scopes in ([], ["delete"]):
            response = await ann.call("POST", "/api/tokens", {"name": "x", "scopes": scopes})
            assert response.status_code == 422
