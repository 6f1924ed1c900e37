"""The custody chain: for each topic, rows of which each holds the hash of the row before.

A row's content repeats its topic, number, key and time, so that the hash covers the columns, too.
What the chain alone cannot show (a cut tail, a chain rewritten from some row on) is shown by the
signed heads that `storage.custody_heads` keeps outside the database. What entries quote of the evidence
is sealed, see `storage.sealing`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, Literal

import orjson
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.custody_check import FIRST, Check, Verdict, chain_hash
from storage.custody_heads import Head
from storage.schema import Journal
from storage.sealed import keep_seals, seals_of
from storage.sealing import Seal, seal

_PAGE = 1000

LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:topic, 0))")
"""Rows of a topic are added, and what is sealed in them is forgotten, by one at a time."""
# One look into the index for each topic: a plain DISTINCT would read the whole journal.
_LAST = """
    SELECT asked.topic, last.seq, last.hash FROM {asked} CROSS JOIN LATERAL (
        SELECT seq, hash FROM journal WHERE journal.topic = asked.topic ORDER BY seq DESC LIMIT 1
    ) AS last ORDER BY 1
"""
_HEADS = text(_LAST.format(asked="unnest(CAST(:topics AS text[])) AS asked(topic)"))
_TOPICS = """
    WITH RECURSIVE asked(topic) AS (
        (SELECT topic FROM journal ORDER BY topic LIMIT 1)
        UNION ALL
        SELECT (SELECT topic FROM journal WHERE journal.topic > asked.topic ORDER BY topic LIMIT 1)
        FROM asked WHERE topic IS NOT NULL
    )
"""
_EVERY_TOPIC = text(f"{_TOPICS} SELECT topic FROM asked WHERE topic IS NOT NULL")
_EVERY_HEAD = text(_TOPICS + _LAST.format(asked="asked"))
_KNOWN = text(
    "SELECT j.topic, j.event_key FROM journal j "
    "JOIN unnest(CAST(:topics AS text[]), CAST(:keys AS text[])) AS asked(topic, event_key) "
    "ON j.topic = asked.topic AND j.event_key = asked.event_key"
)


@dataclass(frozen=True)
class Record:
    """Something that belongs into the chain of `topic`.

    Attributes:
        key: Unique within the topic; a second record of that key is not written.
        data: JSON values.
        at: Unix seconds.
    """

    topic: str
    key: str
    what: Literal["transition", "access", "edit", "deletion"]
    data: dict[str, Any]
    at: float
    seals: tuple[Seal, ...] = ()


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, without spaces, in UTF-8."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def transition(topic: str, entry: bytes) -> Record:
    """The record of one entry of a topic's log.

    Its key ends with a hash of the entry: a machine that lost its newest revisions with Redis
    can reach a revision twice, and both belong into the chain.
    """
    whole = orjson.loads(entry)
    digest = hashlib.sha256(canonical(whole)).hexdigest()[:16]
    data, seals = seal(whole)
    key = f"{data['machine']}:{data['revision']}:{digest}"
    return Record(topic, key, "transition", data, data["at"], tuple(seals))


class CustodyJournal:
    """The chains of one database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.grown: set[str] = set()
        """Topics whose chain this process has made longer since they were last signed."""

    async def append(self, connection: AsyncConnection, records: Sequence[Record]) -> None:
        """Write the records that are not there yet, in order, in the caller's transaction."""
        if not records:
            return
        topics = sorted({record.topic for record in records})
        for topic in topics:
            await connection.execute(LOCK, {"topic": topic})
        heads = {
            topic: (seq, digest)
            for topic, seq, digest in await connection.execute(_HEADS, {"topics": topics})
        }
        asked = {"topics": [r.topic for r in records], "keys": [r.key for r in records]}
        known = {(topic, key) for topic, key in await connection.execute(_KNOWN, asked)}
        rows, seals = [], list[tuple[str, int, Seal]]()
        for record in records:
            if (record.topic, record.key) in known:
                continue
            known.add((record.topic, record.key))
            seq, previous = heads.get(record.topic, (0, FIRST))
            row = _row(record, seq + 1, previous)
            heads[record.topic] = (row["seq"], row["hash"])
            rows.append(row)
            seals += ((record.topic, row["seq"], seal) for seal in record.seals)
        if rows:
            await connection.execute(insert(Journal), rows)
            self.grown.update(row["topic"] for row in rows)
        if seals:
            await keep_seals(connection, seals)

    async def record_access(self, topic: str, who: str, what: str, evidence: int) -> None:
        """Note that user `who` did `what` (such as `read`, `download`) with a piece of evidence."""
        data = {"who": who, "what": what, "evidence": evidence}
        record = Record(topic, f"access:{token_hex(12)}", "access", data, time.time())
        async with self._engine.begin() as connection:
            await self.append(connection, [record])

    async def topics(self) -> list[str]:
        """Every topic that has a chain, sorted."""
        async with self._engine.connect() as connection:
            found = await connection.execute(_EVERY_TOPIC)
            return sorted(found.scalars())

    async def heads(self, topics: Iterable[str] | None = None) -> dict[str, tuple[int, str]]:
        """Topic → number and hash of its last row, for all topics by default."""
        async with self._engine.connect() as connection:
            rows = (
                await connection.execute(_EVERY_HEAD)
                if topics is None
                else await connection.execute(_HEADS, {"topics": list(topics)})
            )
            return {topic: (seq, digest) for topic, seq, digest in rows}

    async def verify(self, topic: str, heads: Sequence[Head]) -> Verdict:
        """Recompute the chain and compare it with the signed heads of that topic."""
        check = Check(topic, heads)
        async with self._engine.connect() as connection:
            async for page in self._pages(connection, topic):
                seals = await seals_of(connection, topic, page[0].seq, page[-1].seq)
                for row in page:
                    check.see(row, seals.get(row.seq, {}))
        return check.verdict()

    async def _pages(self, connection: AsyncConnection, topic: str) -> AsyncIterator[Sequence[Any]]:
        table: Any = Journal
        after = -1
        while True:
            page = (
                await connection.execute(
                    select(
                        table.seq, table.event_key, table.what, table.content,
                        table.previous, table.hash, table.at,
                    )
                    .where(table.topic == topic, table.seq > after)
                    .order_by(table.seq)
                    .limit(_PAGE)
                )
            ).all()  # fmt: skip
            if not page:
                return
            yield page
            after = page[-1].seq


def _row(record: Record, seq: int, previous: str) -> dict[str, Any]:
    at = datetime.fromtimestamp(record.at, UTC)
    content = canonical(
        {
            "topic": record.topic,
            "seq": seq,
            "key": record.key,
            "what": record.what,
            "at": at.isoformat(),
            "data": record.data,
        }
    )
    return {
        "topic": record.topic,
        "seq": seq,
        "event_key": record.key,
        "what": record.what,
        "content": content,
        "previous": previous,
        "hash": chain_hash(previous, content),
        "at": at,
    }
