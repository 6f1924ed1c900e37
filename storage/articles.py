"""What sources outside a case said to one of its questions: kept beside the evidence, never among it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.graph import Passage

_CLEAR = text("DELETE FROM articles WHERE query = :query")
_ADD = text(
    """
    INSERT INTO articles (case_id, query, source, url, title, fetched_at, sha256, text)
    SELECT id, :query, :source, :url, :title, :at, :sha256, :text FROM cases WHERE id = :case RETURNING id
    """
)
_ADD_CHUNK = text(
    """
    INSERT INTO article_chunks (article_id, ordinal, "start", "end")
    VALUES (:article, :ordinal, :start, :end)
    """
)
_PASSAGES = text(
    """
    SELECT c.id, c."start", c."end", substr(a.text, c."start" + 1, c."end" - c."start") AS text,
      a.title, a.url, a.fetched_at
    FROM article_chunks AS c JOIN articles AS a ON a.id = c.article_id
    WHERE a.query = :query AND (:every OR c.id = ANY(CAST(:nodes AS bigint[])))
    ORDER BY a.id, c.ordinal
    """
)


@dataclass(frozen=True)
class NewArticle:
    """An article as it was read; `chunks` are its passages as `(start, end)` of the text."""

    source: str
    url: str
    title: str
    fetched_at: float
    sha256: str
    text: str
    chunks: Sequence[tuple[int, int]]


class Articles:
    """Articles in PostgreSQL, by the machine of the question that they were fetched for."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def replace(self, case: str, query: str, articles: Sequence[NewArticle]) -> int:
        """Keep these for a question, in place of any that it had; returns how many passages they have.

        Nothing is kept for a case that is gone.
        """
        passages = 0
        async with self._database.begin() as connection:
            await connection.execute(_CLEAR, {"query": query})
            for one in articles:
                values = {
                    "case": case,
                    "query": query,
                    "source": one.source,
                    "url": one.url,
                    "title": one.title,
                    "at": datetime.fromtimestamp(one.fetched_at, UTC),
                    "sha256": one.sha256 or hashlib.sha256(one.text.encode()).hexdigest(),
                    "text": one.text,
                }
                article = (await connection.execute(_ADD, values)).scalar_one_or_none()
                if article is None:
                    return 0
                places = [
                    {"article": article, "ordinal": i, "start": start, "end": end}
                    for i, (start, end) in enumerate(one.chunks)
                ]
                if places:
                    await connection.execute(_ADD_CHUNK, places)
                passages += len(places)
        return passages

    async def passages(self, query: str, nodes: Sequence[int] | None = None) -> dict[int, Passage]:
        """The passages of a question's articles by node, all of them or those asked for.

        Their `evidence` is 0; `meta` holds `url`, `fetched_at` (Unix seconds) and `fetched` in words.
        """
        if nodes is not None and not nodes:
            return {}
        asked = {"query": query, "every": nodes is None, "nodes": list(nodes or ())}
        async with self._database.connect() as connection:
            rows = await connection.execute(_PASSAGES, asked)
            return {
                row.id: Passage(
                    node=row.id,
                    evidence=0,
                    title=row.title,
                    page=0,
                    start=row.start,
                    end=row.end,
                    text=row.text,
                    meta={
                        "url": row.url,
                        "fetched_at": row.fetched_at.timestamp(),
                        "fetched": row.fetched_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
                    },
                )
                for row in rows
            }
