"""Which evidence of a case is nearly the same: what is like it, and the links between."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Table, and_, case, delete, func, or_, select, text, union_all
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.schema import NearDuplicate

Kind = Literal["text", "picture"]

_tables = NearDuplicate.metadata.tables
LINKS: Table = _tables["near_duplicates"]
SIGNATURES: Table = _tables["text_signatures"]
BANDS: Table = _tables["text_bands"]
PICTURES: Table = _tables["picture_hashes"]
EVIDENCE: Table = _tables["evidence"]

_ALIKE_PICTURES = text(
    """
    SELECT evidence_id, distance FROM (
        SELECT evidence_id, hash, bit_count(CAST(hash # CAST(:hash AS bigint) AS bit(64))) AS distance
        FROM picture_hashes WHERE case_id = :case AND evidence_id <> :evidence
    ) AS told WHERE distance <= :most ORDER BY distance, evidence_id LIMIT :limit
    """
)


_PUT_BANDS = text(
    "INSERT INTO text_bands (band, evidence_id) SELECT unnest(CAST(:bands AS bigint[])), :evidence"
)

_PLAN_ANEW = text("SET LOCAL plan_cache_mode = 'force_custom_plan'")
"""Of a table that was not analysed yet, a plan for any bands at all reads every row of it."""

_ALIKE_TEXTS = text(
    """
    WITH met AS MATERIALIZED (
        SELECT DISTINCT evidence_id FROM text_bands WHERE band = ANY(CAST(:bands AS bigint[])) LIMIT :limit
    )
    SELECT evidence_id, runs, signature FROM met JOIN text_signatures USING (evidence_id)
    WHERE case_id = :case AND evidence_id <> :evidence
    """
)


@dataclass(frozen=True)
class AlikeText:
    """Other evidence whose text shares a band; `signature` and `runs` are of that text."""

    evidence: int
    runs: int
    signature: bytes


@dataclass(frozen=True)
class Likeness:
    """How alike other evidence is.

    Attributes:
        score: 0 to 1, the same seen from both.
        contained: How much of the smaller one stands in the other, 0 to 1.
        exact: False where it was estimated.
        mark: The signature that it was compared by; what has another one by now is not linked.
    """

    evidence: int
    score: float
    contained: float
    exact: bool
    mark: bytes


@dataclass(frozen=True)
class NearCopy:
    """Other evidence that is linked, as it is shown."""

    evidence: int
    title: str
    filename: str
    media_type: str
    kind: Kind
    score: float
    contained: float
    exact: bool


@dataclass(frozen=True)
class Pair:
    """Two pieces of evidence that are linked, a < b."""

    a: int
    b: int
    kind: Kind
    score: float


class NearCopies:
    """Signatures, picture hashes and links in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def put_text(
        self, case_id: str, evidence: int, runs: int, signature: bytes, bands: Sequence[int]
    ) -> None:
        """Replace what is known of a text; the links of another one of the same evidence go.

        Whoever asks `alike_texts` after this has returned meets it.
        """
        values = {"evidence_id": evidence, "case_id": case_id, "runs": runs, "signature": signature}
        query = upsert(SIGNATURES).values(values)
        put = query.on_conflict_do_update(
            index_elements=["evidence_id"],
            set_={name: query.excluded[name] for name in ("runs", "signature")},
            where=SIGNATURES.c.signature != query.excluded.signature,
        )
        async with self._database.begin() as connection:
            if (await connection.execute(put)).rowcount:
                await self._unlink(connection, evidence, "text")
                await connection.execute(delete(BANDS).where(BANDS.c.evidence_id == evidence))
                told = {"bands": _of_case(case_id, bands), "evidence": evidence}
                await connection.execute(_PUT_BANDS, told)

    async def forget_text(self, evidence: int) -> None:
        """There is no text (any more) that could be like another."""
        async with self._database.begin() as connection:
            await connection.execute(delete(SIGNATURES).where(SIGNATURES.c.evidence_id == evidence))
            await connection.execute(delete(BANDS).where(BANDS.c.evidence_id == evidence))
            await self._unlink(connection, evidence, "text")

    async def alike_texts(
        self, case_id: str, evidence: int, bands: Sequence[int], *, limit: int
    ) -> list[AlikeText]:
        """Other evidence of the case that shares one of the bands, at most `limit`, in no order."""
        asked = {"case": case_id, "evidence": evidence, "bands": _of_case(case_id, bands), "limit": limit}
        async with self._database.begin() as connection:
            await connection.execute(_PLAN_ANEW)
            return [AlikeText(*row) for row in await connection.execute(_ALIKE_TEXTS, asked)]

    async def put_picture(self, case_id: str, evidence: int, phash: int) -> None:
        """Replace what is known of a picture, as `put_text`; `phash` is signed, of 64 bits."""
        query = upsert(PICTURES).values(evidence_id=evidence, case_id=case_id, hash=phash)
        put = query.on_conflict_do_update(
            index_elements=["evidence_id"],
            set_={"hash": query.excluded.hash},
            where=PICTURES.c.hash != query.excluded.hash,
        )
        async with self._database.begin() as connection:
            if (await connection.execute(put)).rowcount:
                await self._unlink(connection, evidence, "picture")

    async def forget_picture(self, evidence: int) -> None:
        """There is no picture (any more) that could be like another."""
        async with self._database.begin() as connection:
            await connection.execute(delete(PICTURES).where(PICTURES.c.evidence_id == evidence))
            await self._unlink(connection, evidence, "picture")

    async def alike_pictures(
        self, case_id: str, evidence: int, phash: int, *, most: int, limit: int
    ) -> list[tuple[int, int]]:
        """Other pictures of the case that differ in at most `most` bits, nearest first, and in how many."""
        asked = {"case": case_id, "evidence": evidence, "hash": phash, "most": most, "limit": limit}
        async with self._database.connect() as connection:
            return [(row[0], row[1]) for row in await connection.execute(_ALIKE_PICTURES, asked)]

    async def link_texts(self, case_id: str, evidence: int, mark: bytes, found: Sequence[Likeness]) -> int:
        """Link evidence whose signature still is `mark` with what was found; returns with how many.

        A text that was read again meanwhile is not linked here: its own search comes later.
        """
        marks = {evidence: mark} | {one.evidence: one.mark for one in found}
        there = (
            select(SIGNATURES.c.evidence_id, SIGNATURES.c.signature)
            .where(SIGNATURES.c.evidence_id.in_(marks))
            .order_by(SIGNATURES.c.evidence_id)
            .with_for_update(read=True)
        )
        async with self._database.begin() as connection:
            rows = await connection.execute(there)
            same = {row[0] for row in rows if row[1] == marks[row[0]]}
            kept = [one for one in found if one.evidence in same] if evidence in same else []
            await self._link(connection, case_id, evidence, "text", kept)
        return len(kept)

    async def link_pictures(
        self, case_id: str, evidence: int, phash: int, found: Sequence[tuple[int, int]]
    ) -> int:
        """Link a picture whose hash still is `phash` with others at their distances in bits."""
        there = (
            select(PICTURES.c.evidence_id, PICTURES.c.hash)
            .where(PICTURES.c.evidence_id.in_([evidence, *(other for other, _ in found)]))
            .order_by(PICTURES.c.evidence_id)
            .with_for_update(read=True)
        )
        async with self._database.begin() as connection:
            hashes: dict[int, int] = {row[0]: row[1] for row in await connection.execute(there)}
            kept = [
                Likeness(other, 1 - distance / 64, 1 - distance / 64, True, b"")
                for other, distance in found
                if hashes.get(evidence) == phash
                and other in hashes
                and ((hashes[other] ^ phash) & (2**64 - 1)).bit_count() == distance
            ]
            await self._link(connection, case_id, evidence, "picture", kept)
        return len(kept)

    async def of_evidence(self, evidence: int, *, limit: int) -> list[NearCopy]:
        """What is linked with a piece of evidence and in sight, the most alike first."""
        other = case((LINKS.c.a == evidence, LINKS.c.b), else_=LINKS.c.a)
        query = (
            select(
                EVIDENCE.c.id,
                EVIDENCE.c.title,
                EVIDENCE.c.filename,
                EVIDENCE.c.media_type,
                LINKS.c.kind,
                LINKS.c.score,
                LINKS.c.contained,
                LINKS.c.exact,
            )
            .join(EVIDENCE, EVIDENCE.c.id == other)
            .where(or_(LINKS.c.a == evidence, LINKS.c.b == evidence), EVIDENCE.c.hidden_at.is_(None))
            .order_by(LINKS.c.score.desc(), EVIDENCE.c.id, LINKS.c.kind)
            .limit(limit)
        )
        async with self._database.connect() as connection:
            return [NearCopy(*row) for row in await connection.execute(query)]

    async def counts(self, evidence: Sequence[int]) -> dict[int, int]:
        """With how many others in sight each is linked; those with none are left out."""
        if not evidence:
            return {}
        ends = union_all(
            select(LINKS.c.a.label("one"), LINKS.c.b.label("other")).where(LINKS.c.a.in_(evidence)),
            select(LINKS.c.b.label("one"), LINKS.c.a.label("other")).where(LINKS.c.b.in_(evidence)),
        ).subquery()
        query = (
            select(ends.c.one, func.count(ends.c.other.distinct()))
            .join(EVIDENCE, EVIDENCE.c.id == ends.c.other)
            .where(EVIDENCE.c.hidden_at.is_(None))
            .group_by(ends.c.one)
        )
        async with self._database.connect() as connection:
            return {row[0]: row[1] for row in await connection.execute(query)}

    async def among(self, case_id: str, evidence: Sequence[int]) -> list[Pair]:
        """The links of a case between those of these that are in sight, by ids."""
        seen = select(EVIDENCE.c.id).where(EVIDENCE.c.id.in_(evidence), EVIDENCE.c.hidden_at.is_(None))
        query = (
            select(LINKS.c.a, LINKS.c.b, LINKS.c.kind, LINKS.c.score)
            .where(and_(LINKS.c.case_id == case_id, LINKS.c.a.in_(seen), LINKS.c.b.in_(seen)))
            .order_by(LINKS.c.a, LINKS.c.b, LINKS.c.kind)
        )
        async with self._database.connect() as connection:
            return [Pair(*row) for row in await connection.execute(query)]

    async def _link(
        self, connection: AsyncConnection, case_id: str, evidence: int, kind: Kind, found: Sequence[Likeness]
    ) -> None:
        if not found:
            return
        rows = [
            {
                "case_id": case_id,
                "a": min(evidence, one.evidence),
                "b": max(evidence, one.evidence),
                "kind": kind,
                "score": one.score,
                "contained": one.contained,
                "exact": one.exact,
            }
            for one in sorted(found, key=lambda one: one.evidence)
        ]
        query = upsert(LINKS)
        query = query.on_conflict_do_update(
            index_elements=["a", "b", "kind"],
            set_={name: query.excluded[name] for name in ("score", "contained", "exact")},
        )
        await connection.execute(query, rows)

    async def _unlink(self, connection: AsyncConnection, evidence: int, kind: Kind) -> None:
        await connection.execute(
            delete(LINKS).where(or_(LINKS.c.a == evidence, LINKS.c.b == evidence), LINKS.c.kind == kind)
        )


def _of_case(case_id: str, bands: Sequence[int]) -> list[int]:
    """The keys of bands as one case has them: what another one holds is not even looked at."""
    own = int.from_bytes(hashlib.sha256(case_id.encode()).digest()[:8], "little", signed=True)
    return sorted({band ^ own for band in bands})
