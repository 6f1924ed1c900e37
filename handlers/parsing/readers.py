"""Which module reads which media type; it is imported in the child, on the first file of its kind."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from handlers.parsing.parsed import Outlet, Parsed, Source

Read = Callable[[Source, Outlet], Parsed]

READERS: dict[str, str] = {
    "application/pdf": "handlers.parsing.pdf",
    "message/rfc822": "handlers.parsing.mail",
    "text/markdown": "handlers.parsing.plain",
    "text/plain": "handlers.parsing.plain",
}


def reader(module: str) -> Read:
    """The `read` of a reader's module."""
    read: Read = import_module(module).read
    return read
