"""BM25 over the chunks of one case, with document frequencies of that case alone.

Score of a chunk c for terms t: Σ idf(t) · f·(k1 + 1) / (f + k1·(1 − b + b·|c| / mean |c|)) with
idf(t) = ln(1 + (N − n(t) + ½) / (n(t) + ½)), f the count of t in c, |c| its indexed terms, N the
indexed chunks of the case and n(t) those that hold t.

Source: Robertson & Zaragoza 2009, Foundations and Trends in IR 3(4).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sqlalchemy import Table, delete, insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage import hidden
from storage.schema import Chunk

K1 = 1.2
"""How soon a repeated term stops counting."""
B = 0.4
"""How much a long chunk is held against it."""

_MAX_COUNT = 32_767
"""What the column of counts can hold."""

_tables = Chunk.metadata.tables
LENGTHS: Table = _tables["chunk_lengths"]
POSTINGS: Table = _tables["postings"]

_SEARCH = text(
    f"""
    WITH setting AS (
        SELECT CAST(:k1 AS float) AS k1, CAST(:b AS float) AS b
    ), stats AS (
        SELECT count(*)::float AS n, avg(words)::float AS mean
        FROM chunk_lengths WHERE case_id = :case AND chunk_id NOT IN {hidden.CHUNKS}
    ), hits AS MATERIALIZED (
        SELECT term, chunk_id, count, length FROM postings
        WHERE case_id = :case AND term = ANY(:terms) AND chunk_id NOT IN {hidden.CHUNKS}
    ), frequency AS (
        SELECT term, ln(1 + (stats.n - count(*) + 0.5) / (count(*) + 0.5)) AS idf
        FROM hits, stats GROUP BY term, stats.n
    )
    SELECT hits.chunk_id,
           sum(frequency.idf * hits.count * (k1 + 1)
               / (hits.count + k1 * (1 - b + b * hits.length / stats.mean))
               ORDER BY hits.term) AS score
    FROM hits
    JOIN frequency USING (term)
    CROSS JOIN stats CROSS JOIN setting
    GROUP BY hits.chunk_id
    ORDER BY score DESC, hits.chunk_id
    LIMIT :limit
    """
)

# Chunks that hold the phrase letter by letter, looked for only where its terms are.
_HOLDING = text(
    f"""
    WITH stats AS (
        SELECT count(*)::float AS n, avg(words)::float AS mean
        FROM chunk_lengths WHERE case_id = :case AND chunk_id NOT IN {hidden.CHUNKS}
    ), near AS (
        SELECT chunk_id, min(length) AS length FROM postings
        WHERE case_id = :case AND term = ANY(:terms) AND chunk_id NOT IN {hidden.CHUNKS}
        GROUP BY chunk_id HAVING count(*) = cardinality(CAST(:terms AS text[]))
    ), told AS (
        SELECT chunks.id, near.length,
               (length(lower(text)) - length(replace(lower(text), :phrase, '')))::float
                   / length(:phrase) AS times
        FROM near JOIN chunks ON chunks.id = near.chunk_id
    )
    SELECT id, times, length / mean AS size, n FROM told, stats WHERE times > 0 ORDER BY id
    """
)

# One statement with arrays: several times as fast as a row at a time.
_ADD = text(
    "INSERT INTO postings (case_id, term, chunk_id, count, length) "
    "SELECT :case, term, chunk, count, length FROM unnest(CAST(:terms AS text[]), "
    "CAST(:chunks AS bigint[]), CAST(:counts AS smallint[]), CAST(:lengths AS int[])) "
    "AS new (term, chunk, count, length)"
)

LATEST = 2000
"""Chunks of a case, the latest, among which terms are counted to tell how common they are."""

_WINDOW = text(
    f"""
    SELECT count(*), coalesce(min(chunk_id), 0) FROM (
        SELECT chunk_id FROM chunk_lengths WHERE case_id = :case
          AND chunk_id NOT IN (SELECT own.id FROM chunks AS own WHERE own.evidence_id = :besides)
          AND chunk_id NOT IN {hidden.CHUNKS}
        ORDER BY chunk_id DESC LIMIT :latest
    ) AS latest
    """
)
_FREQUENCIES = text(
    f"""
    SELECT term, count(*) FROM postings
    WHERE case_id = :case AND term = ANY(:terms) AND chunk_id >= :first
      AND chunk_id NOT IN (SELECT own.id FROM chunks AS own WHERE own.evidence_id = :besides)
      AND chunk_id NOT IN {hidden.CHUNKS}
    GROUP BY term
    """
)


class Words:
    """Postings in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def index(self, case: str, counts: Mapping[int, Mapping[str, int]]) -> None:
        """Replace the postings of the given chunks: chunk id → term → how often; all or nothing."""
        if not counts:
            return
        lengths = {chunk: sum(terms.values()) for chunk, terms in counts.items() if terms}
        postings = [
            (term, chunk, min(count, _MAX_COUNT), lengths[chunk])
            for chunk, terms in counts.items()
            for term, count in terms.items()
        ]
        async with self._database.begin() as connection:
            for table in (POSTINGS, LENGTHS):
                await connection.execute(delete(table).where(table.c.chunk_id.in_(list(counts))))
            if postings:
                terms, chunks, numbers, of_chunks = map(list, zip(*postings, strict=True))
                values = {"case": case, "terms": terms, "chunks": chunks, "counts": numbers}
                values["lengths"] = of_chunks
                await connection.execute(_ADD, values)
                rows = [
                    {"chunk_id": chunk, "case_id": case, "words": length} for chunk, length in lengths.items()
                ]
                await connection.execute(insert(LENGTHS), rows)

    async def search(
        self, case: str, terms: Sequence[str], limit: int, *, k1: float = K1, b: float = B
    ) -> list[tuple[int, float]]:
        """The chunks that hold any of the terms with their scores, best first, ties by id.

        Args:
            case: The case that is searched, and whose frequencies count.
            terms: As `handlers.terms.terms` makes them; a repeated one counts once.
            limit: At most so many chunks.
        """
        if not terms:
            return []
        values = {"case": case, "terms": sorted(set(terms)), "limit": limit, "k1": k1, "b": b}
        async with self._database.connect() as connection:
            return [(row[0], row[1]) for row in await connection.execute(_SEARCH, values)]

    async def holding(
        self, case: str, phrase: str, terms: Sequence[str], *, k1: float = K1, b: float = B
    ) -> list[tuple[int, float]]:
        """The chunks that hold a phrase exactly, scored by BM25 as if it were one term; ordered by id.

        Args:
            phrase: As it stands in the text, in any case of letters.
            terms: The phrase's terms, at least one.
        """
        values = {"case": case, "phrase": phrase.lower(), "terms": sorted(set(terms))}
        async with self._database.connect() as connection:
            rows = list(await connection.execute(_HOLDING, values))
        rarity = math.log(1 + (rows[0].n - len(rows) + 0.5) / (len(rows) + 0.5)) if rows else 0.0
        return [
            (row.id, rarity * row.times * (k1 + 1) / (row.times + k1 * (1 - b + b * row.size)))
            for row in rows
        ]

    async def frequencies(
        self, case: str, terms: Sequence[str], *, besides: int = 0, latest: int = LATEST
    ) -> tuple[int, dict[str, int]]:
        """How many chunks of the case were looked at, and how many of them hold each of the terms.

        Those are the `latest` of the indexed ones, so that it costs the same however large a case is.
        Chunks of the evidence `besides` do not count.
        """
        values = {"case": case, "besides": besides}
        async with self._database.connect() as connection:
            counted, first = (await connection.execute(_WINDOW, values | {"latest": latest})).one()
            values |= {"terms": sorted(set(terms)), "first": first}
            rows = await connection.execute(_FREQUENCIES, values)
            return counted, {row[0]: row[1] for row in rows}
