"""The trace that what happens now belongs to, as a W3C `traceparent`.

A commit writes it into the entry and the effects that it makes, so that the work that follows, and
whoever is told of it, can say to which request it belongs.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

import os
import re
from contextvars import ContextVar

current: ContextVar[str] = ContextVar("casewire_trace", default="")
"""Of this task and those that it starts; "" outside of any trace."""

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_SAMPLED = "01"


def fresh() -> str:
    """A trace that begins here."""
    token = os.urandom(24).hex()
    return f"00-{token[:32]}-{token[32:]}-{_SAMPLED}"


def is_traceparent(text: str) -> bool:
    """Whether `text` is a traceparent of version 00, or of a later one in the form of 00."""
    return _FORM.fullmatch(text) is not None


def trace_id(traceparent: str) -> str:
    """The 32 hex digits that all spans of a trace share; "" for no trace."""
    return traceparent[3:35]
