"""The latest snapshot of every machine in Postgres, so that Redis may forget the finished ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from machines.snapshot import Snapshot
from storage.schema import ArchivedMachine


async def archive(connection: AsyncConnection, snapshots: Sequence[Snapshot]) -> None:
    """Keep these snapshots where they are newer than what is kept, in the caller's transaction."""
    if not snapshots:
        return
    # In order of their ids, so that two writers cannot wait for each other.
    ordered = sorted({snapshot.id: snapshot for snapshot in snapshots}.values(), key=lambda s: s.id)
    table: Any = ArchivedMachine
    statement = insert(ArchivedMachine).values(
        [
            {
                "id": s.id,
                "topic": s.topic,
                "kind": s.kind,
                "revision": s.revision,
                "snapshot": s.to_json(),
                "terminated": s.terminated,
                "updated_at": s.updated_at,
            }
            for s in ordered
        ]
    )
    new = statement.excluded
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["id"],
            set_={name: new[name] for name in ("revision", "snapshot", "terminated", "updated_at")},
            # A machine that lost its newest revisions with Redis goes on from a smaller one.
            where=or_(new.revision > table.revision, new.updated_at > table.updated_at),
        )
    )


async def archived(connection: AsyncConnection, machine: str) -> Snapshot | None:
    """The last snapshot of a machine that has ended; None where no such machine is kept."""
    table: Any = ArchivedMachine
    found = await connection.scalar(select(table.snapshot).where(table.id == machine, table.terminated))
    return None if found is None else Snapshot.from_json(found)


async def finished_archived(connection: AsyncConnection, machines: Sequence[str]) -> list[str]:
    """Those of the machines whose last snapshot is kept, in the given order."""
    table: Any = ArchivedMachine
    rows = await connection.execute(select(table.id).where(table.id.in_(machines), table.terminated))
    kept = set(rows.scalars())
    return [machine for machine in machines if machine in kept]
