"""Reads addresses of the configured sources and no others, within limits, as a polite robot does."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol
from urllib.parse import urljoin, urlsplit
from urllib.robotparser import RobotFileParser

import httpcore

from handlers.addresses import PublicNetwork
from handlers.certificates import trusted
from handlers.sources import Source, SourceRefused, place_of

TIMEOUT_S = 20.0
MOST_BYTES = 2 << 20
ROBOTS_BYTES = 500 << 10
REDIRECTS = 4
FRESH_S = 3600.0
"""How long what was read is not asked for again."""

_BROKEN = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)
_MOVED = frozenset({301, 302, 303, 307, 308})


class NotRead(Exception):
    """A source could not be read; the message says why, as the end of a sentence for the user."""


@dataclass(frozen=True)
class Page:
    """What an address answered; `fetched_at` is Unix seconds, `url` where it was found in the end."""

    url: str
    content: bytes
    media_type: str
    fetched_at: float
    etag: str = ""
    modified: str = ""


class Cache(Protocol):
    """Fields of pages that were read lately, by address; see `storage.fetched.FetchedPages`."""

    async def get(self, url: str) -> dict[str, bytes]: ...

    async def put(self, url: str, fields: dict[str, bytes]) -> None: ...


def _kept(fields: dict[str, bytes]) -> Page | None:
    if not fields:
        return None
    texts = {name: fields[name].decode() for name in ("url", "media_type", "etag", "modified")}
    return Page(content=fields["content"], fetched_at=float(fields["fetched_at"]), **texts)


def _fields(page: Page) -> dict[str, bytes]:
    texts = {name: str(getattr(page, name)).encode() for name in ("url", "media_type", "etag", "modified")}
    return {**texts, "content": page.content, "fetched_at": repr(page.fetched_at).encode()}


class Fetcher:
    """Connections to the configured sources; no proxy, no cookies. An async context manager.

    Args:
        sources: All that may be read.
        agent: How it calls itself.
        cache: Takes what was read; never the answers of searches, whose addresses hold a question.
    """

    def __init__(
        self, sources: Sequence[Source], *, agent: str, cache: Cache, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._sources = sources
        self._agent = agent
        self._cache = cache
        self._timeout_s = timeout_s
        self._robots: dict[str, asyncio.Task[RobotFileParser]] = {}
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trusted(),
            max_connections=10,
            network_backend=PublicNetwork(
                self._trusted,
                "write its port in CASEWIRE_SOURCES to have it read, as in https://wiki.lan:443/",
            ),
        )

    async def __aenter__(self) -> Fetcher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reading in self._robots.values():
            reading.cancel()
        await asyncio.gather(*self._robots.values(), return_exceptions=True)
        await self._pool.aclose()

    async def read(self, source: Source, question: str) -> Page:
        """What a source says to a question; for an hour the same again.

        Raises:
            NotRead: It could not be read, or may not be.
        """
        url = source.address(question)
        known = None if source.is_search else _kept(await self._cache.get(url))
        if known is not None and time.time() - known.fetched_at < FRESH_S:
            return known
        try:
            async with asyncio.timeout(self._timeout_s):
                page = await self._follow(url, known)
        except TimeoutError:
            raise NotRead(f"no answer within {self._timeout_s:g} s") from None
        except SourceRefused as error:
            raise NotRead(str(error)) from error
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            OSError,
        ) as error:
            raise NotRead(f"{error}"[:300] or type(error).__name__) from error
        if not source.is_search:
            await self._cache.put(url, _fields(page))
        return page

    async def _follow(self, url: str, known: Page | None) -> Page:
        for _ in range(REDIRECTS + 1):
            self._check(url)
            if not (await self._robots_of(url)).can_fetch(self._agent, url):
                raise NotRead("its robots.txt asks programs not to read it")
            status, headers, content = await self._get(url, known, MOST_BYTES)
            if status == 304 and known is not None:
                return replace(known, fetched_at=time.time())
            if status in _MOVED and "location" in headers:
                url = urljoin(url, headers["location"]).partition("#")[0]
                continue
            if status != 200:
                raise NotRead(f"it answered with status {status}")
            return Page(
                url=url,
                content=content,
                media_type=headers.get("content-type", "").partition(";")[0].strip().lower(),
                fetched_at=time.time(),
                etag=headers.get("etag", ""),
                modified=headers.get("last-modified", ""),
            )
        raise NotRead("it leads from one address to the next without end")

    def _check(self, url: str) -> None:
        host, port, _ = place_of(url)
        for source in self._sources:
            if source.host == host and port in (source.port, 443):
                return
        raise SourceRefused(f"it leads to {host}, port {port}, which CASEWIRE_SOURCES does not name")

    def _trusted(self, host: str, port: int) -> bool:
        return any(s.in_full and (s.host, s.port) == (host, port) for s in self._sources)

    async def _robots_of(self, url: str) -> RobotFileParser:
        """What a site allows; one whose answer cannot be had allows nothing, as RFC 9309 has it."""
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}"
        if site not in self._robots:
            self._robots[site] = asyncio.create_task(self._read_robots(f"{site}/robots.txt"))
        return await asyncio.shield(self._robots[site])

    async def _read_robots(self, url: str) -> RobotFileParser:
        rules = RobotFileParser()
        for _ in range(REDIRECTS + 1):
            self._check(url)
            status, headers, content = await self._get(url, None, ROBOTS_BYTES)
            if status in _MOVED and "location" in headers:
                url = urljoin(url, headers["location"]).partition("#")[0]
                continue
            if status >= 500:
                raise NotRead(f"its robots.txt cannot be read (status {status})")
            rules.parse(content.decode("utf-8", "replace").splitlines() if status == 200 else [])
            return rules
        raise NotRead("its robots.txt leads from one address to the next without end")

    async def _get(self, url: str, known: Page | None, most: int) -> tuple[int, dict[str, str], bytes]:
        asked = {"User-Agent": self._agent, "Accept-Encoding": "gzip"}
        if known is not None and known.etag:
            asked["If-None-Match"] = known.etag
        if known is not None and known.modified:
            asked["If-Modified-Since"] = known.modified
        async with self._pool.stream("GET", url, headers=list(asked.items())) as answer:
            headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in answer.headers}
            coding = headers.get("content-encoding", "identity").strip().lower()
            if coding not in ("identity", "gzip", ""):
                raise NotRead(f"it answers in “{coding[:40]}”, which was not asked for")
            unpack = zlib.decompressobj(wbits=31) if coding == "gzip" else None
            content = bytearray()
            async for block in answer.aiter_stream():
                try:
                    content += unpack.decompress(block, most + 1 - len(content)) if unpack else block
                except zlib.error as error:
                    raise NotRead("its answer is damaged") from error
                if len(content) > most or (unpack is not None and unpack.unconsumed_tail):
                    raise NotRead(f"it is larger than {most >> 20 or 1} MiB")
            return answer.status, headers, bytes(content)
