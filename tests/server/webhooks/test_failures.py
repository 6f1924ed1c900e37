"""Receivers that fail, are away or gone: at least once, in order, and never lost."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from sqlalchemy import text

from server import webhooks_sending
from tests.patience import PATIENCE_S
from tests.server.runtime_parts import until
from tests.server.webhooks.owner import Owner, titles
from tests.server.webhooks.receiver import HANG, Receiver, Request, receiving


class Patience:
    """asyncio as the sender sees it, whose patience with the request under way can be ended."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    def timeout(self, delay: float) -> asyncio.Timeout:
        self.last = asyncio.timeout(delay)
        return self.last

    def end(self) -> None:
        self.last.reschedule(asyncio.get_running_loop().time())


async def test_failures_are_tried_again_with_the_same_id_and_nothing_overtakes(
    ann: Owner, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience = Patience()
    monkeypatch.setattr(webhooks_sending, "asyncio", patience)

    async def end_the_second(_: Request) -> None:
        if len(receiver.requests) == 2:
            patience.end()

    receiver.on_request = end_the_second
    await ann.subscribe(receiver)
    receiver.plan = [500, HANG, 302]
    await ann.rename("One", "Two")
    await receiver.until(2)
    assert titles(receiver) == ["One", "Two"]
    assert len(receiver.requests) == 5
    assert len({request.headers["webhook-id"] for request in receiver.requests[:4]}) == 1
    assert {request.path for request in receiver.requests} == {"/hook"}
    errors = [(each["status"], each["error"]) for each in await ann.call("GET", "/attempts")]
    given_up = f"no answer within {PATIENCE_S:g} s"
    assert errors == [(200, ""), (200, ""), (302, ""), (0, given_up), (500, "")]
    await ann.reaches(tries=0, failing_since=None)


@pytest.mark.parametrize("calling", [1_000], indirect=True, ids=["patient"])
async def test_a_receiver_that_was_away_gets_everything_when_it_is_back(ann: Owner) -> None:
    async def failing() -> dict[str, Any] | None:
        hook: dict[str, Any] = await ann.call("GET")
        return hook if hook["tries"] >= 2 else None

    async with receiving() as receiver:
        await ann.subscribe(receiver)
        await ann.rename("One")
        await receiver.until(1)
    await ann.rename("Two")
    assert (await until(failing))["failing_since"] is not None
    async with receiving(receiver):
        await receiver.until(2)
    assert titles(receiver) == ["One", "Two"]


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_receiver_may_ask_to_be_left_alone_for_a_while(
    ann: Owner, receiver: Receiver, form: str
) -> None:
    await ann.subscribe(receiver)
    later = datetime.now(UTC) + timedelta(seconds=2)
    receiver.headers = {"Retry-After": "1" if form == "seconds" else format_datetime(later, usegmt=True)}
    receiver.plan = [503]
    began = time.monotonic()
    await ann.rename("One")
    await receiver.until(1)
    assert time.monotonic() - began > 0.9  # a date has no part of a second


async def test_what_cannot_be_delivered_is_put_aside_and_the_rest_goes_on(
    ann: Owner, receiver: Receiver
) -> None:
    hook = await ann.subscribe(receiver)
    receiver.plan = [500] * 4
    await ann.rename("Lost", "Kept")
    await receiver.until(1)
    assert titles(receiver) == ["Kept"]
    (letter,) = await ann.call("GET", "/dead-letters")
    assert (letter["reason"], letter["tries"]) == ("HTTP status 500", 4)
    assert letter["event_id"] == receiver.requests[0].headers["webhook-id"]
    assert (await ann.call("GET"))["dead_letters"] == 1
    receiver.plan = [500]
    assert (await ann.call("POST", f"/dead-letters/{letter['id']}/retry"))["delivered"] is False
    again = await ann.call("POST", f"/dead-letters/{letter['id']}/retry")
    assert (again["delivered"], again["status"]) == (True, 200)
    assert titles(receiver) == ["Kept", "Lost"]
    assert receiver.taken[-1].headers["webhook-id"] == letter["event_id"]
    assert receiver.taken[-1].signed_by(hook["secret"])
    assert await ann.call("GET", "/dead-letters") == []


async def test_a_dead_letter_can_be_dropped(ann: Owner, receiver: Receiver) -> None:
    await ann.subscribe(receiver)
    receiver.plan = [500] * 4
    await ann.rename("Lost")
    await ann.reaches(dead_letters=1)
    (letter,) = await ann.call("GET", "/dead-letters")
    await ann.call("DELETE", f"/dead-letters/{letter['id']}")
    assert await ann.call("GET", "/dead-letters") == []
    path = f"/api/webhooks/{ann.hook['id']}/dead-letters/{letter['id']}"
    assert (await ann.person.call("DELETE", path)).status_code == 404


async def test_a_webhook_that_fails_for_days_is_paused_its_owner_told_and_nothing_lost(
    ann: Owner, receiver: Receiver
) -> None:
    await ann.subscribe(receiver)
    receiver.plan = [500]
    receiver.headers = {"Retry-After": "3600"}
    await ann.rename("One")
    await ann.reaches(tries=1)
    receiver.always = 500
    receiver.headers = {}
    async with ann.live.parts.database.begin() as connection:
        await connection.execute(text("UPDATE webhooks SET failing_since = now() - interval '6 days'"))
        await connection.execute(
            text("UPDATE webhooks SET term = term + 1, holder = '', next_try_at = now()")
        )
    paused = await ann.reaches(paused="target.failing")
    assert paused["offset"] == ann.hook["offset"]

    async def told() -> Any:
        state = await ann.live.parts.store.read_topic(f"user:{ann.person.id}")
        return [machine for machine in state.machines if machine.kind == "notification"]

    (notification,) = await until(told)
    assert notification.context["title"] == "A webhook was paused"
    assert receiver.url in notification.context["body"]
    receiver.always = 200
    await ann.rename("Two")
    await ann.call("POST", "/resume")
    await receiver.until(2)
    assert titles(receiver) == ["One", "Two"]


async def test_a_receiver_that_says_it_is_gone_is_called_no_more(ann: Owner, receiver: Receiver) -> None:
    await ann.subscribe(receiver)
    receiver.always = 410
    await ann.rename("One")
    await ann.reaches(paused="target.gone")
    assert len(receiver.requests) == 1
