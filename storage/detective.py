"""What Detective mode reads of a case: whom and what it names, where, and what its passages mean.

Evidence that waits to be deleted, what only such evidence mentions, and rejected entities are no part of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage import hidden
from storage.detective_mentions import MENTIONS, flat
from storage.detective_told import TOLD, TOLD_AT, Told, ToldAt
from storage.findings import NodeSort
from storage.graph_queries import APART, SAME

SECTION = 8
"""Passages whose vectors are averaged: comparing each with each would take 64 times as long."""

_PERSONS = text("SELECT id, name, aliases FROM pois WHERE case_id = :case ORDER BY id")
# An organisation is often named by its first word alone, which is an entity of its own.
_NAMED = text(
    f"""
    SELECT id, CASE kind WHEN 'name' THEN 'person' ELSE kind END AS kind, key, name,
           status = 'accepted' AS accepted, poi_id,
           CASE WHEN kind <> 'organisation' THEN 0 ELSE (
               SELECT count(DISTINCT m.chunk_id) FROM entities n JOIN mentions m ON m.entity_id = n.id
               WHERE n.case_id = :case AND n.kind = 'name' AND n.key = split_part(entities.key, ' ', 1)
           ) END AS by_word,
           kind = 'name' AND key NOT LIKE '% %' AS bare
    FROM entities
    WHERE case_id = :case AND status <> 'rejected'
      AND (kind IN ('poi', 'person', 'organisation', 'email', 'phone', 'citation')
           OR (kind = 'name' AND key = ANY(:people)))
      AND id NOT IN {hidden.ENTITIES}
    ORDER BY id
    """
)
_FILES = text(
    """
    SELECT id, title, sha256, parent_id, meta -> 'thread' AS thread,
           CASE WHEN meta ? 'from' THEN coalesce(meta ->> 'subject', '') ELSE '' END AS subject,
           meta ->> 'date' AS date
    FROM evidence WHERE case_id = :case AND hidden_at IS NULL ORDER BY id
    """
)
# Words that begin in lower case and are no address, counted by what is fast in SQL: lists and tables have
# next to none. What begins with a letter of another script counts as lower case.
_CHUNKS = text(
    f"""
    SELECT id, evidence_id, ordinal, words, greatest(words - capitals - addresses, 0) AS prose
    FROM (
        SELECT id, evidence_id, ordinal, addresses, length(flat) - length(replace(flat, ' ', '')) AS words,
               (length(flat) - length(replace(flat, ' X', ''))) / 2 AS capitals
        FROM (
            SELECT id, evidence_id, ordinal, length(text) - length(replace(text, '@', '')) AS addresses,
                   {flat("text")} AS flat
            FROM chunks WHERE case_id = :case AND evidence_id NOT IN {hidden.EVIDENCE}
            OFFSET 0
        ) AS levelled
        OFFSET 0
    ) AS counted
    ORDER BY evidence_id, ordinal
    """
)
_COPIES = text("SELECT a, b FROM near_duplicates WHERE case_id = :case ORDER BY a, b")
_SECTIONS = text(
    f"""
    SELECT evidence_id, ordinal / {SECTION} AS section, halfvec_send(avg(vector)) AS vector
    FROM chunks
    WHERE case_id = :case AND vector IS NOT NULL AND evidence_id NOT IN {hidden.EVIDENCE}
    GROUP BY evidence_id, ordinal / {SECTION} ORDER BY evidence_id, ordinal / {SECTION}
    """
)
_PASSAGES = text(
    f"""
    SELECT c.id, c.evidence_id, e.title, c.page, c.start, c."end", c.text
    FROM chunks c JOIN evidence e ON e.id = c.evidence_id
    WHERE c.case_id = :case AND c.id = ANY(:chunks) AND e.hidden_at IS NULL
      AND c.id NOT IN {hidden.CHUNKS}
    ORDER BY c.id
    """
)
_PLACES = text(
    """
    SELECT m.chunk_id, m.entity_id, min(m.start) AS start, min(m."end") AS "end"
    FROM mentions m JOIN entities e ON e.id = m.entity_id
    WHERE e.case_id = :case AND m.chunk_id = ANY(:chunks) AND m.entity_id = ANY(:entities)
    GROUP BY m.chunk_id, m.entity_id ORDER BY m.chunk_id, m.entity_id
    """
)
_NEAREST = text(
    f"""
    SELECT a.id AS a, b.id AS b, 1 - (a.vector <=> b.vector) AS cosine
    FROM chunks a CROSS JOIN chunks b
    WHERE a.evidence_id = :a AND a.ordinal / {SECTION} = :of_a
      AND b.evidence_id = :b AND b.ordinal / {SECTION} = :of_b
      AND a.vector IS NOT NULL AND b.vector IS NOT NULL
    ORDER BY (a.vector <=> b.vector) + 0, a.id, b.id LIMIT 1
    """
)
_ENDS = text(
    f"""
    SELECT id, what, kind, name, case_id FROM (
        SELECT id, 'poi' AS what, 'poi' AS kind, name, case_id, 0 AS place FROM pois
        WHERE case_id = :case AND (name ILIKE :like OR aliases::text ILIKE :like)
        UNION ALL
        SELECT id, 'entity', kind, name, case_id, 1 FROM entities
        WHERE case_id = :case AND poi_id IS NULL AND status <> 'rejected' AND name ILIKE :like
          AND kind IN ('person', 'organisation', 'email', 'phone', 'citation')
          AND id NOT IN {hidden.ENTITIES}
        UNION ALL
        SELECT id, 'evidence', media_type, title, case_id, 2 FROM evidence
        WHERE case_id = :case AND hidden_at IS NULL AND title ILIKE :like
    ) AS found ORDER BY place, length(name), name, id LIMIT :limit
    """
)
_DESCRIBED = text(
    """
    SELECT id, 'poi', 'poi', name, case_id FROM pois WHERE id = ANY(:nodes)
    UNION ALL
    SELECT id, 'entity', CASE kind WHEN 'name' THEN 'person' ELSE kind END, name, case_id
    FROM entities WHERE id = ANY(:nodes) AND status <> 'rejected'
    UNION ALL
    SELECT id, 'evidence', media_type, title, case_id FROM evidence
    WHERE id = ANY(:nodes) AND hidden_at IS NULL
    """
)


@dataclass(frozen=True)
class Person:
    """A person of interest; `node` is its id."""

    node: int
    name: str
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class Named:
    """An entity that can be a bridge; `poi` is the person of interest that it is, 0 for none.

    `by_word` counts the passages that name an organisation's first word; `bare` is a name of a single word,
    of which its text does not tell what it names.
    """

    node: int
    kind: str
    key: str
    name: str
    accepted: bool
    poi: int
    by_word: int = 0
    bare: bool = False


@dataclass(frozen=True)
class File:
    """A piece of evidence; `thread` holds the ids of mails of its conversation that it names.

    `subject` is a mail's; what other documents call their subject makes no conversation.
    """

    node: int
    title: str
    sha256: str
    parent: int
    thread: frozenset[str]
    subject: str
    date: str


@dataclass(frozen=True, eq=False)
class CaseFacts:
    """A case as Detective mode walks it.

    Attributes:
        chunks: Shape (n, 5), int64: id, evidence, ordinal, how many words, and how many of them are in lower
            case and no part of an address; by evidence and ordinal.
        mentions: Shape (m, 8), int64: chunk, entity, first character in the evidence's text; how many words
            stand beside it, and how many of them as in `chunks`, none where the name labels what follows;
            what stands before it and behind it as numbers, equal for equal text, 0 for too little; how
            many words in lower case the passage has before it. By chunk, entity and character.
        copies: Pairs of evidence that are nearly the same.
        told: What the evidence says that one entity does to another.
        same: Entities that somebody found to be the same.
        apart: An entity and another one, or a person of interest, that somebody found to be different.
    """

    case: str
    title: str
    persons: list[Person]
    named: list[Named]
    files: list[File]
    chunks: NDArray[np.int64]
    mentions: NDArray[np.int64]
    copies: list[tuple[int, int]]
    told: list[Told] = field(default_factory=list)
    same: list[tuple[int, int]] = field(default_factory=list)
    apart: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Sections:
    """What the evidence of a case means, by sections of `SECTION` passages.

    Attributes:
        evidence: Shape (n,), int64.
        section: Shape (n,), int64: 0 for the first of its evidence.
        vectors: Shape (n, d), float32, of length 1.
    """

    evidence: NDArray[np.int64]
    section: NDArray[np.int64]
    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class PassageText:
    """A passage; `start`..`end` are characters of its evidence's text."""

    chunk: int
    evidence: int
    title: str
    page: int
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class End:
    """Something that a search can be about. `kind` is the entity's, or a media type."""

    node: int
    what: NodeSort
    kind: str
    name: str
    case: str


class DetectiveFacts:
    """Facts of cases in PostgreSQL; the same data gives the same answer in the same order."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def persons(self, case: str) -> list[Person]:
        """The persons of interest of a case."""
        async with self._database.connect() as connection:
            rows = await _rows(connection, _PERSONS, case=case)
        return _persons(rows)

    async def facts(self, case: str, title: str, people: Collection[str] = ()) -> CaseFacts:
        """All of a case that is in sight, as of one moment.

        Args:
            people: Keys of names that are known to be people's: what has one of them, and could not be told
                to be a person from the text alone, is one.
        """
        async with self._database.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            persons = await _rows(connection, _PERSONS, case=case)
            named = await _rows(connection, _NAMED, case=case, people=sorted(people))
            files = await _rows(connection, _FILES, case=case)
            chunks = await _rows(connection, _CHUNKS, case=case)
            mentions = await _rows(connection, MENTIONS, case=case, people=sorted(people))
            copies = await _rows(connection, _COPIES, case=case)
            told = await _rows(connection, TOLD, case=case)
            same = await _rows(connection, SAME, case=case)
            apart = await _rows(connection, APART, case=case)
        return CaseFacts(
            case=case,
            title=title,
            persons=_persons(persons),
            named=[
                Named(
                    row.id, row.kind, row.key, row.name, row.accepted, row.poi_id or 0, row.by_word, row.bare
                )
                for row in named
            ],
            files=[
                File(
                    row.id,
                    row.title,
                    row.sha256,
                    row.parent_id or 0,
                    _thread(row.thread),
                    row.subject,
                    row.date or "",
                )
                for row in files
            ],
            chunks=_table(chunks, 5),
            mentions=_table(mentions, 8),
            copies=[(row.a, row.b) for row in copies],
            told=[Told(*row) for row in told],
            same=[(row.entity, row.other) for row in same],
            apart=[(row.entity, row.other) for row in apart],
        )

    async def sections(self, case: str) -> Sections:
        """The mean vectors of a case's evidence that has been embedded."""
        async with self._database.connect() as connection:
            rows = await _rows(connection, _SECTIONS, case=case)
        if not rows:
            nothing = np.zeros(0, dtype=np.int64)
            return Sections(nothing, nothing, np.zeros((0, 1), dtype=np.float32))
        # Two 16-bit numbers, the dimensions and one unused, precede the values, all in network order.
        raw = np.frombuffer(b"".join(row.vector[4:] for row in rows), dtype=">f2")
        vectors = raw.reshape(len(rows), -1).astype(np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return Sections(
            np.array([row.evidence_id for row in rows], dtype=np.int64),
            np.array([row.section for row in rows], dtype=np.int64),
            vectors / np.maximum(lengths, 1e-12),
        )

    async def nearest(self, a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int, float] | None:
        """The two passages that are nearest to each other, one of each section, and their cosine.

        Args:
            a, b: Evidence and section.
        """
        asked = {"a": a[0], "of_a": a[1], "b": b[0], "of_b": b[1]}
        async with self._database.connect() as connection:
            row = (await connection.execute(_NEAREST, asked)).one_or_none()
        return None if row is None else (row.a, row.b, row.cosine)

    async def passages(self, case: str, chunks: Sequence[int]) -> dict[int, PassageText]:
        """Those of the passages that the case has in sight."""
        async with self._database.connect() as connection:
            rows = await _rows(connection, _PASSAGES, case=case, chunks=list(chunks))
        return {row[0]: PassageText(*row) for row in rows}

    async def places(
        self, case: str, chunks: Sequence[int], entities: Sequence[int]
    ) -> dict[tuple[int, int], tuple[int, int]]:
        """Chunk and entity → the first place where it stands there, in characters of the evidence's text."""
        async with self._database.connect() as connection:
            asked = {"chunks": list(chunks), "entities": list(entities)}
            rows = await _rows(connection, _PLACES, case=case, **asked)
        return {(row[0], row[1]): (row[2], row[3]) for row in rows}

    async def told(self, relations: Sequence[int]) -> dict[int, ToldAt]:
        """Those of the relations that are in sight, by id."""
        async with self._database.connect() as connection:
            rows = await _rows(connection, TOLD_AT, relations=list(relations))
        return {row[0]: ToldAt(*row) for row in rows}

    async def ends(self, case: str, words: str, limit: int) -> list[End]:
        """What of a case has a name that holds the words: persons of interest first, the shortest names."""
        escaped = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        async with self._database.connect() as connection:
            rows = await _rows(connection, _ENDS, case=case, like=f"%{escaped}%", limit=limit)
        return [End(*row) for row in rows]

    async def described(self, nodes: Sequence[int]) -> dict[int, End]:
        """Those of the nodes that are in sight."""
        async with self._database.connect() as connection:
            rows = await _rows(connection, _DESCRIBED, nodes=list(nodes))
        return {row[0]: End(*row) for row in rows}


async def _rows(connection: AsyncConnection, query: Any, **values: Any) -> Sequence[Any]:
    return (await connection.execute(query, values)).all()


def _persons(rows: Sequence[Any]) -> list[Person]:
    return [Person(row.id, row.name, tuple(row.aliases)) for row in rows]


def _table(rows: Sequence[Any], columns: int) -> NDArray[np.int64]:
    return np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, columns)


def _thread(thread: Any) -> frozenset[str]:
    if not isinstance(thread, dict):
        return frozenset()
    ids = [thread.get("id", ""), thread.get("in_reply_to", ""), *thread.get("references", [])]
    return frozenset(str(one) for one in ids if one)
