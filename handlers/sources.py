"""The setting that names what may be read outside a case: addresses of pages and feeds, and of searches."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

MOST = 20
ASKED = "{query}"
"""In an address, where the question's text goes."""

_URL = re.compile(r"^[!-~]{8,2000}$")


class SourceRefused(Exception):
    """An address that may not be read; the message says why."""


@dataclass(frozen=True)
class Source:
    """One entry of the setting; `in_full` tells that its port is written, so that it may be private."""

    url: str
    host: str
    port: int
    in_full: bool

    @property
    def is_search(self) -> bool:
        """Whether it is told the question."""
        return ASKED in self.url

    def address(self, question: str) -> str:
        """What to read for a question."""
        return self.url.replace(ASKED, quote(question, safe=""))


def sources_in(setting: str | None) -> tuple[Source, ...]:
    """The entries of CASEWIRE_SOURCES, which are separated by space.

    Raises:
        ValueError: One of them is no address that can be read.
    """
    found = []
    for url in (setting or "").split():
        try:
            host, port, written = place_of(url.replace(ASKED, "query"))
        except SourceRefused as error:
            raise ValueError(str(error)) from error
        if ASKED in url.split("/", 3)[2]:
            raise ValueError(f"{ASKED} may not stand in the host of {url}")
        found.append(Source(url, host, port, written))
    if len(found) > MOST:
        raise ValueError(f"at most {MOST} sources")
    return tuple(found)


def sources_of(setting: str | None) -> list[str]:
    """Their addresses, as they are written in the setting."""
    return [source.url for source in sources_in(setting)]


def place_of(url: str) -> tuple[str, int, bool]:
    """Host and port of an address, and whether the port is written in it.

    Raises:
        SourceRefused: It is none that can be read.
    """
    problem = SourceRefused(f"{url[:200]} is no address like https://news.example.org/feed, without a user")
    if not _URL.match(url):
        raise problem
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise problem from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise problem
    return parts.hostname.lower(), port or (443 if parts.scheme == "https" else 80), port is not None
