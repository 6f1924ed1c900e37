"""Logging in: who gets in, what a request must carry, and how guessing is slowed down."""

from __future__ import annotations

from hashlib import sha256

import httpx
from redis.asyncio import Redis
from sqlalchemy import text

from server.app import LOGIN_FAILURES
from server.services import Services
from server.settings import Settings
from tests.patience import PATIENCE_S
from tests.server.live import PASSWORD, TRUSTED, Live, running


async def test_the_first_account_administers_and_the_second_does_not(live: Live) -> None:
    async with live.person("ann", login=False) as ann, live.person("bob", login=False) as bob:
        assert (await ann.register()).json()["user"]["is_admin"] is True
        assert (await bob.register()).json()["user"]["is_admin"] is False


async def test_a_login_lasts_until_the_logout_and_its_old_cookie_is_worth_nothing(live: Live) -> None:
    async with live.person() as ann:
        session = (await ann.http.get("/api/session")).json()
        assert (session["user"]["email"], session["csrf"]) == ("ann@example.org", ann.csrf)
        stolen = dict(ann.http.cookies)
        assert (await ann.call("POST", "/api/logout")).status_code == 204
        assert (await ann.http.get("/api/session")).json()["user"] is None
        async with httpx.AsyncClient(
            base_url=live.url, verify=TRUSTED, cookies=stolen, timeout=PATIENCE_S
        ) as thief:
            assert (await thief.get("/api/cases")).status_code == 401


async def test_the_cookie_is_kept_from_scripts_and_other_sites(live: Live) -> None:
    async with live.person(login=False) as ann:
        cookie = (await ann.register()).headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert "secure" not in cookie.replace("samesite", "")


async def test_the_cookie_travels_only_encrypted_where_people_come_by_https(
    settings: Settings, services: Services, redis_client: Redis, database: str
) -> None:
    public = settings.model_copy(update={"public_url": "https://cases.example.org"})
    async with running(public, services) as live, live.person(login=False) as ann:
        ann.http.headers["Origin"] = "https://cases.example.org"
        response = await ann.register()
        assert "; secure" in response.headers["set-cookie"].lower()
        assert "strict-transport-security" in response.headers


async def test_neither_token_nor_password_stands_in_any_store(
    live: Live, redis_client: Redis, database: str
) -> None:
    async with live.person() as ann:
        token = ann.http.cookies["casewire_session"]
        keys = [key.decode() async for key in redis_client.scan_iter()]
        assert f"session:{sha256(token.encode()).hexdigest()}" in keys
        assert not any(token in key for key in keys)
        async with live.parts.database.connect() as connection:
            stored = await connection.scalar(text("SELECT password_hash FROM users"))
        assert stored.startswith("$argon2id$")
        assert PASSWORD not in stored


async def test_addresses_are_the_same_in_any_case(live: Live) -> None:
    async with live.person("ann"), live.person("ANN", login=False) as again:
        taken = await again.register()
        assert (taken.status_code, taken.json()["code"]) == (409, "account.taken")
        assert (await again.login()).status_code == 200


async def test_an_unknown_address_is_told_the_same_as_a_wrong_password(live: Live) -> None:
    async with live.person("ann") as ann, live.person("nobody", login=False) as nobody:
        wrong, unknown = await ann.login("another password"), await nobody.login()
        assert wrong.status_code == unknown.status_code == 401
        assert wrong.json() == unknown.json()


async def test_guessing_ends_with_429_even_for_the_right_password_and_only_for_that_account(
    live: Live,
) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        for _ in range(LOGIN_FAILURES):
            assert (await ann.login("wrong password")).status_code == 401
        refused = await ann.login()
        assert (refused.status_code, refused.json()["code"]) == (429, "rate.limited")
        assert 0 < int(refused.headers["retry-after"]) <= 900
        assert (await bob.login()).status_code == 200


async def test_logging_in_does_not_count_as_a_failure(live: Live) -> None:
    async with live.person("ann") as ann:
        for _ in range(LOGIN_FAILURES + 1):
            assert (await ann.login()).status_code == 200


async def test_a_change_needs_the_csrf_token_of_its_own_login(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        body = {"title": "A bridge"}
        bare = await ann.http.post("/api/cases", json=body)
        foreign = await ann.http.post("/api/cases", json=body, headers={"X-CSRF-Token": bob.csrf})
        assert [bare.status_code, foreign.status_code] == [403, 403]
        assert bare.json()["code"] == "csrf.wrong"
        assert (await ann.call("POST", "/api/cases", body)).status_code == 201


async def test_a_change_from_another_origin_is_refused_even_with_the_token(live: Live) -> None:
    async with live.person("ann") as ann:
        foreign = {"Origin": "https://evil.example.org"}
        response = await ann.call("POST", "/api/cases", {"title": "A bridge"}, headers=foreign)
        assert (response.status_code, response.json()["code"]) == (403, "origin.forbidden")
        credentials = {"email": ann.email, "password": PASSWORD}
        login = await ann.http.post("/api/login", json=credentials, headers=foreign)
        assert login.status_code == 403


async def test_a_form_of_another_site_cannot_log_anybody_in(live: Live) -> None:
    async with live.person("ann") as ann:
        credentials = '{"email": "ann@example.org", "password": "a long enough password"}'
        response = await ann.http.post(
            "/api/login", content=credentials, headers={"Content-Type": "text/plain"}
        )
        assert response.status_code == 422


async def test_closed_registration_lets_in_the_first_account_and_no_other(
    settings: Settings, services: Services, redis_client: Redis, database: str
) -> None:
    closed = settings.model_copy(update={"registration": "closed"})
    async with (
        running(closed, services) as live,
        live.person("ann", login=False) as ann,
        live.person("bob", login=False) as bob,
    ):
        assert (await ann.http.get("/api/session")).json()["registration"] == "open"
        assert (await ann.register()).status_code == 201
        assert (await ann.http.get("/api/session")).json()["registration"] == "closed"
        refused = await bob.register()
        assert (refused.status_code, refused.json()["code"]) == (403, "account.closed")


async def test_a_password_of_seven_letters_is_refused_without_being_repeated(live: Live) -> None:
    async with live.person(login=False) as ann:
        body = {"email": ann.email, "name": "Ann", "password": "sevenxx"}
        response = await ann.http.post("/api/register", json=body)
        assert response.status_code == 422
        assert "password" in response.json()["detail"]
        assert "sevenxx" not in response.text
