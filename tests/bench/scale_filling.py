"""A made-up instance into the real tables, by COPY, and what the indices over it cost.

Keys and triggers are off while rows come, as the rows are right by themselves; indices are made
afterwards, from the definitions that the migrations gave them.
"""

from __future__ import annotations

import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import asyncpg
import numpy as np

from tests.bench.scale_crowd import PER_FILE, TOKENS, Crowd, Ints

COPIED = {
    "chunks": "id case_id evidence_id ordinal page start end boxes text vector",
    "chunk_lengths": "chunk_id case_id words",
    "postings": "case_id term chunk_id count length",
    "mentions": "chunk_id start entity_id end",
    "similarities": "case_id source target weight",
}
"""The tables that COPY fills, with their columns."""
COUNTED = ("case_totals", "entity_counts")
ROWS = ("cases", "evidence", "entities", "relations")
_HEAD = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_END = struct.pack(">h", -1)
_CHUNK = struct.Struct(">h iq i12s iq ii ii ii ii i3s i")
RELATIONS = 20_000
_CASE = 12
"""Letters of a case's id."""

INDICES = """
    SELECT index.relname AS name, held.relname AS of, pg_get_indexdef(index.oid) AS made,
           own.conname AS key, pg_get_constraintdef(own.oid) AS kept
    FROM pg_index
    JOIN pg_class AS index ON index.oid = indexrelid JOIN pg_class AS held ON held.oid = indrelid
    LEFT JOIN pg_constraint AS own ON own.conindid = indexrelid AND own.contype IN ('p', 'u')
    WHERE held.relname = ANY($1)
      AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype = 'f')
    ORDER BY own.conname IS NULL, index.relname = 'chunks_vector', index.relname
"""
"""Those of the tables that no other table refers to; the vectors' last."""


@dataclass(frozen=True)
class Built:
    """An index, or all rows of a table: how long it took, and its size then."""

    name: str
    seconds: float
    size_bytes: int


async def fill(
    connection: asyncpg.Connection, crowd: Crowd, *, memory_mb: int, tell: Callable[[Built], None]
) -> None:
    """Put the crowd into an empty database; `memory_mb` is what building one index may take."""
    sources = {
        "chunks": _chunks,
        "chunk_lengths": _lengths,
        "postings": _postings,
        "mentions": _mentions,
        "similarities": _similarities,
    }
    # A table that is emptied in the same transaction needs no journal and no second look at its rows.
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        indices = await connection.fetch(INDICES, list(COPIED))
        for row in indices:
            gone = f"ALTER TABLE {row['of']} DROP CONSTRAINT" if row["key"] else "DROP INDEX"
            await connection.execute(f'{gone} "{row["name"]}"')
        await connection.execute(f"TRUNCATE {', '.join((*ROWS, *COPIED))} CASCADE")
        await _rows(connection, crowd)
        for table, columns in COPIED.items():
            began = time.perf_counter()
            await connection.copy_to_table(
                table,
                source=_stream(sources[table](crowd)),
                columns=columns.split(),
                format="binary",
                freeze=True,
            )
            size = await connection.fetchval("SELECT pg_table_size($1::regclass)", table)
            tell(Built(f"rows of {table}", time.perf_counter() - began, size))
        await connection.execute("SELECT setval('node_id', $1)", crowd.entities[-1][0])
    await connection.execute(f"SET maintenance_work_mem = '{memory_mb}MB'")
    for row in indices:
        began = time.perf_counter()
        kept = f'ALTER TABLE {row["of"]} ADD CONSTRAINT "{row["key"]}" {row["kept"]}'
        await connection.execute(kept if row["key"] else row["made"])
        size = await connection.fetchval("SELECT pg_relation_size($1::regclass)", row["name"])
        tell(Built(f"index {row['name']}", time.perf_counter() - began, size))
    began = time.perf_counter()
    await connection.execute("SELECT recount_totals()")
    size = await connection.fetchval("SELECT pg_table_size('entity_counts')")
    tell(Built("totals, counted at once", time.perf_counter() - began, size))
    for table in (*ROWS, *COPIED, *COUNTED):
        await connection.execute(f"VACUUM ANALYZE {table}")
    await connection.execute("CHECKPOINT")


async def _rows(connection: asyncpg.Connection, crowd: Crowd) -> None:
    """Cases, files, what is named, and who is told to deal with whom."""
    await connection.execute(
        "INSERT INTO cases (id, title, description, machine)"
        " SELECT one, one, '', '' FROM unnest($1::text[]) AS one",
        crowd.names,
    )
    await connection.execute(
        "INSERT INTO evidence (id, case_id, upload, uploaded_by, filename, title, sha256, bytes, media_type,"
        " meta, text, pages, summary, tags) SELECT id, one, '', '', 'f' || id, 'Document ' || id, id, 1,"
        " 'text/plain', '{}', '', '[]', '[]', '[]' FROM unnest($1::bigint[], $2::text[]) AS given(id, one)",
        [crowd.chunks + i + 1 for i in range(len(crowd.case_of_file))],
        [crowd.names[i] for i in crowd.case_of_file.tolist()],
    )
    await connection.execute(
        "INSERT INTO entities (id, case_id, kind, key, name, status)"
        " SELECT id, one, kind, lower(name) || id, name, 'suggested'"
        " FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS given(id, one, kind, name)",
        *(list(column) for column in zip(*crowd.entities, strict=True)),
    )
    some = np.arange(0, crowd.chunks, crowd.chunks // RELATIONS)
    ends = [crowd.mentioned(np.array([i]))[0, :2].tolist() for i in some.tolist()]
    await connection.execute(
        'INSERT INTO relations (case_id, chunk_id, subject, predicate, object, start, "end", source)'
        " SELECT one, chunk, subject, 'paid', object, 0, 9, 'rule' FROM"
        " unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS given(one, chunk, subject, object)",
        [crowd.names[i] for i in crowd.case_of_file[some // PER_FILE].tolist()],
        (some + 1).tolist(),
        *([crowd.entities[one][0] for one in side] for side in zip(*ends, strict=True)),
    )


async def _stream(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    yield _HEAD
    for part in parts:
        yield part
    yield _END


def _chunks(crowd: Crowd) -> Iterator[bytes]:
    files = crowd.chunks + 1
    names = [name.encode() for name in crowd.names]
    for block in crowd.blocks():
        halves, tokens = crowd.vectors(block).astype(">f2"), crowd.tokens(block).tolist()
        shape = struct.pack(">ihh", 4 + 2 * halves.shape[1], halves.shape[1], 0)
        parts = []
        for row, passage in enumerate(block.tolist()):
            said = " ".join([crowd.words[i] for i in tokens[row]]).encode()
            file, place = divmod(passage, PER_FILE)
            case, start = names[crowd.case_of_file[file]], place * 1000
            parts.append(
                _CHUNK.pack(
                    10, 8, passage + 1, _CASE, case, 8, files + file, 4, place, 4, 0, 4, start,
                    4, start + len(said), 3, b"\x01[]", len(said),
                )
            )  # fmt: skip
            parts += [said, shape, halves[row].tobytes()]
        yield b"".join(parts)


def _lengths(crowd: Crowd) -> Iterator[bytes]:
    for block in crowd.blocks():
        words = np.full(len(block), TOKENS)
        yield _packed((block + 1).astype(">i8"), _cases(crowd, block), words.astype(">i4"))


def _postings(crowd: Crowd) -> Iterator[bytes]:
    words = np.array(crowd.words, dtype="S")
    lengths = np.char.str_len(words)
    for block in crowd.blocks():
        flat = (np.arange(len(block))[:, None] * len(words) + crowd.tokens(block)).ravel()
        keys, times = np.unique(flat, return_counts=True)
        row, word = np.divmod(keys, len(words))
        for length in np.unique(lengths[word]).tolist():
            these = np.flatnonzero(lengths[word] == length)
            chunk = block[row[these]]
            yield _packed(
                _cases(crowd, chunk), words[word[these]].astype(f"S{length}"), (chunk + 1).astype(">i8"),
                times[these].astype(">i2"), np.full(len(these), TOKENS, ">i4"),
            )  # fmt: skip


def _mentions(crowd: Crowd) -> Iterator[bytes]:
    first = crowd.entities[0][0]
    for block in crowd.blocks():
        entity = crowd.mentioned(block)
        chunk = np.repeat(block + 1, entity.shape[1])
        start = np.tile(np.arange(entity.shape[1]) * 40, len(block)) + (block % PER_FILE * 1000).repeat(
            entity.shape[1]
        )
        yield _packed(
            chunk.astype(">i8"),
            start.astype(">i4"),
            (entity.ravel() + first).astype(">i8"),
            (start + 9).astype(">i4"),
        )


def _similarities(crowd: Crowd) -> Iterator[bytes]:
    """Each passage with the two next of its topic in its case."""
    case = np.repeat(crowd.case_of_file, PER_FILE)
    order = np.lexsort((np.arange(crowd.chunks), crowd.topic, case))
    for step in (1, 2):
        one, other = order[:-step], order[step:]
        alike = (case[one] == case[other]) & (crowd.topic[one] == crowd.topic[other])
        source, target = np.minimum(one, other)[alike], np.maximum(one, other)[alike]
        for i in range(0, len(source), 100_000):
            part = slice(i, i + 100_000)
            weight = np.full(len(source[part]), 0.7 - step / 20)
            yield _packed(
                _cases(crowd, source[part]),
                (source[part] + 1).astype(">i8"),
                (target[part] + 1).astype(">i8"),
                weight.astype(">f8"),
            )


def _cases(crowd: Crowd, passages: Ints) -> np.ndarray:
    return np.array(crowd.names, dtype=f"S{_CASE}")[crowd.case_of_file[passages // PER_FILE]]


def _packed(*columns: np.ndarray) -> bytes:
    """Rows in the form of a binary COPY; the values of a column are equally long."""
    fields: list[tuple[str, object]] = [("count", ">i2")]
    for i, column in enumerate(columns):
        fields += [(f"length{i}", ">i4"), (f"value{i}", column.dtype)]
    rows = np.empty(len(columns[0]), dtype=fields)
    rows["count"] = len(columns)
    for i, column in enumerate(columns):
        rows[f"length{i}"], rows[f"value{i}"] = column.dtype.itemsize, column
    return rows.tobytes()
