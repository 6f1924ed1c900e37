"""Traces: one id from a request through commit, outbox, job and result to the push.

The trace is `storage.trace.current`, a W3C traceparent, whether spans are sent anywhere or not.
They are where OTEL_EXPORTER_OTLP_ENDPOINT names a collector: `span` then makes an OpenTelemetry
span under the current one and is the current one itself while it lasts. Names and attributes hold
kinds, events, effects and ids, never text of a case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Token
from importlib.metadata import version
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol

from server.settings import Settings
from storage import trace

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

Kind = Literal["INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]
Attributes = Mapping[str, str | int | float | bool]

_SEND_S = 5.0

sender: Tracer | None = None
"""Makes the spans of this process; None where they are sent nowhere."""


class Traced(Protocol):
    """A `with` block that belongs to a trace."""

    def __enter__(self) -> Traced: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None: ...

    def note(self, name: str, value: str | int | float | bool) -> None:
        """Add what is known only later."""

    def rename(self, name: str) -> None:
        """Give it the name that is known only later."""


def start(settings: Settings, role: str) -> Callable[[], None]:
    """Send the spans of this process to the collector, if one is set; returns what ends it."""
    global sender
    if settings.otlp_endpoint is None:
        return lambda: None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create(
        {
            "service.name": f"casewire-{role}",
            "service.namespace": "casewire",
            "service.version": version("casewire"),
        }
    )
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint}/v1/traces", timeout=_SEND_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    mine = sender = provider.get_tracer("casewire", version("casewire"))

    def end() -> None:
        global sender
        if sender is mine:
            sender = None
        provider.shutdown()

    return end


def entering(
    parent: str, name: str = "", kind: Kind = "INTERNAL", attributes: Attributes | None = None
) -> Traced:
    """Belong to the trace that a request or an effect brings with it; to a new one where it brings none.

    With a `name` there is a span of it.
    """
    given = parent if trace.is_traceparent(parent) else ""
    if sender is not None and name:
        return _Live(sender, given, name, kind, attributes)
    return _Belonging(given or trace.fresh())


def span(name: str, kind: Kind = "INTERNAL", attributes: Attributes | None = None) -> Traced:
    """A part of the current trace; of a new one where there is none."""
    if sender is None:
        return unsent()
    return _Live(sender, trace.current.get(), name, kind, attributes)


def unsent() -> Traced:
    """`span` where spans are sent nowhere."""
    return NOTHING if trace.current.get() else _Belonging(trace.fresh())


class _Nothing:
    __slots__ = ()

    def __enter__(self) -> Traced:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        pass

    def note(self, name: str, value: str | int | float | bool) -> None:
        pass

    def rename(self, name: str) -> None:
        pass


NOTHING = _Nothing()


class _Belonging(_Nothing):
    """A trace without spans."""

    __slots__ = ("_token", "_traceparent")

    def __init__(self, traceparent: str) -> None:
        self._traceparent = traceparent

    def __enter__(self) -> Traced:
        self._token: Token[str] = trace.current.set(self._traceparent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        trace.current.reset(self._token)


class _Live:
    """An OpenTelemetry span; an exception is told by its type alone, as its text may quote evidence."""

    __slots__ = ("_span", "_token")

    def __init__(
        self, tracer: Tracer, parent: str, name: str, kind: Kind, attributes: Attributes | None
    ) -> None:
        from opentelemetry.trace import SpanKind

        self._span: Span = tracer.start_span(
            name,
            context=_context(parent),
            kind=SpanKind[kind],
            attributes=dict(attributes or {}),
            record_exception=False,
            set_status_on_exception=False,
        )

    def __enter__(self) -> Traced:
        context = self._span.get_span_context()
        traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
        self._token: Token[str] = trace.current.set(traceparent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        from opentelemetry.trace import StatusCode

        trace.current.reset(self._token)
        if kind is not None:
            self._span.set_attribute("error.type", kind.__qualname__)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()

    def note(self, name: str, value: str | int | float | bool) -> None:
        self._span.set_attribute(name, value)

    def rename(self, name: str) -> None:
        self._span.update_name(name)


def _context(parent: str) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    if not parent:
        return Context()
    remote = SpanContext(
        trace_id=int(parent[3:35], 16),
        span_id=int(parent[36:52], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(parent[53:55], 16)),
    )
    return set_span_in_context(NonRecordingSpan(remote), Context())
