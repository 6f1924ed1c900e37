"""The description of websocket, streams and webhooks in AsyncAPI 3.0, made from the message models.

Its schemas are JSON Schema draft 07, which AsyncAPI asks for: what pydantic says in newer words is
said in those.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from machines.chart import events_of
from machines.effect import effect_types
from machines.step import CHARTS
from server.cloudevents import BATCH_CONTENT_TYPE, CONTENT_TYPE
from server.messages import SUBPROTOCOL, Ping, Send, Spawn, Subscribe, Unsubscribe
from server.replies import DELIVERED, PUSHED, REPLIES, STREAMED

Schema = dict[str, Any]

REQUESTS: dict[str, Any] = {
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "spawn": Spawn,
    "send": Send,
    "ping": Ping,
}
ANSWERS: dict[str, tuple[str, ...]] = {
    "subscribe": ("recovered", "begun", "refusal"),
    "unsubscribe": ("left", "refusal"),
    "spawn": ("outcome", "refusal"),
    "send": ("outcome", "refusal"),
    "ping": ("pong", "refusal"),
}

_INFO = """\
Machines and what happens to them, live. Every transition is an entry of its topic's log, numbered within an
epoch; whoever was away resumes from `(epoch, offset)`, and gets a snapshot where the log no longer reaches
back. The websocket carries requests, too; streams (server-sent events) and webhooks carry the same log as
CloudEvents."""

_SIGNATURE_HEADERS: Schema = {
    "type": "object",
    "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
    "properties": {
        "webhook-id": {"type": "string", "description": "The same in every try of one delivery."},
        "webhook-timestamp": {"type": "string", "description": "Unix seconds of this try."},
        "webhook-signature": {
            "type": "string",
            "description": "`v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64; two, separated by a "
            "space, while a secret is being replaced.",
        },
    },
}


def description(address: str) -> Schema:
    """The whole document, as JSON values.

    Args:
        address: Where the server is reached, `http://…` or `https://…`.
    """
    parts = urlsplit(address)
    secure = parts.scheme == "https"
    return {
        "asyncapi": "3.0.0",
        "id": "urn:casewire",
        "info": {"title": "Casewire", "version": version("casewire"), "description": _INFO},
        "defaultContentType": "application/json",
        "servers": {
            "websocket": {"host": parts.netloc, "protocol": "wss" if secure else "ws", "security": _SECURITY},
            "http": {"host": parts.netloc, "protocol": parts.scheme, "security": _SECURITY},
        },
        **_document(),
    }


_SECURITY = [
    {"$ref": "#/components/securitySchemes/token"},
    {"$ref": "#/components/securitySchemes/session"},
]


@cache
def _document() -> Schema:
    websocket = REQUESTS | REPLIES | PUSHED
    channels = {
        "websocket": {
            "address": "/ws",
            "title": "One websocket",
            "description": f"JSON text frames, subprotocol `{SUBPROTOCOL}`. Close codes 3000 to 3499 mean: "
            "come again, with jitter; 3500 and above: stop.",
            "servers": [{"$ref": "#/servers/websocket"}],
            "messages": _referred(websocket),
            "bindings": {"ws": {"method": "GET"}},
        },
        "stream": {
            "address": "/streams/{topic}",
            "title": "One topic as server-sent events",
            "description": "Resumes after `Last-Event-ID` (`<epoch>:<offset>`, the id of every durable "
            "event); passing messages with `?passing=1`.",
            "servers": [{"$ref": "#/servers/http"}],
            "parameters": {"topic": {"description": "Such as `case:<id>` or `user:<id>`."}},
            "messages": _referred(STREAMED),
            "bindings": {"http": {}},
        },
        "webhook": {
            "address": None,
            "title": "One topic as requests to an address of one's own",
            "description": "Set up at `/api/webhooks`. In order, each at least once; 2xx takes a delivery, "
            "anything else is tried again. A webhook that takes batches gets nothing but batches.",
            "messages": _referred(DELIVERED),
            "bindings": {"http": {}},
        },
    }
    schemas, definitions = _schemas()
    messages = {
        name: _message(name, model, schemas[name])
        for name, model in (websocket | STREAMED | DELIVERED).items()
    }
    return {
        "channels": channels,
        "operations": {
            **{name: _request(name) for name in REQUESTS},
            "push": _sent("websocket", PUSHED, "What happens on the topics that are followed."),
            "stream": _sent("stream", STREAMED, "What was missed or a snapshot, then what happens."),
            "deliver": _sent("webhook", DELIVERED, "What happens, until it is taken."),
        },
        "components": {
            "messages": messages,
            "schemas": definitions,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An API token."},
                "session": {"type": "httpApiKey", "in": "cookie", "name": "casewire_session"},
            },
        },
    }


def _referred(models: Mapping[str, Any]) -> Schema:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in models}


def _message(name: str, model: Any, payload: Schema) -> Schema:
    told: Schema = {"name": name, "title": name, "payload": payload}
    if name in STREAMED or name in DELIVERED:
        told["contentType"] = BATCH_CONTENT_TYPE if name == "batchDelivery" else CONTENT_TYPE
    if name in DELIVERED:
        told["headers"] = _SIGNATURE_HEADERS
    if name in REQUESTS or name in REPLIES:
        told["correlationId"] = {"location": "$message.payload#/id"}
    text = (model.__doc__ or "").strip() if isinstance(model, type) else ""
    if text:
        told["summary"] = text.split("\n")[0]
    return told


def _request(name: str) -> Schema:
    return {
        "action": "receive",
        "channel": {"$ref": "#/channels/websocket"},
        "messages": [{"$ref": f"#/channels/websocket/messages/{name}"}],
        "reply": {
            "channel": {"$ref": "#/channels/websocket"},
            "messages": [{"$ref": f"#/channels/websocket/messages/{answer}"} for answer in ANSWERS[name]],
        },
    }


def _sent(channel: str, models: Mapping[str, Any], summary: str) -> Schema:
    return {
        "action": "send",
        "summary": summary,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in models],
    }


def _schemas() -> tuple[dict[str, Schema], dict[str, Schema]]:
    """The payload of each message, and every schema by name, those of the charts included."""
    models = REQUESTS | REPLIES | PUSHED | STREAMED | DELIVERED
    named: dict[str, Any] = {f"context.{kind}": chart.context_type for kind, chart in CHARTS.items()}
    for kind, chart in CHARTS.items():
        for name, event in ({"spawn": chart.spawn_event} | events_of(chart)).items():
            named[f"event.{kind}.{name}"] = event
    named |= {f"effect.{name}": effect for name, effect in effect_types().items() if _is_ours(effect)}
    inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        (name, "validation", TypeAdapter(model)) for name, model in (models | named).items()
    ]
    by_key, whole = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")
    found = {name: _older(schema) for (name, _), schema in by_key.items()}
    definitions = {name: _older(schema) for name, schema in whole.get("$defs", {}).items()}
    return (
        {name: found[name] for name in models},
        dict(sorted((definitions | {name: found[name] for name in named}).items())),
    )


def _is_ours(effect: type) -> bool:
    return effect.__module__.startswith("machines.")


def _older(value: Any) -> Any:
    """A schema in the words of draft 07."""
    if isinstance(value, list):
        return [_older(each) for each in value]
    if not isinstance(value, dict):
        return value
    told = {name: _older(each) for name, each in value.items() if name != "discriminator"}
    if isinstance(told.get("prefixItems"), list):
        told["items"] = told.pop("prefixItems")
        told["additionalItems"] = False
    return told
