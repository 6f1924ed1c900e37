"""Log lines: constant sentences with facts beside them, for people or for machines.

Every line tells the trace that it belongs to, and within a job its machine and effect. No line
tells what people or evidence say: libraries that would, at level debug, are kept to what they warn of.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Literal

import structlog
from redis.exceptions import ConnectionError as LostConnection

from storage import trace
from storage.machine_store import StoreError

_AT_WARNING = (
    "aiohttp",
    "asyncio",
    "httpcore",
    "httpx",
    "numba",
    "opentelemetry",
    "rq",
    "sqlalchemy",
    "statemachine",
    "urllib3",
    "uvicorn.access",
)
"""Libraries that tell at a lower level what they send, or what jobs and events are about."""
_AT_INFO = ("uvicorn.error", "websockets")
"""At debug they print the frames of websockets."""
_QUIET = dict.fromkeys(_AT_WARNING, logging.WARNING) | dict.fromkeys(_AT_INFO, logging.INFO)


def configure_logging(level: str, form: Literal["console", "json"]) -> None:
    """Send every logger of this process to stderr, in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.contextvars.merge_contextvars,
        _add_trace,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _drop_coloured,
        _tell_exception,
    ]
    tail: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if form == "json":
        tail.append(structlog.processors.JSONRenderer())
    else:
        tail.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=tail, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, root.level))


def _add_trace(
    _: structlog.typing.WrappedLogger, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if current := trace.current.get():
        event["trace_id"] = trace.trace_id(current)
    return event


_SPEAKING: tuple[type[BaseException], ...] = (OSError, LostConnection, StoreError)
"""Exceptions whose text says what happened to a service and quotes nobody."""


def _tell_exception(
    _: structlog.typing.WrappedLogger, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Where it was raised and of which type; its text could quote evidence, as pydantic's and SQL's do."""
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        event["exception"] = "".join(_lines(error, set()))
    return event


def _lines(error: BaseException, seen: set[int]) -> list[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    lines = [*_lines(before, seen), "which led to\n"] if before is not None and id(before) not in seen else []
    lines += traceback.format_tb(error.__traceback__)
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    lines.append(f"{name}: {error}\n" if isinstance(error, _SPEAKING) else f"{name}\n")
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            lines += ["of which\n", *_lines(inner, seen)]
    return lines


def _drop_coloured(
    _: structlog.typing.WrappedLogger, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """uvicorn says everything twice, once with colours."""
    event.pop("color_message", None)
    return event
