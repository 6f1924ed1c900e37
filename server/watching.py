"""The points at which events, commits, jobs, pushes and requests are counted and traced."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from machines.chart import events_of
from machines.event import Source
from machines.step import CHARTS, Step
from server import tracing
from server.metrics import tally
from server.tracing import Traced
from storage.machine_store import Committed, OutboxItem
from storage.trace import is_traceparent

logger = logging.getLogger(__name__)


def event(machine: str, name: str, source: Source) -> Traced:
    """An event on its way to a machine."""
    if tracing.sender is None:
        return tracing.unsent()
    kind = machine.partition("-")[0]
    # What a client made up is not repeated: it may be anything.
    chart = CHARTS.get(kind)
    known = chart is not None and (name == "spawn" or name in events_of(chart))
    return tracing.span(
        f"{kind} {name}" if known else "unknown event",
        attributes={
            "casewire.machine.kind": kind if chart is not None else "unknown",
            "casewire.event.name": name if known else "unknown",
            "casewire.event.source": source,
            **({"casewire.machine.id": machine} if known else {}),
        },
    )


def commit() -> Traced:
    """One commit."""
    if tracing.sender is None:
        return tracing.NOTHING
    return tracing.span("commit", "CLIENT", {"db.system.name": "redis", "db.operation.name": "EVALSHA"})


def committed(step: Step, outcome: Committed, began: float) -> None:
    """A commit that began at a `time.perf_counter` has ended well."""
    _commit_took(time.perf_counter() - began)
    if not outcome.repeated:
        sums, series = tally.sums, ("casewire_transitions", step.snapshot.kind, step.event)
        sums[series] = sums.get(series, 0.0) + 1.0
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug(
            "An event was applied.",
            extra={
                "action": "event.applied",
                "machine": step.snapshot.id,
                "machine_event": step.event,
                "revision": outcome.revision,
                "repeated": outcome.repeated,
            },
        )


_commit_took = tally.timing("casewire_commit_seconds")


def conflict(step: Step) -> None:
    """Another process was faster."""
    tally.count("casewire_conflicts", step.snapshot.kind)


def refused(error: Exception) -> None:
    """An event was refused."""
    tally.count("casewire_refused", getattr(error, "code", type(error).__name__))


def pushed(message: Mapping[str, Any], subscribers: int) -> None:
    """A message was handed to subscribers."""
    kind = message["type"]
    tally.count("casewire_pushed", kind, by=subscribers)
    if tracing.sender is not None and is_traceparent(traceparent := message.get("trace", "")):
        attributes = {"casewire.subscribers": subscribers, "casewire.machine.id": message["machine"]}
        with tracing.entering(traceparent, "push", "PRODUCER", attributes):
            pass


def closed(why: str) -> None:
    """A websocket has ended: the name of its close code, or `client`."""
    tally.count("casewire_socket_closes", why)


def timer_fired(late_s: float) -> None:
    """A timer's event was applied."""
    tally.observe(max(0.0, late_s), "casewire_timer_late_seconds")


def delivered(status: int, seconds: float) -> None:
    """A request to a webhook has ended: with an HTTP status, or with 0 where no answer came."""
    answered = "delivered" if 200 <= status < 300 else "refused"
    result = answered if status else "unanswered"
    tally.count("casewire_webhook_requests", result)
    tally.observe(seconds, "casewire_webhook_seconds")


class Job:
    """How a piece of work ended; `ended` is told before the block ends."""

    def __init__(self) -> None:
        self.ended = "unfinished"


@contextmanager
def job(item: OutboxItem) -> Iterator[Job]:
    """The work of an effect, in a worker or inline: in the trace of the commit that asked for it."""
    attributes = {
        "messaging.system": "rq" if item.queue != "inline" else "casewire",
        "messaging.operation.type": "process",
        "messaging.destination.name": item.queue,
        "messaging.message.id": item.effect_id,
        "casewire.effect.name": item.name,
        "casewire.machine.id": item.machine,
    }
    began = time.perf_counter()
    this = Job()
    with (
        tracing.entering(item.trace, f"process {item.name}", "CONSUMER", attributes) as span,
        structlog.contextvars.bound_contextvars(
            machine=item.machine, effect=item.effect_id, effect_name=item.name
        ),
    ):
        try:
            yield this
        finally:
            span.note("casewire.job.result", this.ended)
            tally.count("casewire_jobs", item.name, this.ended)
            took = time.perf_counter() - began
            tally.observe(took, "casewire_job_seconds", item.name)
            logger.debug(
                "A job ended.", extra={"action": "job.ended", "result": this.ended, "seconds": round(took, 4)}
            )


def enqueue(item: OutboxItem) -> Traced:
    """An effect on its way into its queue."""
    attributes = {
        "messaging.system": "rq",
        "messaging.operation.type": "send",
        "messaging.destination.name": item.queue,
        "messaging.message.id": item.effect_id,
        "casewire.effect.name": item.name,
    }
    return tracing.entering(item.trace, f"send {item.queue}", "PRODUCER", attributes)


class WatchedRequests:
    """ASGI middleware around everything: counts, traces and names each HTTP request by its route."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._took: dict[str, Callable[[float], None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        status = 500
        began = time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        parent = Headers(scope=scope).get("traceparent", "")
        with tracing.entering(parent, method, "SERVER", {"http.request.method": method}) as span:
            try:
                await self._app(scope, receive, noting)
            finally:
                route = route_of(scope)
                span.rename(f"{method} {route}")
                span.note("http.route", route)
                span.note("http.response.status_code", status)
                tally.count("casewire_http_requests", method, route, str(status))
                took = time.perf_counter() - began
                if route not in self._took:
                    self._took[route] = tally.timing("casewire_http_request_seconds", route)
                self._took[route](took)
                if logger.isEnabledFor(logging.DEBUG):
                    logger.debug(
                        "A request was answered.",
                        extra={
                            "action": "http.answered",
                            "method": method,
                            "route": route,
                            "status": status,
                            "seconds": round(took, 4),
                        },
                    )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def route_of(scope: Scope) -> str:
    """The template of the route that was found, such as `/api/cases/{case}`; paths hold ids."""
    return str(getattr(scope.get("route"), "path", "none"))


def repeated(route: str) -> Callable[[float], None]:
    """What counts, with its seconds, a GET request of a route that is answered with 200 outside of ASGI."""
    series = ("casewire_http_requests", "GET", route, "200")
    took = tally.timing("casewire_http_request_seconds", route)
    sums = tally.sums

    def count(seconds: float) -> None:
        sums[series] = sums.get(series, 0.0) + 1.0
        took(seconds)

    return count


def watches_each() -> bool:
    """Whether of each request more is told than that it was: a span or a line of the log."""
    return tracing.sender is not None or logger.isEnabledFor(logging.DEBUG)
