"""Webhooks over HTTP: set up, watched, tried out, replayed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Annotated, Any

import orjson
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from machines.event import BIGGEST
from machines.step import CHARTS
from server.auth import require_role, require_visitor
from server.bodies import Body, Json, nothing, number, query, read
from server.cloudevents import CONTENT_TYPE, PING, envelope
from server.errors import Denied, Invalid
from server.operations import operation
from server.parts import Parts, parts_of
from server.webhooks import announce
from server.webhooks_delivery import ROLE
from server.webhooks_sending import Parcel
from server.webhooks_signing import new_secret
from storage.webhook_deliveries import Attempt
from storage.webhooks import Hook, UnknownWebhook

PAUSED_BY_HAND = "paused"
_SHOWN = 200

Name = Annotated[str, Field(min_length=1, max_length=80)]


class NewWebhook(Body):
    """Where to deliver what; no kinds or no events means all of them."""

    topic: Annotated[str, Field(min_length=1, max_length=200)]
    url: Annotated[str, Field(min_length=1, max_length=2000)]
    kinds: Annotated[list[Name], Field(max_length=50)] = []
    events: Annotated[list[Name], Field(max_length=100)] = []
    batch: Annotated[int, Field(ge=1, le=100)] = 1
    """Most events in a request; above 1 every request is a CloudEvents batch."""


class OfTopic(Body):
    """The webhooks of a topic, which its owner may see; without one those that the visitor made."""

    topic: Annotated[str, Field(max_length=200)] = ""


class Replay(Body):
    """Deliver again every entry after `offset`; 0 for all."""

    offset: Annotated[int, Field(ge=0, le=BIGGEST)]


class LettersAfter(Body):
    """Dead letters numbered above `after`."""

    after: Annotated[int, Field(ge=0, le=BIGGEST)] = 0


@dataclass(frozen=True)
class WebhookView:
    """A webhook without its secret. `paused` says why nothing is delivered, and is empty while it is."""

    id: str
    topic: str
    user: str
    url: str
    kinds: list[str]
    events: list[str]
    batch: int
    paused: str
    epoch: str
    offset: int
    tries: int
    failing_since: datetime | None
    next_try_at: datetime | None
    dead_letters: int
    created_at: datetime


@dataclass(frozen=True)
class WebhookWithSecret(WebhookView):
    """The one time that the secret is told."""

    secret: str


@dataclass(frozen=True)
class AttemptView:
    """One request: its HTTP status, 0 where no answer came, and how long it took."""

    event_id: str
    events: int
    delivered: bool
    status: int
    duration_ms: float
    error: str
    at: datetime


@dataclass(frozen=True)
class LetterView:
    """A request that was given up, kept with its body."""

    id: int
    event_id: str
    bytes: int
    reason: str
    tries: int
    at: datetime


@operation("owner", body=NewWebhook, answer=WebhookWithSecret, status=201, errors=(404, 409))
async def create(request: Request) -> Response:
    """Deliver what happens on a topic from now on to an address; the answer holds the secret, once."""
    await require_visitor(request)
    wanted = await read(request, NewWebhook)
    visitor, _ = await require_role(request, wanted.topic, ROLE, "topic")
    parts = parts_of(request)
    parts.sender.targets.check(wanted.url)
    unknown = sorted(set(wanted.kinds) - CHARTS.keys())
    if unknown:
        raise Invalid(f"kinds: there is no chart {', '.join(unknown)}")
    epoch, offset = await parts.store.position(wanted.topic)
    secret = new_secret()
    hook = await parts.webhooks.create(
        f"wh_{token_hex(10)}",
        wanted.topic,
        visitor.person.id,
        wanted.url,
        secret,
        kinds=wanted.kinds,
        events=wanted.events,
        batch=wanted.batch,
        epoch=epoch,
        position=offset,
    )
    await announce(parts.redis)
    return Json(WebhookWithSecret(**_facts(hook, 0), secret=secret), 201)


@operation("login", query=OfTopic, answer=list[WebhookView], errors=(403, 404))
async def list_webhooks(request: Request) -> Response:
    """The webhooks of a topic, or one's own."""
    visitor = await require_visitor(request)
    parts, topic = parts_of(request), query(request, OfTopic).topic
    if topic:
        await require_role(request, topic, ROLE, "topic")
    hooks = await (parts.webhooks.of_topic(topic) if topic else parts.webhooks.of_user(visitor.person.id))
    dead = await parts.deliveries.letter_counts([hook.id for hook in hooks])
    return Json([WebhookView(**_facts(hook, dead.get(hook.id, 0))) for hook in hooks])


@operation("owner", answer=WebhookView)
async def get_webhook(request: Request) -> Response:
    """One webhook: where it stands, and whether it fails."""
    return await _shown(request, await _mine(request))


@operation("owner", status=204)
async def delete_webhook(request: Request) -> Response:
    """Deliver nothing any more, and forget the dead letters."""
    hook = await _mine(request)
    await parts_of(request).webhooks.delete(hook.id)
    await announce(parts_of(request).redis)
    return nothing()


@operation("owner", answer=WebhookView)
async def pause(request: Request) -> Response:
    """Deliver nothing until it is resumed; nothing is lost meanwhile."""
    hook = await _mine(request)
    return await _changed(request, await parts_of(request).webhooks.pause(hook.id, PAUSED_BY_HAND))


@operation("owner", answer=WebhookView)
async def resume(request: Request) -> Response:
    """Go on where it stopped, at once."""
    hook = await _owned(request)
    return await _changed(request, await parts_of(request).webhooks.resume(hook.id))


@operation("owner", answer=WebhookWithSecret)
async def rotate(request: Request) -> Response:
    """Sign with a new secret; for a day requests carry a signature by the old one, too."""
    hook, secret = await _owned(request), new_secret()
    changed = await parts_of(request).webhooks.rotate(hook.id, secret)
    await announce(parts_of(request).redis)
    dead = await parts_of(request).deliveries.letter_counts([hook.id])
    return Json(WebhookWithSecret(**_facts(changed, dead.get(hook.id, 0)), secret=secret))


@operation("owner", body=Replay, answer=WebhookView)
async def replay(request: Request) -> Response:
    """Deliver once more what came after an offset, from the log or else from the journal."""
    hook = await _owned(request)
    after = (await read(request, Replay)).offset
    epoch, offset = await parts_of(request).store.position(hook.topic)
    if after > offset:
        raise Invalid(f"the topic is at offset {offset}")
    return await _changed(request, await parts_of(request).webhooks.replay(hook.id, epoch, after))


@operation("owner", answer=AttemptView)
async def ping(request: Request) -> Response:
    """Send a signed event that means nothing, now, and tell how that ended."""
    hook, parts = await _owned(request), parts_of(request)
    message = f"ping:{token_hex(12)}"
    data = orjson.dumps({"type": "ping", "webhook": hook.id})
    at = datetime.now().timestamp()
    body = envelope(PING, message, hook.topic, subject=hook.id, at=at, data=data)
    sent = await parts.sender.send(hook, Parcel(message, CONTENT_TYPE, body))
    await parts.deliveries.note(hook.id, sent.attempt)
    return Json(_attempt(sent.attempt))


@operation("owner", answer=list[AttemptView])
async def attempts(request: Request) -> Response:
    """The newest requests, newest first."""
    hook = await _mine(request)
    return Json([_attempt(each) for each in await parts_of(request).deliveries.attempts(hook.id, _SHOWN)])


@operation("owner", query=LettersAfter, answer=list[LetterView])
async def letters(request: Request) -> Response:
    """What could not be delivered, oldest first."""
    hook = await _mine(request)
    after = query(request, LettersAfter).after
    found = await parts_of(request).deliveries.letters(hook.id, after=after, limit=_SHOWN)
    return Json(
        [
            LetterView(each.id, each.event_id, len(each.body), each.reason, each.tries, each.at)
            for each in found
        ]
    )


@operation("owner", answer=AttemptView)
async def retry_letter(request: Request) -> Response:
    """Send a dead letter again, now; it stays unless it is taken."""
    hook, parts = await _owned(request), parts_of(request)
    letter = await parts.deliveries.letter(hook.id, number(request, "letter"))
    await _check_maker(parts, hook)
    sent = await parts.sender.send(hook, Parcel(letter.event_id, letter.content_type, letter.body))
    await parts.deliveries.note(hook.id, sent.attempt)
    if sent.attempt.delivered:
        await parts.deliveries.drop_letter(hook.id, letter.id)
    return Json(_attempt(sent.attempt))


@operation("owner", status=204)
async def drop_letter(request: Request) -> Response:
    """Forget a dead letter."""
    hook = await _mine(request)
    await parts_of(request).deliveries.drop_letter(hook.id, number(request, "letter"))
    return nothing()


async def _mine(request: Request) -> Hook:
    """The webhook that is asked for, for an owner of its topic, and for who made it even without a right."""
    visitor = await require_visitor(request)
    hook = await parts_of(request).webhooks.get(request.path_params["webhook"])
    # A token sees what its scopes and cases leave of it, and no more.
    if hook.user_id == visitor.person.id and visitor.login is not None:
        return hook
    return await _owned(request)


async def _owned(request: Request) -> Hook:
    """The webhook that is asked for, for an owner of its topic alone."""
    visitor = await require_visitor(request)
    hook = await parts_of(request).webhooks.get(request.path_params["webhook"])
    role = await parts_of(request).rights.role_for(visitor, hook.topic)
    if role is None and hook.user_id != visitor.person.id:
        raise UnknownWebhook
    await require_role(request, hook.topic, ROLE, "topic")
    return hook


async def _check_maker(parts: Parts, hook: Hook) -> None:
    maker = await parts.people.get(hook.user_id)
    if maker is None or await parts.rights.role(maker, hook.topic) != ROLE:
        raise Denied("who made this webhook is no owner of its topic any more", code="webhook.ended")


async def _shown(request: Request, hook: Hook) -> Response:
    dead = await parts_of(request).deliveries.letter_counts([hook.id])
    return Json(WebhookView(**_facts(hook, dead.get(hook.id, 0))))


async def _changed(request: Request, hook: Hook) -> Response:
    await announce(parts_of(request).redis)
    return await _shown(request, hook)


def _facts(hook: Hook, dead_letters: int) -> dict[str, Any]:
    return {
        "id": hook.id,
        "topic": hook.topic,
        "user": hook.user_id,
        "url": hook.url,
        "kinds": hook.kinds,
        "events": hook.events,
        "batch": hook.batch,
        "paused": hook.paused,
        "epoch": hook.epoch,
        "offset": hook.position,
        "tries": hook.tries,
        "failing_since": hook.failing_since,
        "next_try_at": hook.next_try_at,
        "dead_letters": dead_letters,
        "created_at": hook.created_at,
    }


def _attempt(attempt: Attempt) -> AttemptView:
    return AttemptView(
        attempt.event_id,
        attempt.events,
        attempt.delivered,
        attempt.status,
        attempt.duration_ms,
        attempt.error,
        attempt.at,
    )


def _route(path: str, endpoint: Callable[..., Any], method: str) -> Route:
    return Route(f"/api/webhooks{path}", endpoint, methods=[method])


routes = [
    _route("", create, "POST"),
    _route("", list_webhooks, "GET"),
    _route("/{webhook}", get_webhook, "GET"),
    _route("/{webhook}", delete_webhook, "DELETE"),
    _route("/{webhook}/pause", pause, "POST"),
    _route("/{webhook}/resume", resume, "POST"),
    _route("/{webhook}/secret", rotate, "POST"),
    _route("/{webhook}/replay", replay, "POST"),
    _route("/{webhook}/ping", ping, "POST"),
    _route("/{webhook}/attempts", attempts, "GET"),
    _route("/{webhook}/dead-letters", letters, "GET"),
    _route("/{webhook}/dead-letters/{letter}/retry", retry_letter, "POST"),
    _route("/{webhook}/dead-letters/{letter}", drop_letter, "DELETE"),
]
