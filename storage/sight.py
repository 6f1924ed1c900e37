"""Which evidence of a case is in sight: what is not removed and is found somewhere that is.

Evidence has places: the one it was first found in, and those where the same bytes came again. It is in
sight while it is not removed itself and one of its places is: by itself, or within evidence in sight.
So what was inside goes and comes back with what it was inside of, exactly as far as it would be deleted
with it, and what was removed by itself stays away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.departed import check_departed
from storage.unknown import UnknownEvidence

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('casewire.sight.' || :case, 0))")
_SHARE = text("SELECT pg_advisory_xact_lock_shared(hashtextextended('casewire.sight.' || :case, 0))")

_TREE = """tree(id) AS (
        SELECT id FROM evidence WHERE id = :evidence
        UNION
        SELECT inside.id FROM tree CROSS JOIN LATERAL (
            SELECT within.id FROM evidence AS within WHERE within.parent_id = tree.id
            UNION ALL
            SELECT again.id FROM arrivals
            JOIN evidence AS again ON again.case_id = arrivals.case_id AND again.sha256 = arrivals.sha256
            WHERE arrivals.parent = tree.id AND arrivals.parent > 0 AND arrivals.spare
        ) AS inside
    )"""
"""Evidence and all that may be found in it, at any depth."""

_WITHIN = text(f"WITH RECURSIVE {_TREE} SELECT id FROM tree")
_SETTLE = text(
    f"""
    WITH RECURSIVE {_TREE}, places(id, parent) AS (
        SELECT id, coalesce(parent_id, 0) FROM evidence
        WHERE id IN (SELECT id FROM tree) AND removed_at IS NULL
        UNION
        SELECT evidence.id, arrivals.parent FROM evidence
        JOIN arrivals ON arrivals.case_id = evidence.case_id AND arrivals.sha256 = evidence.sha256
        WHERE evidence.id IN (SELECT id FROM tree) AND removed_at IS NULL
          AND arrivals.spare AND arrivals.filename <> '' AND arrivals.upload <> evidence.upload
          AND NOT EXISTS (SELECT 1 FROM departures WHERE departures.upload = arrivals.upload)
    ), seen(id) AS (
        SELECT places.id FROM places
        WHERE parent = 0 OR EXISTS (
            SELECT 1 FROM evidence AS around
            WHERE around.id = places.parent AND around.hidden_at IS NULL
              AND around.id NOT IN (SELECT id FROM tree)
        )
        UNION
        SELECT places.id FROM seen JOIN places ON places.parent = seen.id
    ), changed AS (
        UPDATE evidence SET hidden_at = CASE WHEN hidden_at IS NULL THEN now() END
        WHERE id IN (SELECT id FROM tree) AND (hidden_at IS NULL) <> (id IN (SELECT id FROM seen))
    )
    SELECT tree.id, tree.id NOT IN (SELECT id FROM seen) AS hidden FROM tree
    """
)


_MINE = text("SELECT case_id FROM evidence WHERE id = :evidence AND upload = :upload")
_REMOVE = text(
    "UPDATE evidence SET removed_at = CASE WHEN :hidden THEN coalesce(removed_at, now()) END "
    "WHERE id = :evidence AND upload = :upload"
)
_HIDDEN = text("SELECT id, hidden_at IS NOT NULL FROM evidence WHERE id = ANY(CAST(:evidence AS bigint[]))")
_AROUND = text("SELECT upload, hidden_at FROM evidence WHERE id = :evidence")


@dataclass(frozen=True)
class Sight:
    """What of a case is hidden since something was removed or came back, by id of evidence."""

    case: str
    hidden: dict[int, bool]


async def hide(connection: AsyncConnection, evidence: int, upload: str, *, hidden: bool) -> Sight | None:
    """Remove evidence or take that back; see `EvidenceStore.hide`."""
    mine = {"evidence": evidence, "upload": upload}
    case: str | None = await connection.scalar(_MINE, mine)
    if case is None:
        return None
    await lock_sight(connection, case)
    if not (await connection.execute(_REMOVE, mine | {"hidden": hidden})).rowcount:
        return None
    return Sight(case, await settle(connection, evidence))


async def hidden_of(connection: AsyncConnection, evidence: Sequence[int]) -> dict[int, bool]:
    """Whether they are hidden, by id; those that are gone are left out."""
    return {row[0]: row[1] for row in await connection.execute(_HIDDEN, {"evidence": list(evidence)})}


async def hidden_around(connection: AsyncConnection, case: str, parent: int) -> datetime | None:
    """Since when what a file was found in is hidden, which does not change until the transaction ends.

    Raises:
        Departed: That is on its way out.
        UnknownEvidence: That is gone.
    """
    around = (await connection.execute(_AROUND, {"evidence": parent})).one_or_none()
    if around is None:
        raise UnknownEvidence(parent)
    await check_departed(connection, around.upload)
    await share_sight(connection, case)
    around = (await connection.execute(_AROUND, {"evidence": parent})).one_or_none()
    if around is None:
        raise UnknownEvidence(parent)
    hidden_at: datetime | None = around.hidden_at
    return hidden_at


async def lock_sight(connection: AsyncConnection, case: str) -> None:
    """Hold off everybody else who changes what is in sight in a case, until the transaction ends.

    Whoever needs a lock of an upload as well takes that one first.
    """
    await connection.execute(_LOCK, {"case": case})


async def share_sight(connection: AsyncConnection, case: str) -> None:
    """As `lock_sight`, but together with others who only look."""
    await connection.execute(_SHARE, {"case": case})


async def within(connection: AsyncConnection, evidence: int) -> list[int]:
    """The evidence and all that may be found in it, at any depth; an archive may hold itself."""
    return list((await connection.execute(_WITHIN, {"evidence": evidence})).scalars())


async def settle(connection: AsyncConnection, evidence: int) -> dict[int, bool]:
    """Hide or show evidence and all that hangs on it, after something about it has changed.

    The caller holds `lock_sight` of the case.

    Returns:
        Whether it is hidden, by id: of the evidence and of everything that may be found in it, at any
        depth; empty where it is gone.
    """
    return {row.id: row.hidden for row in await connection.execute(_SETTLE, {"evidence": evidence})}
