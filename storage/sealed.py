"""The sealed values of the custody chains: kept while what they quote is there, read, and forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.schema import Sealed
from storage.sealing import Seal, unseal

_DEPARTED = text(
    """
    SELECT upload, evidence FROM departures
    WHERE upload = ANY(:machines) OR (evidence > 0 AND evidence = ANY(:evidence))
    UNION ALL
    SELECT machine, 0 FROM deleted_questions WHERE machine = ANY(:machines)
    """
)
_OF = text("SELECT seq, place, value FROM sealed WHERE topic = :topic AND seq = ANY(:rows)")
_OF_PAGE = text(
    "SELECT seq, place, salt, value FROM sealed WHERE topic = :topic AND seq BETWEEN :first AND :last"
)
_FORGET = text(
    "DELETE FROM sealed WHERE machine = :machine "
    "OR (:evidence > 0 AND evidence @> ARRAY[CAST(:evidence AS bigint)])"
)
_FORGET_TOPICS = text("DELETE FROM sealed WHERE topic = ANY(:topics)")


async def keep_seals(connection: AsyncConnection, seals: Sequence[tuple[str, int, Seal]]) -> None:
    """Keep the values of rows (topic, number), but nothing of what was deleted meanwhile."""
    asked = {
        "machines": sorted({seal.machine for _, _, seal in seals}),
        "evidence": sorted({one for _, _, seal in seals for one in seal.evidence}),
    }
    gone = (await connection.execute(_DEPARTED, asked)).all()
    machines, evidence = {row.upload for row in gone}, {row.evidence for row in gone}
    rows = [
        {
            "topic": topic,
            "seq": seq,
            "place": seal.place,
            "machine": seal.machine,
            "evidence": list(seal.evidence),
            "salt": seal.salt,
            "value": seal.value,
        }
        for topic, seq, seal in seals
        if seal.machine not in machines and not evidence.intersection(seal.evidence)
    ]
    if rows:
        await connection.execute(insert(Sealed), rows)


async def forget_seals(connection: AsyncConnection, machine: str, evidence: int) -> None:
    """Forget what entries of an upload told, and what any entry quoted of its evidence (0: none).

    Whoever calls this holds the locks of the topics, so that nothing is added behind it.
    """
    await connection.execute(_FORGET, {"machine": machine, "evidence": evidence})


async def forget_topics(connection: AsyncConnection, topics: Sequence[str]) -> None:
    """Forget everything that is sealed in the chains of topics."""
    await connection.execute(_FORGET_TOPICS, {"topics": list(topics)})


async def seals_of(
    connection: AsyncConnection, topic: str, first: int, last: int
) -> dict[int, dict[str, tuple[bytes, bytes]]]:
    """Row → place → salt and value, of the rows from `first` to `last`."""
    found: dict[int, dict[str, tuple[bytes, bytes]]] = {}
    for row in await connection.execute(_OF_PAGE, {"topic": topic, "first": first, "last": last}):
        found.setdefault(row.seq, {})[row.place] = (bytes(row.salt), bytes(row.value))
    return found


async def entries_in(
    connection: AsyncConnection, topic: str, rows: Sequence[tuple[int, bytes]]
) -> list[dict[str, Any]]:
    """The entries that rows (number, content) of a chain hold, as they were, less what was deleted."""
    entries = [(seq, orjson.loads(bytes(content))["data"]) for seq, content in rows]
    values: dict[int, dict[str, bytes]] = {}
    if entries:
        asked: Mapping[str, Any] = {"topic": topic, "rows": [seq for seq, _ in entries]}
        for row in await connection.execute(_OF, asked):
            values.setdefault(row.seq, {})[row.place] = bytes(row.value)
    return [unseal(entry, values.get(seq, {})) for seq, entry in entries]
