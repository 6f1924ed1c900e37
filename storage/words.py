"""BM25 over the chunks of one case, with document frequencies of that case alone.

Score of a chunk c for terms t: Σ rarity(t) · f·(k1 + 1) / (f + k1·(1 − b + b·|c| / mean |c|)) with
rarity(t) = ln(1 + (N − n(t) + ½) / (n(t) + ½))^1.5, f the count of t in c, |c| its indexed terms, N
the indexed chunks of the case and n(t) those that hold t. The power stands between 1, as in BM25, and
2, as in the cosine of tf–idf vectors, where question and chunk both weigh a term: a question in whole
sentences asks by its rare words. Measured with `K1` and `B` by `tests/bench/bench_retrieval.py`.

Source: Robertson & Zaragoza 2009, Foundations and Trends in IR 3(4).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Row, Table, delete, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage import hidden
from storage.schema import Chunk
from storage.top_chunks import Asked, Floats, Ids, top_chunks

K1 = 2.0
"""How soon a repeated term stops counting."""
B = 0.4
"""How much a long chunk is held against it."""
SHARPNESS = 1.5
"""Power of a term's idf."""

_MAX_COUNT = 32_767
"""What the column of counts can hold."""

_tables = Chunk.metadata.tables
LENGTHS: Table = _tables["chunk_lengths"]
POSTINGS: Table = _tables["postings"]

ALL_BELOW = 20_000
"""Postings of a question's terms up to which all of them are read."""

_STATS = f"""
    SELECT indexed::float AS n, (words / nullif(indexed, 0))::float AS mean FROM (
        SELECT coalesce(sum(indexed), 0) AS indexed, coalesce(sum(words), 0) AS words FROM (
            SELECT indexed, words FROM case_totals WHERE case_id = :case
            UNION ALL
            SELECT -count(*), -sum(words) FROM chunk_lengths WHERE chunk_id IN {hidden.CHUNKS}
        ) AS parts
    ) AS total
"""
"""How many chunks in sight are indexed, and their mean length: from what is kept, less what is hidden."""

# With `most` and `least` the bound of a term: no chunk has more of it in fewer terms.
_TERMS = text(
    f"""
    WITH stats AS ({_STATS}), frequency AS (
        SELECT term, count(*) AS chunks, max(count) AS most, min(length) AS least FROM postings
        WHERE case_id = :case AND term = ANY(:terms) AND chunk_id NOT IN {hidden.CHUNKS}
        GROUP BY term
    )
    SELECT term, chunks, most, least, mean,
           ln(1 + (n - chunks + 0.5) / (chunks + 0.5)) ^ {SHARPNESS} AS rarity
    FROM frequency, stats
    """
)
_SCORED = """
    WITH setting AS (
        SELECT CAST(:k1 AS float) AS k1, CAST(:b AS float) AS b, CAST(:mean AS float) AS mean
    )
    SELECT chunk_id,
           sum(asked.rarity * count * (k1 + 1) / (count + k1 * (1 - b + b * length / mean))
               ORDER BY asked.term) AS score
    FROM setting CROSS JOIN unnest(CAST(:terms AS text[]), CAST(:rarities AS float[])) AS asked (term, rarity)
    {postings}
    GROUP BY chunk_id
    ORDER BY score DESC, chunk_id
    LIMIT :limit
"""
# One look into the index for each term and chunk: a plan that starts from the chunks reads all their terms.
_EACH = """
    CROSS JOIN unnest(CAST(:chunks AS bigint[])) AS own (id) CROSS JOIN LATERAL (
        SELECT chunk_id, count, length FROM postings
        WHERE case_id = :case AND term = {term} AND chunk_id = own.id OFFSET 0
    ) AS posting
"""
_EVERY = (
    f"JOIN postings ON case_id = :case AND postings.term = asked.term AND chunk_id NOT IN {hidden.CHUNKS}"
)
_SCORE_ALL = text(_SCORED.format(postings=_EVERY))
_SCORE = text(_SCORED.format(postings=_EACH.format(term="asked.term")))

_POSTINGS = "SELECT array_agg(chunk_id), array_agg(count), array_agg(length) FROM "
_EVERY_POSTING = text(
    f"{_POSTINGS} postings WHERE case_id = :case AND term = :term AND chunk_id NOT IN {hidden.CHUNKS}"
)
_POSTINGS_OF = text(f"{_POSTINGS} (SELECT) AS one {_EACH.format(term=':term')}")

# Chunks that hold the phrase letter by letter, looked for only where its terms are: where the rarest is,
# and there the others.
_HOLDING = text(
    f"""
    WITH stats AS ({_STATS}), near AS (
        SELECT chunk_id, length FROM postings
        WHERE case_id = :case AND term = :rarest AND chunk_id NOT IN {hidden.CHUNKS}
          AND (SELECT count(*) FROM postings AS also
               WHERE also.case_id = :case AND also.term = ANY(:terms) AND also.chunk_id = postings.chunk_id
              ) = cardinality(CAST(:terms AS text[]))
    ), told AS (
        SELECT chunks.id, near.length,
               (length(lower(text)) - length(replace(lower(text), :phrase, '')))::float
                   / length(:phrase) AS times
        FROM near JOIN chunks ON chunks.id = near.chunk_id
    )
    SELECT id, times, length / mean AS size, n FROM told, stats WHERE times > 0 ORDER BY id
    """
)
_RAREST = text(
    """
    SELECT term FROM postings WHERE case_id = :case AND term = ANY(:terms)
    GROUP BY term ORDER BY count(*), term LIMIT 1
    """
)

# One statement with arrays: several times as fast as a row at a time.
_ADD = text(
    "INSERT INTO postings (case_id, term, chunk_id, count, length) "
    "SELECT :case, term, chunk, count, length FROM unnest(CAST(:terms AS text[]), "
    "CAST(:chunks AS bigint[]), CAST(:counts AS smallint[]), CAST(:lengths AS int[])) "
    "AS new (term, chunk, count, length)"
)

_ADD_LENGTHS = text(
    "INSERT INTO chunk_lengths (chunk_id, case_id, words) SELECT chunk, :case, length "
    "FROM unnest(CAST(:chunks AS bigint[]), CAST(:lengths AS int[])) AS new (chunk, length)"
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

    def __init__(self, database: AsyncEngine, *, all_below: int = ALL_BELOW) -> None:
        self._database = database
        self._all_below = all_below

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
                sizes = {"case": case, "chunks": list(lengths), "lengths": list(lengths.values())}
                await connection.execute(_ADD_LENGTHS, sizes)

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
        async with self._database.connect() as connection:
            # One moment for all that is read: frequencies, bounds and what is scored in the end.
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            values: dict[str, object] = {"case": case, "terms": sorted(set(terms))}
            found = (await connection.execute(_TERMS, values)).all()
            if not found:
                return []
            values |= {"terms": [row.term for row in found], "rarities": [row.rarity for row in found]}
            values |= {"mean": found[0].mean, "k1": k1, "b": b, "limit": limit}
            query = _SCORE_ALL
            if sum(row.chunks for row in found) >= self._all_below:
                read = _Postings(connection, case, k1, b, found)
                values["chunks"] = (await top_chunks(read.asked, limit, read)).tolist()
                query = _SCORE
            return [(row[0], row[1]) for row in await connection.execute(query, values)]

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
            values["rarest"] = await connection.scalar(_RAREST, {"case": case, "terms": values["terms"]})
            rows = list(await connection.execute(_HOLDING, values))
        rarity = math.log(1 + (rows[0].n - len(rows) + 0.5) / (len(rows) + 0.5)) ** SHARPNESS if rows else 0.0
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


class _Postings:
    """`storage.top_chunks.Postings` of the terms that a case has, by BM25."""

    def __init__(
        self, connection: AsyncConnection, case: str, k1: float, b: float, found: Sequence[Row[Any]]
    ) -> None:
        self._connection = connection
        self._case = case
        self._k1, self._b, self._mean = k1, b, float(found[0].mean)
        self._rarity = {row.term: float(row.rarity) for row in found}
        self.asked = [
            Asked(row.term, row.chunks, float(self._score(row.term, np.array([row.most]), row.least)[0]))
            for row in found
        ]

    async def __call__(self, term: str, chunks: Ids | None = None) -> tuple[Ids, Floats]:
        """See `storage.top_chunks.Postings`."""
        values: dict[str, object] = {"case": self._case, "term": term}
        query = _EVERY_POSTING
        if chunks is not None:
            query, values["chunks"] = _POSTINGS_OF, chunks.tolist()
        ids, counts, lengths = (await self._connection.execute(query, values)).one()
        found = np.array(ids or [], dtype=np.int64)
        order = np.argsort(found, kind="stable")
        scores = self._score(term, np.array(counts or [], np.float64), np.array(lengths or [], np.float64))
        return found[order], scores[order]

    def _score(self, term: str, counts: Floats, lengths: Floats | float) -> Floats:
        size = 1 - self._b + self._b * lengths / self._mean
        return self._rarity[term] * counts * (self._k1 + 1) / (counts + self._k1 * size)
