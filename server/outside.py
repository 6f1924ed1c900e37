"""Whether a question may be put to sources outside the case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.errors import Clash


def require_sources(kind: str, data: Mapping[str, Any], *, configured: bool) -> None:
    """Refuse a question that wants to look outside where nothing is configured to be read.

    Raises:
        Clash: It does.
    """
    if kind == "query" and data.get("extended") is True and not configured:
        raise Clash(
            "there is nothing outside to look at: whoever runs this server can name sources in "
            "CASEWIRE_SOURCES; ask without “extended” to search the case alone",
            code="sources.none",
        )
