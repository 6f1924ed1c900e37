"""Uploads on their way out: what they had brought, its deletion from the tables, the record that stays.

`begin` is the fence: from then on nothing is registered for the upload. `complete` takes everything out
of the tables and writes the record into the custody chain, in one transaction. Both can be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.departed import LOCK_UPLOAD
from storage.findings import forget_evidence
from storage.journal import LOCK as LOCK_TOPIC
from storage.journal import CustodyJournal, Record
from storage.sealed import forget_seals
from storage.sight import lock_sight, settle, within

_ROW = text(
    """
    SELECT id, parent_id, filename, sha256, bytes, media_type, uploaded_by, created_at, meta
    FROM evidence WHERE upload = :upload AND case_id = :case
    """
)
_ARRIVED = text("SELECT sha256, parent, filename FROM arrivals WHERE upload = :upload ORDER BY sha256")
_BEGIN = text(
    """
    INSERT INTO departures (upload, topic, case_id, evidence, facts, contents, actor, reason, complete)
    VALUES (:upload, :topic, :case, :evidence, :facts, :contents, :actor, :reason, false)
    ON CONFLICT (upload) DO NOTHING
    """
).bindparams(bindparam("facts", type_=JSONB))
_GET = (
    "SELECT upload, topic, case_id, evidence, facts, contents, actor, reason, complete, at FROM departures "
)
_OF_UPLOAD = text(_GET + "WHERE upload = :upload")
_OF_EVIDENCE = text(_GET + "WHERE evidence = :evidence ORDER BY at DESC LIMIT 1")
_WITHIN = text(
    _GET + "WHERE case_id = :case AND evidence > 0 AND CAST(facts ->> 'parent' AS bigint) = :evidence "
    "ORDER BY evidence"
)
_OF_CASE = text(_GET + "WHERE case_id = :case AND evidence > 0 ORDER BY at DESC, upload LIMIT :limit")

_CHILDREN = text("SELECT id, upload, sha256 FROM evidence WHERE parent_id = :evidence ORDER BY id")
_ELSEWHERE = text(
    """
    SELECT parent, filename FROM arrivals
    WHERE case_id = :case AND sha256 = :sha256 AND upload <> :upload AND parent <> :evidence
      AND filename <> '' AND spare AND NOT (parent = ANY(CAST(:inside AS bigint[])))
      AND NOT EXISTS (SELECT 1 FROM departures WHERE departures.upload = arrivals.upload)
      AND (parent = 0 OR EXISTS (SELECT 1 FROM evidence WHERE evidence.id = parent))
    ORDER BY at, upload LIMIT 1
    """
)
_MOVE = text(
    "UPDATE evidence SET parent_id = CAST(nullif(:parent, 0) AS bigint), filename = :filename "
    "WHERE id = :child AND parent_id = :evidence"
)

_MOVED = text(
    "SELECT upload FROM evidence WHERE upload = ANY(:uploads) AND parent_id IS DISTINCT FROM :evidence"
)
_LABELS = text(
    """
    SELECT title FROM evidence WHERE id = :evidence
    UNION
    SELECT e.name FROM entities e WHERE e.id IN (
        SELECT m.entity_id FROM mentions m JOIN chunks c ON c.id = m.chunk_id
        WHERE c.evidence_id = :evidence
    ) AND NOT EXISTS (
        SELECT 1 FROM mentions m JOIN chunks c ON c.id = m.chunk_id
        WHERE m.entity_id = e.id AND c.evidence_id <> :evidence
    )
    """
)
_UPLOADS_WITHIN = text(
    "SELECT DISTINCT upload FROM arrivals "
    "WHERE case_id = :case AND parent = :evidence AND filename <> '' AND upload <> :upload "
    "AND NOT spare AND NOT EXISTS (SELECT 1 FROM evidence WHERE evidence.upload = arrivals.upload "
    "AND evidence.sha256 = arrivals.sha256 AND evidence.case_id = :case)"
)
_SPARES = text(
    "SELECT upload FROM arrivals WHERE case_id = :case AND sha256 = :sha256 AND spare AND upload <> :upload"
)

_LOCK_VOTES = text("SELECT pg_advisory_xact_lock(hashtextextended(:case, 0))")
_NAMED = text(
    """
    SELECT DISTINCT m.entity_id FROM mentions m JOIN chunks c ON c.id = m.chunk_id
    WHERE c.evidence_id = :evidence
    """
)
_NODES = text("SELECT id FROM chunks WHERE evidence_id = :evidence")
_DELETE = text("DELETE FROM evidence WHERE id = :evidence AND upload = :upload RETURNING sha256")
_UNNAMED = text(
    """
    DELETE FROM entities WHERE id = ANY(:entities)
    AND NOT EXISTS (SELECT 1 FROM mentions WHERE mentions.entity_id = entities.id) RETURNING id
    """
)
_VOTES = text("DELETE FROM votes WHERE case_id = :case AND node = ANY(:nodes)")
_ATTENTION = text("DELETE FROM attention WHERE case_id = :case AND node = ANY(:nodes)")
_NEED_NO_MORE = text(
    "DELETE FROM arrivals WHERE upload = :upload OR (case_id = :case AND spare AND sha256 = :sha256)"
)
_INSIDE_NO_MORE = text(
    """
    DELETE FROM arrivals AS container
    WHERE case_id = :case AND sha256 = :sha256 AND upload <> :upload AND filename = ''
      AND parent IN (
        SELECT inside.parent FROM arrivals AS inside
        WHERE inside.case_id = :case AND inside.sha256 = :sha256 AND inside.filename <> ''
          AND (inside.upload = :upload OR inside.spare)
      )
      AND NOT EXISTS (
        SELECT 1 FROM evidence WHERE evidence.id = container.parent
          AND meta -> 'derived' @> jsonb_build_array(jsonb_build_object('sha256', CAST(:sha256 AS text)))
      )
    """
)
"""What it was found in, whose upload has stored it, needs it only until it is evidence of its own."""
_UNTOLD = text(
    "UPDATE import_files SET reason = 'the case held this file already, and it was deleted since' "
    "WHERE import_id IN (SELECT id FROM imports WHERE case_id = :case) "
    "AND state = 'duplicate' AND evidence = :evidence"
)
_COMPLETE = text("UPDATE departures SET complete = true WHERE upload = :upload")


@dataclass(frozen=True)
class Leaver:
    """An upload that shall go; `evidence` is 0 where it brought none, `actor` who wants it to."""

    upload: str
    topic: str
    case: str
    actor: str
    reason: str


@dataclass(frozen=True)
class Departure:
    """The tombstone of an upload.

    Attributes:
        evidence: What it had brought, 0 for nothing.
        facts: `filename, sha256, bytes, media_type, uploaded_by, uploaded_at, parent`, as far as known.
        contents: Hashes of the file and of what was made from it.
        complete: Whether the tables hold nothing of it any more.
    """

    upload: str
    topic: str
    case: str
    evidence: int
    facts: dict[str, Any]
    contents: list[str]
    actor: str
    reason: str
    complete: bool
    at: datetime


@dataclass(frozen=True)
class Child:
    """Evidence that was found in the one that goes."""

    evidence: int
    upload: str
    sha256: str


class Departures:
    """Departures in PostgreSQL."""

    def __init__(self, database: AsyncEngine, journal: CustodyJournal) -> None:
        self._database = database
        self._journal = journal

    async def begin(self, leaver: Leaver) -> Departure:
        """Note what an upload has brought, before anything of it goes; the first note, if there is one."""
        key = {"upload": leaver.upload}
        async with self._database.begin() as connection:
            await connection.execute(LOCK_UPLOAD, key)
            if (there := await _one(connection, _OF_UPLOAD, key)) is not None:
                return there
            row = (
                await connection.execute(_ROW, key | {"case": leaver.case})
            ).mappings().one_or_none()  # fmt: skip
            arrived = (await connection.execute(_ARRIVED, key)).all()
            contents = {each.sha256 for each in arrived}
            facts: dict[str, Any] = {}
            if row is not None:
                contents |= {row["sha256"], *(each["sha256"] for each in row["meta"].get("derived", []))}
                facts = {
                    name: row[name] for name in ("filename", "sha256", "bytes", "media_type", "uploaded_by")
                }
                facts["uploaded_at"] = row["created_at"].astimezone(UTC).isoformat()
                facts["parent"] = row["parent_id"] or max((each.parent for each in arrived), default=0)
            elif arrived:
                itself = next((each for each in arrived if each.filename), arrived[0])
                facts = {name: getattr(itself, name) for name in ("filename", "sha256", "parent")}
            begun = {
                "topic": leaver.topic,
                "case": leaver.case,
                "evidence": 0 if row is None else row["id"],
                "facts": facts,
                "contents": sorted(contents),
                "actor": leaver.actor,
                "reason": leaver.reason,
            }
            await connection.execute(_BEGIN, key | begun)
            begun_now = await _one(connection, _OF_UPLOAD, key)
        assert begun_now is not None
        return begun_now

    async def of_upload(self, upload: str) -> Departure | None:
        """The tombstone of an upload."""
        async with self._database.connect() as connection:
            return await _one(connection, _OF_UPLOAD, {"upload": upload})

    async def of_evidence(self, evidence: int) -> Departure | None:
        """The tombstone of evidence."""
        async with self._database.connect() as connection:
            return await _one(connection, _OF_EVIDENCE, {"evidence": evidence})

    async def of_case(self, case: str, limit: int) -> list[Departure]:
        """The evidence that a case had, the latest deletion first."""
        async with self._database.connect() as connection:
            rows = await connection.execute(_OF_CASE, {"case": case, "limit": limit})
            return [_departure(row) for row in rows.mappings()]

    async def within(self, departure: Departure) -> list[Departure]:
        """What was found in the evidence and has gone as well."""
        asked = {"case": departure.case, "evidence": departure.evidence}
        async with self._database.connect() as connection:
            return [_departure(row) for row in (await connection.execute(_WITHIN, asked)).mappings()]

    async def children(self, departure: Departure) -> list[Child]:
        """The evidence that goes with this one.

        What was found, or sent, elsewhere in the case as well stays, as found there.
        """
        going: list[Child] = []
        async with self._database.begin() as connection:
            await lock_sight(connection, departure.case)
            asked = {"evidence": departure.evidence}
            for row in (await connection.execute(_CHILDREN, asked)).all():
                inside = await within(connection, row.id)
                where = {"inside": inside, "case": departure.case, "sha256": row.sha256, "upload": row.upload}
                elsewhere = (await connection.execute(_ELSEWHERE, asked | where)).one_or_none()
                if elsewhere is None:
                    going.append(Child(row.id, row.upload, row.sha256))
                    continue
                moved = {"child": row.id, "parent": elsewhere.parent, "filename": elsewhere.filename}
                await connection.execute(_MOVE, asked | moved)
                await settle(connection, row.id)
        return going

    async def arrived_within(self, departure: Departure) -> set[str]:
        """Uploads of what was found in it that have brought bytes, but no evidence so far."""
        asked = {"case": departure.case, "evidence": departure.evidence, "upload": departure.upload}
        async with self._database.connect() as connection:
            return set((await connection.execute(_UPLOADS_WITHIN, asked)).scalars())

    async def moved(self, departure: Departure, uploads: Sequence[str]) -> set[str]:
        """Those of the uploads whose evidence is found elsewhere, and stays."""
        asked = {"uploads": list(uploads), "evidence": departure.evidence}
        async with self._database.connect() as connection:
            return set((await connection.execute(_MOVED, asked)).scalars())

    async def labels(self, departure: Departure) -> set[str]:
        """What is named by the evidence alone: its title, and entities that go with it."""
        async with self._database.connect() as connection:
            return set((await connection.execute(_LABELS, {"evidence": departure.evidence})).scalars())

    async def spares(self, departure: Departure) -> list[str]:
        """Uploads that brought the same bytes to the case, and point to this evidence."""
        asked = {
            "case": departure.case,
            "sha256": departure.facts.get("sha256", ""),
            "upload": departure.upload,
        }
        async with self._database.connect() as connection:
            return list((await connection.execute(_SPARES, asked)).scalars())

    async def complete(self, departure: Departure, *, children: Sequence[int] = ()) -> None:
        """Take everything out of the tables, and write the record; all or nothing."""
        evidence, case = departure.evidence, departure.case
        key = {"upload": departure.upload, "evidence": evidence, "case": case}
        async with self._database.begin() as connection:
            # The order in which entries are added and votes recorded: nobody waits in a circle.
            for topic in sorted({departure.topic, f"case:{case}"}):
                await connection.execute(LOCK_TOPIC, {"topic": topic})
            await connection.execute(_LOCK_VOTES, {"case": case})
            await connection.execute(LOCK_UPLOAD, {"upload": departure.upload})
            await lock_sight(connection, case)
            nodes = [evidence] if evidence else []
            nodes += (await connection.execute(_NODES, key)).scalars().all()
            named = list((await connection.execute(_NAMED, key)).scalars())
            held = (await connection.execute(_DELETE, key)).scalar_one_or_none()
            if held is not None:
                nodes += (await connection.execute(_UNNAMED, {"entities": named})).scalars().all()
                await connection.execute(_VOTES, {"case": case, "nodes": nodes})
                await connection.execute(_ATTENTION, {"case": case, "nodes": nodes})
            if evidence:
                await forget_evidence(connection, evidence)
            await connection.execute(_INSIDE_NO_MORE, key | {"sha256": held or ""})
            await connection.execute(_NEED_NO_MORE, key | {"sha256": held or ""})
            if evidence:
                await connection.execute(_UNTOLD, key)
            await forget_seals(connection, departure.upload, evidence if held is not None else 0)
            if departure.contents:
                await self._journal.append(connection, [_record(departure, children, held is not None)])
            await connection.execute(_COMPLETE, key)


def _record(departure: Departure, children: Sequence[int], was_evidence: bool) -> Record:
    data = {
        "what": "deleted",
        "who": departure.actor,
        "why": departure.reason,
        "upload": departure.upload,
        "evidence": departure.evidence if was_evidence else 0,
        "children": list(children),
        **departure.facts,
    }
    at = datetime.now(UTC).timestamp()
    return Record(departure.topic, f"deletion:{departure.upload}", "deletion", data, at)


async def _one(connection: AsyncConnection, query: Any, values: dict[str, Any]) -> Departure | None:
    row = (await connection.execute(query, values)).mappings().one_or_none()
    return None if row is None else _departure(row)


def _departure(row: Any) -> Departure:
    values = dict(row)
    values["case"] = values.pop("case_id")
    facts = values["facts"]
    values["facts"] = facts if isinstance(facts, dict) else orjson.loads(facts)
    return Departure(**values)
