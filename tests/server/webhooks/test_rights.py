"""Whose webhooks there are, and what they may call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server.services import Services
from server.settings import Settings
from tests.server.live import running
from tests.server.webhooks.owner import Owner, titles
from tests.server.webhooks.receiver import Receiver


async def test_deliveries_end_with_the_right_of_who_made_the_webhook(ann: Owner, receiver: Receiver) -> None:
    async with ann.live.person("bob") as bob:
        await ann.person.invite(ann.case, bob, "owner")
        theirs = Owner(ann.live, bob, ann.case)
        await theirs.subscribe(receiver)
        await ann.rename("One")
        await receiver.until(1)
        # Behind the server's back, so that nothing is announced.
        await ann.live.parts.cases.set_member(ann.case["id"], bob.email, "editor")
        await asyncio.sleep(1.1)
        await ann.rename("Two")
        await theirs.reaches(paused="access.ended")
        assert titles(receiver) == ["One"]


async def test_webhooks_are_for_owners(ann: Owner, receiver: Receiver) -> None:
    await ann.subscribe(receiver, events=["hold"])
    body = {"topic": ann.topic, "url": receiver.url}
    path = f"/api/webhooks/{ann.hook['id']}"
    async with ann.live.person("bob") as bob, ann.live.person("eve") as eve:
        await ann.person.invite(ann.case, bob, "editor")
        refused = await bob.call("POST", "/api/webhooks", body)
        assert (refused.status_code, refused.json()["code"]) == (403, "role.too_small")
        assert (await eve.call("POST", "/api/webhooks", body)).status_code == 404
        for method, suffix, data in (
            ("GET", "", None),
            ("DELETE", "", None),
            ("POST", "/pause", None),
            ("POST", "/resume", None),
            ("POST", "/secret", None),
            ("POST", "/ping", None),
            ("POST", "/replay", {"offset": 0}),
            ("GET", "/attempts", None),
            ("GET", "/dead-letters", None),
            ("POST", "/dead-letters/1/retry", None),
            ("DELETE", "/dead-letters/1", None),
        ):
            assert (await bob.call(method, path + suffix, data)).status_code == 403, suffix
            assert (await eve.call(method, path + suffix, data)).status_code == 404, suffix
        assert (await bob.call("GET", f"/api/webhooks?topic={ann.topic}")).status_code == 403
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("https://elsewhere.example/hook", 403, "webhook.target"),
        ("http://127.0.0.2:80/hook", 403, "webhook.target"),
        ("ftp://127.0.0.1/hook", 403, "webhook.target"),
        ("http://user@127.0.0.1/hook", 403, "webhook.target"),
        ("nonsense", 403, "webhook.target"),
        ("", 422, "request.invalid"),
    ],
)
async def test_only_hosts_that_the_settings_name_are_called(
    ann: Owner, url: str, status: int, code: str
) -> None:
    response = await ann.person.call("POST", "/api/webhooks", {"topic": ann.topic, "url": url})
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_without_the_setting_there_are_no_webhooks(
    settings: Settings, services: Services, redis_client: Any, database: str
) -> None:
    async with running(settings, services) as live, live.person() as ann:
        case = await ann.case()
        body = {"topic": f"case:{case['id']}", "url": "https://hooks.example.org/"}
        response = await ann.call("POST", "/api/webhooks", body)
        assert (response.status_code, response.json()["code"]) == (403, "webhook.target")
        assert "CASEWIRE_WEBHOOK_HOSTS" in response.json()["detail"]
