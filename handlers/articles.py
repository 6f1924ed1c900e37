"""Articles of the configured sources: fetched, read in the sandbox, cut, and compared with the question."""

from __future__ import annotations

import asyncio
import hashlib
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gpu import Leases
from handlers.chunking import cut
from handlers.embed import encode_lent
from handlers.embedder import Embedder
from handlers.fetching import NotRead, Page
from handlers.focus import blended, focused
from handlers.job import Job, Permanent, Temporary
from handlers.parsing.parsed import Parsed, PasswordNeeded, Unreadable
from handlers.parsing.parsed import Source as File
from handlers.sources import Source
from handlers.terms import counts, terms
from machines.query import (
    ArticleFound,
    ArticlesEmbedded,
    EmbedArticles,
    FetchArticles,
    Fetched,
    SourceRead,
)
from storage.articles import Articles, NewArticle
from storage.graph import rarity
from storage.words import K1, SHARPNESS, B, Words

READERS: dict[str, str] = {
    "text/html": "handlers.parsing.html",
    "text/plain": "handlers.parsing.plain",
    "application/rss+xml": "handlers.parsing.feed",
}
"""What articles are read by, in a sandbox of their own."""

_KINDS = {
    "text/html": "text/html",
    "application/xhtml+xml": "text/html",
    "text/plain": "text/plain",
    **dict.fromkeys(
        ("application/rss+xml", "application/atom+xml", "application/rdf+xml", "application/xml", "text/xml"),
        "application/rss+xml",
    ),
}

DOCUMENTS = 60
"""Articles kept for one question, and passages of one of them."""
PASSAGES = 40
FOUND = 40
"""Passages that go on to the ranking."""


class Reads(Protocol):
    """Reads sources; see `handlers.fetching.Fetcher`."""

    async def read(self, source: Source, question: str) -> Page: ...


class Reader(Protocol):
    """Reads untrusted files; see `handlers.sandbox.Sandbox`."""

    async def read(self, source: File, *, progress: Any, check: Any, sink: Any) -> Parsed: ...


class Fetching(Protocol):
    """Makes a reader of sources for one question."""

    def __call__(self) -> AbstractAsyncContextManager[Reads]: ...


class _Nothing:
    """What is found inside an article is not taken."""

    async def begin(self, filename: str) -> None:
        """See `Sink`."""

    async def write(self, block: bytes) -> None:
        """See `Sink`."""

    async def end(self) -> None:
        """See `Sink`."""

    async def drop(self) -> None:
        """See `Sink`."""

    async def refuse(self, filename: str) -> None:
        """See `Sink`."""

    async def derive(self, name: str, media_type: str, content: bytes) -> None:
        """See `Sink`."""


async def fetch_articles(
    effect: FetchArticles,
    job: Job,
    *,
    sources: Sequence[Source],
    fetching: Fetching,
    reader: Reader,
    articles: Articles,
    folder: Path,
) -> Fetched:
    """Read every source at once; what one does not give is told, and the others count.

    Raises:
        Permanent: No source is configured.
        Cancelled: Nobody awaits the articles any more.
    """
    if not sources:
        raise Permanent("no source is configured: whoever runs this server can name some in CASEWIRE_SOURCES")
    async with fetching() as reads:
        pages = await asyncio.gather(*(_fetched(reads, source, effect.question) for source in sources))
    await job.check()
    told, kept = list[SourceRead](), list[NewArticle]()
    for source, page in zip(sources, pages, strict=True):
        if isinstance(page, NotRead):
            told.append(SourceRead(url=source.url, ok=False, reason=str(page), fetched_at=time.time()))
            continue
        try:
            found = (await _articles(source, page, job, reader, folder))[: DOCUMENTS - len(kept)]
        except NotRead as error:
            told.append(SourceRead(url=source.url, ok=False, reason=str(error), fetched_at=page.fetched_at))
            continue
        kept += found
        told.append(SourceRead(url=source.url, ok=True, fetched_at=page.fetched_at, articles=len(found)))
        await job.progress(len(told), len(sources), "sources")
    passages = await articles.replace(effect.case, effect.query, kept)
    return Fetched(effect=job.id, sources=told, passages=passages)


async def _fetched(reads: Reads, source: Source, question: str) -> Page | NotRead:
    try:
        return await reads.read(source, question)
    except NotRead as error:
        return error


async def _articles(source: Source, page: Page, job: Job, reader: Reader, folder: Path) -> list[NewArticle]:
    """What a page holds: itself, or the entries of a feed.

    Raises:
        NotRead: It cannot be read.
    """
    kind = _KINDS.get(page.media_type)
    if kind is None:
        raise NotRead(f"it answers with {page.media_type[:60] or 'no kind of content'}, which is no text")
    file = await asyncio.to_thread(_written, page.content, folder)
    try:
        parsed = await reader.read(
            File(file, kind, filename="article"), progress=_quiet, check=job.check, sink=_Nothing()
        )
    except (Unreadable, PasswordNeeded) as error:
        raise NotRead(str(error)) from error
    except Temporary as error:
        raise NotRead(error.reason) from error
    finally:
        await asyncio.to_thread(file.unlink, missing_ok=True)
    spans = parsed.pages or [(0, len(parsed.text))]
    entries: Sequence[Mapping[str, str]] = parsed.meta.get("entries") or [{}] * len(spans)
    digest = hashlib.sha256(page.content).hexdigest()
    found = []
    for (start, end), entry in zip(spans, entries, strict=True):
        text = parsed.text[start:end]
        chunks = [(chunk.start, chunk.end) for chunk in cut(text)[:PASSAGES]]
        if chunks:
            title = entry.get("title") or parsed.title or page.url
            url = entry.get("url") or page.url
            found.append(NewArticle(source.url, url, title[:300], page.fetched_at, digest, text, chunks))
    return found


async def _quiet(done: int, total: int, unit: str) -> None:
    """Pages of an article are not worth telling."""


def _written(content: bytes, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix="article-", delete=False) as file:
        file.write(content)
        return Path(file.name)


async def embed_articles(
    effect: EmbedArticles, job: Job, *, articles: Articles, words: Words, encoder: Embedder, leases: Leases
) -> ArticlesEmbedded:
    """Score the passages as the case's legs score evidence: by meaning, and by words with its frequencies.

    Raises:
        Permanent, Temporary, Cancelled: As `encode_lent`.
    """
    passages = list((await articles.passages(effect.query)).values())
    if not passages:
        return ArticlesEmbedded(effect=job.id, found=[])
    wanted = sorted(set(terms(effect.question)))
    size, frequencies = await words.frequencies(effect.case, wanted)
    asked = list(dict.fromkeys([effect.question, focused(effect.question, frequencies, size)]))
    vectors = await encode_lent(
        [*asked, *(passage.text for passage in passages)], job, encoder=encoder, leases=leases
    )
    meaning = vectors[len(asked) :] @ blended(vectors[: len(asked)])
    weights = {term: rarity(frequencies.get(term, 0), size) ** SHARPNESS for term in wanted}
    by_words = _bm25([counts(passage.text) for passage in passages], weights)
    order = np.argsort(-(meaning + by_words / max(float(by_words.max()), 1e-9)), kind="stable")[:FOUND]
    return ArticlesEmbedded(
        effect=job.id,
        found=[
            ArticleFound(
                node=passages[i].node, meaning=round(float(meaning[i]), 6), words=round(float(by_words[i]), 6)
            )
            for i in order.tolist()
        ],
    )


def _bm25(texts: Sequence[Mapping[str, int]], weights: Mapping[str, float]) -> Any:
    """Scores of texts, given as term counts, shape (texts,)."""
    lengths = [sum(text.values()) for text in texts]
    average = math.fsum(lengths) / len(lengths) or 1.0
    scores = np.zeros(len(texts))
    for i, (text, length) in enumerate(zip(texts, lengths, strict=True)):
        norm = K1 * (1 - B + B * length / average)
        scores[i] = math.fsum(
            weight * text[term] * (K1 + 1) / (text[term] + norm)
            for term, weight in weights.items()
            if term in text
        )
    return scores
