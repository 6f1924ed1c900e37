"""The AsyncAPI document against its own rules, and against what a running server sends."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import jsonschema
import pytest
import pytest_asyncio

from machines.chart import events_of
from machines.effect import effect_types
from machines.step import CHARTS
from server import typescript
from server.asyncapi import description
from server.cli import main
from server.services import Services
from server.settings import Settings
from storage.keys import shard_keys
from storage.machine_store import shard_of
from tests.server.live import Live, Person, Wire, running
from tests.server.sse_reader import Reader, stream
from tests.server.webhooks.receiver import Receiver, receiving

DOCUMENT = description("https://cases.example.org")

_FIELDS = {
    "": {"asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components"},
    "server": {"host", "protocol", "security"},
    "channel": {"address", "title", "description", "servers", "parameters", "messages", "bindings"},
    "operation": {"action", "channel", "summary", "messages", "reply"},
    "reply": {"channel", "messages"},
    "message": {"name", "title", "summary", "payload", "headers", "contentType", "correlationId"},
    "components": {"messages", "schemas", "securitySchemes"},
}
"""Of what AsyncAPI 3.0 lets these objects hold, the fields that are used."""


def resolve(reference: str) -> Any:
    value: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        value = value[part]
    return value


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def validator(schema: dict[str, Any]) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(
        {**schema, "components": DOCUMENT["components"]}, format_checker=jsonschema.FormatChecker()
    )


VALIDATORS = {
    name: validator(message["payload"]) for name, message in DOCUMENT["components"]["messages"].items()
}


def of_channel(channel: str) -> set[str]:
    return set(DOCUMENT["channels"][channel]["messages"])


def the_message(channel: str, frame: Any) -> str:
    """The one message of a channel that a frame is."""
    fitting = [name for name in sorted(of_channel(channel)) if VALIDATORS[name].is_valid(frame)]
    assert len(fitting) == 1, f"{fitting} for {json.dumps(frame)[:2000]}"
    return fitting[0]


def test_every_reference_leads_somewhere() -> None:
    found = list(references(DOCUMENT))
    assert len(found) > 100
    for reference in found:
        assert resolve(reference) is not None


def test_the_document_holds_what_asyncapi_asks_for_and_nothing_it_does_not_know() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT["info"].keys() >= {"title", "version"}
    assert DOCUMENT.keys() <= _FIELDS[""]
    for server in DOCUMENT["servers"].values():
        assert {"host", "protocol"} <= server.keys() <= _FIELDS["server"]
    for channel in DOCUMENT["channels"].values():
        assert channel.keys() <= _FIELDS["channel"]
        parameters = set(re.findall(r"\{(\w+)\}", channel["address"] or ""))
        assert parameters == channel.get("parameters", {}).keys()
        assert all(set(each) == {"$ref"} for each in channel["messages"].values())
    for operation in DOCUMENT["operations"].values():
        assert {"action", "channel"} <= operation.keys() <= _FIELDS["operation"]
        assert operation["action"] in ("send", "receive")
        for part in (operation, operation.get("reply", operation)):
            mine = part["channel"]["$ref"] + "/messages/"
            assert all(message["$ref"].startswith(mine) for message in part["messages"])
        assert operation.get("reply", {}).keys() <= _FIELDS["reply"]
    components = DOCUMENT["components"]
    assert components.keys() <= _FIELDS["components"]
    for kind in components.values():
        assert all(re.fullmatch(r"[a-zA-Z0-9.\-_]+", name) for name in kind)
    for message in components["messages"].values():
        assert message.keys() <= _FIELDS["message"]
        jsonschema.Draft7Validator.check_schema(message["payload"])
    for schema in components["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)
    told = json.dumps(DOCUMENT)
    assert not [word for word in ("prefixItems", "discriminator", "$defs", "nullable") if word in told]


def test_every_message_is_of_a_channel_and_of_an_operation() -> None:
    used = {
        message["$ref"].rpartition("/")[2]
        for operation in DOCUMENT["operations"].values()
        for message in [*operation["messages"], *operation.get("reply", {}).get("messages", [])]
    }
    in_channels = {name for channel in DOCUMENT["channels"] for name in of_channel(channel)}
    assert used == in_channels == DOCUMENT["components"]["messages"].keys()


def test_events_contexts_and_effects_of_every_chart_are_described() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for kind, chart in CHARTS.items():
        assert f"context.{kind}" in schemas
        for event in ["spawn", *events_of(chart)]:
            assert f"event.{kind}.{event}" in schemas
    for name, effect in effect_types().items():
        assert (f"effect.{name}" in schemas) == effect.__module__.startswith("machines.")
    assert validator(schemas["event.case.rename"]).is_valid({"title": "New"})
    assert not validator(schemas["event.case.rename"]).is_valid({"title": ""})


def test_the_command_prints_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["describe", "asyncapi"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["channels"] == DOCUMENT["channels"]


def test_the_types_of_the_browser_are_those_of_the_models() -> None:
    assert typescript.FILE.read_text(encoding="utf-8") == typescript.declarations(), (
        "run: python -m server.typescript"
    )


@pytest_asyncio.fixture(loop_scope="session")
async def live(
    settings: Settings, services: Services, redis_client: Any, database: str
) -> AsyncIterator[Live]:
    calling = settings.model_copy(update={"webhook_hosts": "127.0.0.1"})
    async with running(calling, services) as started:
        yield started


async def test_everything_that_a_running_server_sends_is_described_and_all_that_is_described_is_sent(
    live: Live,
) -> None:
    seen: dict[str, set[str]] = {channel: set() for channel in DOCUMENT["channels"]}
    async with live.person() as ann, live.person("bob") as bob:
        case = await ann.case()
        topic = f"case:{case['id']}"
        await ann.invite(case, bob, "viewer")
        async with (
            receiving() as one,
            receiving() as many,
            ann.socket() as mine,
            bob.socket() as theirs,
            stream(bob, topic, passing="1") as reader,
            stream(ann, topic) as other,
        ):
            hook = await subscribe(ann, topic, one)
            await subscribe(ann, topic, many, batch=10)
            await converse(ann, mine, topic, case)
            await theirs.ask("subscribe", topic=topic)
            await live.parts.engine.publish(topic, case["machine"], "progress", {"done": 1, "total": 2})
            await reader.until("passing")
            await theirs.until(lambda message: message["type"] == "passing")
            await ann.invite(case, bob, "editor")
            await theirs.until(lambda message: message["type"] == "snapshot")
            await ann.call("POST", f"/api/webhooks/{hook}/ping")
            await many.until(1)
            await new_epoch(live, ann, topic, case, one)
            removed = await ann.call("DELETE", f"/api/cases/{case['id']}/members/{bob.id}")
            assert removed.status_code == 204
            await theirs.until(lambda message: message["type"] == "closed")
            await reader.until("closed")
            await live.stop_sockets()
            await other.until("resume")
            for wire in (mine, theirs):
                seen["websocket"] |= {the_message("websocket", frame) for frame in wire.seen}
            for each in (reader, other):
                seen["stream"] |= {the_message("stream", event.data) for event in each.events}
            for receiver in (one, many):
                seen["webhook"] |= {the_message("webhook", request.json) for request in receiver.taken}
            headers = validator(DOCUMENT["components"]["messages"]["pingDelivery"]["headers"])
            assert all(headers.is_valid(request.headers) for request in one.taken + many.taken)
            check_contexts(other)
    requests = {"subscribe", "unsubscribe", "spawn", "send", "ping"}
    assert seen["websocket"] | requests == of_channel("websocket")
    assert seen["stream"] == of_channel("stream")
    assert seen["webhook"] == of_channel("webhook")


async def subscribe(person: Person, topic: str, receiver: Receiver, **wanted: Any) -> str:
    body = {"topic": topic, "url": receiver.url, **wanted}
    response = await person.call("POST", "/api/webhooks", body)
    assert response.status_code == 201
    return str(response.json()["id"])


async def converse(person: Person, wire: Wire, topic: str, case: dict[str, Any]) -> None:
    """Every request, each also refused; what is asked fits the document, too."""
    begun = await wire.ask("subscribe", topic=topic)
    since = {"epoch": begun["epoch"], "offset": begun["offset"]}
    asked: list[dict[str, Any]] = [
        {"type": "ping"},
        {"type": "spawn", "kind": "query", "topic": topic, "data": {"question": "Who?"}, "event_id": "e"},
        {"type": "spawn", "kind": "query", "topic": topic, "data": {"question": "Who?"}, "event_id": "e"},
        {"type": "spawn", "kind": "nothing", "topic": topic, "data": {}},
        {"type": "send", "machine": case["machine"], "event": "hold", "data": {}, "if_revision": 1},
        {"type": "send", "machine": case["machine"], "event": "rename", "data": {"title": "New"}},
        {"type": "send", "machine": case["machine"], "event": "reopen", "data": {}},
        {"type": "subscribe", "topic": topic, "since": since},
        {"type": "subscribe", "topic": "case:none"},
        {"type": "unsubscribe", "topic": topic},
        {"type": "subscribe", "topic": f"user:{person.id}"},
    ]
    for request in asked:
        assert the_message("websocket", request | {"id": 1}) == request["type"]
        fields = dict(request)
        await wire.ask(fields.pop("type"), **fields)
    await wire.socket.send("{")
    refused = await wire.until(lambda message: message["type"] == "error" and message["id"] is None)
    assert refused["code"] == "frame.not_json"
    # A toast would be shown here; its entry is what stays.
    await person.live.parts.engine.spawn("notification", f"user:{person.id}", {"title": "Hello"})
    await wire.until(lambda message: message["type"] == "entry" and message["kind"] == "notification")


async def new_epoch(live: Live, person: Person, topic: str, case: dict[str, Any], receiver: Receiver) -> None:
    shard = shard_keys(shard_of(topic, live.parts.settings.shards))
    await live.parts.redis.set(shard.era, "another")
    await live.parts.engine.send(
        case["machine"], "rename", {"title": "Newer"}, source="client", role="owner", actor=person.id
    )
    await receiver.wait(lambda: any(r.json["type"] == "casewire.snapshot.v1" for r in receiver.taken))


def check_contexts(reader: Reader) -> None:
    """Whole contexts fit the schemas of their charts."""
    machines = [
        machine
        for event in reader.events
        if event.name == "snapshot"
        for machine in event.data["data"]["machines"]
    ]
    assert {machine["kind"] for machine in machines} >= {"case"}
    for machine in machines:
        validator(DOCUMENT["components"]["schemas"][f"context.{machine['kind']}"]).validate(
            machine["context"]
        )


def test_a_field_that_is_not_described_does_not_fit() -> None:
    closed = {"type": "closed", "topic": "case:1", "code": "access.ended"}
    assert the_message("websocket", closed) == "closed"
    assert not any(each.is_valid(closed | {"more": 1}) for each in VALIDATORS.values())
    less = {"type": "closed", "topic": "case:1"}
    assert not any(each.is_valid(less) for each in VALIDATORS.values())
