"""Webhooks against a real receiver: signed, in order, at least once, and never lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text

from server import webhooks, webhooks_sending
from server.cloudevents import event_id
from server.services import Services
from server.settings import Settings
from storage.keys import shard_keys, topic_keys
from storage.machine_store import shard_of
from tests.server import webhook_server
from tests.server.live import Live, Person, running
from tests.server.receiver import HANG, Receiver, receiving
from tests.server.runtime_parts import until


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, names in (
        (webhooks, ("LEASE_S", "LOOK_S", "FIRST_WAIT_S", "LONGEST_WAIT_S")),
        (webhooks_sending, ("TIMEOUT_S",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))
    webhook_server.hurry()


@pytest.fixture
def calling(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_hosts": "127.0.0.1", "webhook_attempts": 4})


@pytest_asyncio.fixture(loop_scope="session")
async def live(
    calling: Settings, services: Services, redis_client: Any, database: str
) -> AsyncIterator[Live]:
    async with running(calling, services) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as started:
        yield started


class Owner:
    """A person with a case and a webhook on it."""

    def __init__(self, live: Live, person: Person, case: dict[str, Any]) -> None:
        self.live = live
        self.person = person
        self.case = case
        self.topic = f"case:{case['id']}"
        self.hook: dict[str, Any] = {}

    async def subscribe(self, receiver: Receiver, **wanted: Any) -> dict[str, Any]:
        body = {"topic": self.topic, "url": receiver.url, **wanted}
        response = await self.person.call("POST", "/api/webhooks", body)
        assert response.status_code == 201, response.text
        self.hook = response.json()
        return self.hook

    async def call(self, method: str, path: str = "", body: Any = None) -> Any:
        response = await self.person.call(method, f"/api/webhooks/{self.hook['id']}{path}", body)
        assert response.is_success, response.text
        return response.json() if response.content else None

    async def rename(self, *titles: str) -> None:
        for title in titles:
            await self.live.parts.engine.send(
                self.case["machine"], "rename", {"title": title}, source="client", role="owner"
            )

    async def reaches(self, **wanted: Any) -> dict[str, Any]:
        """Wait until the webhook looks so."""

        async def there() -> dict[str, Any] | None:
            hook: dict[str, Any] = await self.call("GET")
            return hook if all(hook[name] == value for name, value in wanted.items()) else None

        found: dict[str, Any] = await until(there, 15)
        return found


@pytest_asyncio.fixture(loop_scope="session")
async def ann(live: Live) -> AsyncIterator[Owner]:
    async with live.person() as person:
        yield Owner(live, person, await person.case())


def titles(receiver: Receiver) -> list[str]:
    return [request.json["data"]["context"]["title"] for request in receiver.taken]


async def test_entries_come_in_order_signed_and_equal_to_those_of_the_websocket(
    ann: Owner, receiver: Receiver
) -> None:
    hook = await ann.subscribe(receiver)
    async with ann.person.socket() as wire:
        reply = await wire.ask("subscribe", topic=ann.topic)
        await ann.rename("One", "Two", "Three")
        requests = await receiver.until(3)
        for request in requests:
            entry = await wire.until(lambda message: message["type"] == "entry")
            event = request.json
            assert event["data"] == entry
            assert (event["specversion"], event["type"]) == ("1.0", "casewire.entry.v1")
            assert request.headers["content-type"] == "application/cloudevents+json"
            assert request.headers["webhook-id"] == event["id"]
            assert abs(time.time() - int(request.headers["webhook-timestamp"])) < 60
            assert request.signed_by(hook["secret"])
            assert not request.signed_by("whsec_" + "A" * 44)
    assert [request.offset for request in requests] == [reply["offset"] + n for n in (1, 2, 3)]
    assert len({request.headers["webhook-id"] for request in requests}) == 3
    attempts = await ann.call("GET", "/attempts")
    assert [each["status"] for each in attempts] == [200] * 3
    assert all(each["delivered"] and each["duration_ms"] > 0 for each in attempts)
    assert "secret" not in await ann.call("GET")


async def test_only_what_is_asked_for_is_delivered(ann: Owner, receiver: Receiver) -> None:
    await ann.subscribe(receiver, kinds=["case"], events=["hold", "proceed"])
    await ann.rename("Not this")
    engine = ann.live.parts.engine
    await engine.send(ann.case["machine"], "hold", {}, source="client", role="owner")
    await ann.rename("Nor this")
    await engine.send(ann.case["machine"], "proceed", {}, source="client", role="owner")
    requests = await receiver.until(2)
    assert [request.json["data"]["event"] for request in requests] == ["hold", "proceed"]


async def test_batches_come_only_where_asked_for_and_hold_each_entry_once(
    ann: Owner, receiver: Receiver
) -> None:
    hook = await ann.subscribe(receiver, batch=10)
    await asyncio.gather(*(ann.rename(f"{n}") for n in range(25)))
    await receiver.wait(lambda: sum(len(request.json) for request in receiver.taken) >= 25)
    assert all(r.headers["content-type"] == "application/cloudevents-batch+json" for r in receiver.taken)
    assert all(request.signed_by(hook["secret"]) for request in receiver.taken)
    offsets = [event["data"]["offset"] for request in receiver.taken for event in request.json]
    assert offsets == list(range(hook["offset"] + 1, hook["offset"] + 26))
    assert len(receiver.taken) < 25


async def test_failures_are_tried_again_with_the_same_id_and_nothing_overtakes(
    ann: Owner, receiver: Receiver
) -> None:
    await ann.subscribe(receiver)
    receiver.plan = [500, HANG, 302]
    await ann.rename("One", "Two")
    await receiver.until(2)
    assert titles(receiver) == ["One", "Two"]
    assert len(receiver.requests) == 5
    assert len({request.headers["webhook-id"] for request in receiver.requests[:4]}) == 1
    assert {request.path for request in receiver.requests} == {"/hook"}
    errors = [(each["status"], each["error"]) for each in await ann.call("GET", "/attempts")]
    assert errors == [(200, ""), (200, ""), (302, ""), (0, "no answer within 0.5 s"), (500, "")]
    await ann.reaches(tries=0, failing_since=None)


async def test_a_receiver_that_was_away_gets_everything_when_it_is_back(ann: Owner) -> None:
    async with receiving() as receiver:
        await ann.subscribe(receiver)
        await ann.rename("One")
        await receiver.until(1)
    await ann.rename("Two")
    failing = await ann.reaches(tries=2)
    assert failing["failing_since"] is not None
    async with receiving(receiver):
        await receiver.until(2)
    assert titles(receiver) == ["One", "Two"]


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_receiver_may_ask_to_be_left_alone_for_a_while(
    ann: Owner, receiver: Receiver, form: str
) -> None:
    await ann.subscribe(receiver)
    later = datetime.now(UTC) + timedelta(seconds=3)
    receiver.headers = {"Retry-After": "2" if form == "seconds" else format_datetime(later, usegmt=True)}
    receiver.plan = [503]
    began = time.monotonic()
    await ann.rename("One")
    await receiver.until(1)
    assert time.monotonic() - began > 1.5


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


async def test_a_replay_delivers_again_from_an_offset(ann: Owner, receiver: Receiver) -> None:
    hook = await ann.subscribe(receiver)
    await ann.rename("One", "Two", "Three")
    first = list(await receiver.until(3))
    await ann.reaches(offset=hook["offset"] + 3)
    await ann.call("POST", "/replay", {"offset": hook["offset"] + 1})
    await receiver.until(5)
    assert titles(receiver)[3:] == ["Two", "Three"]
    assert [request.json for request in receiver.taken[3:]] == [request.json for request in first[1:]]
    path = f"/api/webhooks/{hook['id']}/replay"
    assert (await ann.person.call("POST", path, {"offset": 10**6})).status_code == 422


async def test_a_replay_beyond_the_log_comes_out_of_the_journal(ann: Owner, receiver: Receiver) -> None:
    hook = await ann.subscribe(receiver)
    names = [f"Title {n}" for n in range(30)]
    await ann.rename(*names)
    first = {request.json["id"]: request.json for request in await receiver.until(30)}
    await ann.reaches(offset=hook["offset"] + 30)
    await ann.call("POST", "/pause")
    shard = shard_of(ann.topic, ann.live.parts.settings.shards)
    redis = ann.live.parts.redis
    assert await redis.xtrim(topic_keys(shard, ann.topic).log, maxlen=5, approximate=False)
    # An access to evidence stands in the same chain, and is no entry.
    await ann.live.parts.journal.record_access(ann.topic, "ann", "read", 1)
    receiver.taken.clear()
    await ann.call("POST", "/replay", {"offset": 0})
    await ann.call("POST", "/resume")
    await receiver.until(31)
    events = [request.json for request in receiver.taken]
    assert events[0]["data"]["event"] == "spawn"
    assert [event["data"]["context"]["title"] for event in events[1:]] == names
    for event in events[1:]:
        known = first[event["id"]]
        assert event["type"] == known["type"] == "casewire.entry.v1"
        without = {name: v for name, v in known["data"].items() if name not in ("epoch", "offset")}
        assert {n: v for n, v in event["data"].items() if n not in ("epoch", "offset")} == without
    positions = [(event["data"]["epoch"], event["data"]["offset"]) for event in events]
    chained = positions.count(("", 0))
    assert 26 <= chained < 31
    assert positions[chained:] == [(hook["epoch"], hook["offset"] + n) for n in range(chained, 31)]
    await ann.reaches(offset=hook["offset"] + 30)


async def test_machines_that_left_make_a_replay_begin_earlier_and_never_later(
    ann: Owner, receiver: Receiver
) -> None:
    """The log counts a machine that leaves, and the journal does not."""
    user, engine, store = f"user:{ann.person.id}", ann.live.parts.engine, ann.live.parts.store
    response = await ann.person.call("POST", "/api/webhooks", {"topic": user, "url": receiver.url})
    ann.hook = response.json()

    async def told(title: str) -> str:
        machine = (await engine.spawn("notification", user, {"title": title})).machine

        async def delivered() -> bool:
            snapshot = await store.load(machine)
            return snapshot is not None and snapshot.configuration == ["delivered"]

        await until(delivered, 10)
        return machine

    for number in range(6):
        machine = await told(f"{number}")
        await engine.send(machine, "mark_read", {}, source="client", role="owner")
        if number < 3:
            await store.evict(machine)
    await told("last")
    _, offset = await store.position(user)
    await ann.reaches(offset=offset)
    log = await store.read_log(user, ann.hook["epoch"], 0)
    assert log is not None
    after = 5
    wanted = [event_id(entry) for entry in log.entries[after:] if not entry["gone"]]
    await ann.call("POST", "/pause")
    shard = shard_of(user, ann.live.parts.settings.shards)
    await ann.live.parts.redis.xtrim(topic_keys(shard, user).log, maxlen=2, approximate=False)
    receiver.taken.clear()
    await ann.call("POST", "/replay", {"offset": after})
    await ann.call("POST", "/resume")
    await receiver.wait(lambda: bool(receiver.taken) and receiver.taken[-1].json["id"] == wanted[-1])
    ids = [request.json["id"] for request in receiver.taken]
    assert [each for each in ids if each in wanted] == wanted
    assert len(ids) <= len(wanted) + 3


async def test_another_epoch_brings_a_snapshot_that_says_so(ann: Owner, receiver: Receiver) -> None:
    await ann.subscribe(receiver)
    await ann.rename("One")
    await receiver.until(1)
    shard = shard_keys(shard_of(ann.topic, ann.live.parts.settings.shards))
    await ann.live.parts.redis.set(shard.era, "another")
    await ann.rename("Two")
    await receiver.until(2)
    event = receiver.taken[1].json
    assert (event["type"], event["data"]["epoch"].endswith(".another")) == ("casewire.snapshot.v1", True)
    assert event["data"]["machines"][0]["context"]["title"] == "Two"
    await ann.rename("Three")
    await receiver.until(3)
    assert receiver.taken[2].json["data"]["context"] == {"title": "Three"}


async def test_a_new_secret_and_the_old_one_sign_side_by_side_for_a_day(
    ann: Owner, receiver: Receiver
) -> None:
    old = (await ann.subscribe(receiver))["secret"]
    new = (await ann.call("POST", "/secret"))["secret"]
    assert new != old
    await ann.rename("One")
    (request,) = await receiver.until(1)
    assert request.signed_by(old)
    assert request.signed_by(new)
    async with ann.live.parts.database.begin() as connection:
        await connection.execute(text("UPDATE webhooks SET previous_until = now() - interval '1 second'"))
    await ann.call("POST", "/resume")
    await ann.rename("Two")
    await receiver.until(2)
    assert receiver.taken[1].signed_by(new)
    assert not receiver.taken[1].signed_by(old)


async def test_a_webhook_that_fails_for_days_is_paused_its_owner_told_and_nothing_lost(
    ann: Owner, receiver: Receiver
) -> None:
    await ann.subscribe(receiver)
    receiver.plan = [500]
    receiver.headers = {"Retry-After": "1"}
    await ann.rename("One")
    await ann.reaches(tries=1)
    receiver.always = 500
    receiver.headers = {}
    async with ann.live.parts.database.begin() as connection:
        await connection.execute(text("UPDATE webhooks SET failing_since = now() - interval '6 days'"))
        await connection.execute(text("UPDATE webhooks SET term = term + 1, holder = ''"))
    paused = await ann.reaches(paused="target.failing")
    assert paused["offset"] == ann.hook["offset"]

    async def told() -> Any:
        state = await ann.live.parts.store.read_topic(f"user:{ann.person.id}")
        return [machine for machine in state.machines if machine.kind == "notification"]

    (notification,) = await until(told, 10)
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


async def test_a_pause_holds_everything_back(ann: Owner, receiver: Receiver) -> None:
    await ann.subscribe(receiver)
    assert (await ann.call("POST", "/pause"))["paused"] == "paused"
    await ann.rename("One", "Two")
    await asyncio.sleep(0.5)
    assert receiver.requests == []
    await ann.call("POST", "/resume")
    await receiver.until(2)
    assert titles(receiver) == ["One", "Two"]


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


async def test_a_ping_tells_whether_the_address_works(ann: Owner, receiver: Receiver) -> None:
    hook = await ann.subscribe(receiver)
    assert (await ann.call("POST", "/ping"))["delivered"] is True
    (request,) = receiver.taken
    assert request.json["type"] == "casewire.ping.v1"
    assert request.signed_by(hook["secret"])
    receiver.always = 404
    answer = await ann.call("POST", "/ping")
    assert (answer["delivered"], answer["status"]) == (False, 404)
    assert len(await ann.call("GET", "/attempts")) == 2
    assert (await ann.call("GET"))["offset"] == hook["offset"]


async def test_an_idle_webhook_costs_the_database_no_writes_of_its_position(
    ann: Owner, receiver: Receiver
) -> None:
    """What nobody wants moves the position in memory; what is delivered next moves it for good."""
    hook = await ann.subscribe(receiver, events=["hold"])
    await ann.rename("One", "Two")
    await asyncio.sleep(0.3)
    assert (await ann.call("GET"))["offset"] == hook["offset"]
    await ann.live.parts.engine.send(ann.case["machine"], "hold", {}, source="client", role="owner")
    await receiver.until(1)
    await ann.reaches(offset=hook["offset"] + 3)


async def test_a_deleted_webhook_delivers_nothing_more(ann: Owner, receiver: Receiver) -> None:
    await ann.subscribe(receiver)
    await ann.rename("One")
    await receiver.until(1)
    await ann.call("DELETE")
    await asyncio.sleep(0.2)
    await ann.rename("Two")
    await asyncio.sleep(0.5)
    assert titles(receiver) == ["One"]
    assert (await ann.person.call("GET", f"/api/webhooks/{ann.hook['id']}")).status_code == 404


async def test_a_person_follows_their_own_topic(ann: Owner, receiver: Receiver) -> None:
    topic = f"user:{ann.person.id}"
    response = await ann.person.call("POST", "/api/webhooks", {"topic": topic, "url": receiver.url})
    assert response.status_code == 201
    await ann.live.parts.engine.spawn("notification", topic, {"title": "Hello"})
    await receiver.until(1)
    assert receiver.taken[0].json["subject"].startswith("notification-")
    listed = (await ann.person.call("GET", "/api/webhooks")).json()
    assert [hook["topic"] for hook in listed] == [topic]


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
