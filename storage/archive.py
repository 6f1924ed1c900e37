"""The latest snapshot of every machine in Postgres, so that Redis may forget the finished ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import case, collate, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from machines.phases import busy_since
from machines.snapshot import Snapshot
from storage.machine_store import MachineStore
from storage.schema import ArchivedMachine

Before = tuple[float, str]
"""Time of the last change and id: where a page begins, this machine not included."""

_RENEWED = ("revision", "snapshot", "terminated", "updated_at", "states", "title", "busy_since")


async def archive(
    connection: AsyncConnection, snapshots: Sequence[Snapshot], spawners: Mapping[str, str] | None = None
) -> None:
    """Keep these snapshots where they are newer than what is kept, in the caller's transaction.

    Args:
        spawners: Machine → actor of its first entry, for those whose first entry is known here.
    """
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
                "states": s.configuration,
                "title": title_of(s.context),
                "spawned_by": (spawners or {}).get(s.id, ""),
                "busy_since": busy_since(s.configuration, s.context),
            }
            for s in ordered
        ]
    )
    new = statement.excluded
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["id"],
            set_={name: new[name] for name in _RENEWED}
            | {"spawned_by": case((new.spawned_by != "", new.spawned_by), else_=table.spawned_by)},
            # A machine that lost its newest revisions with Redis goes on from a smaller one.
            where=or_(new.revision > table.revision, new.updated_at > table.updated_at),
        )
    )


def title_of(context: Mapping[str, Any]) -> str:
    """What people call a machine: its file, question or title; empty where it has none."""
    return next((str(context[key]) for key in ("filename", "question", "title") if context.get(key)), "")


async def archived(connection: AsyncConnection, machine: str) -> Snapshot | None:
    """The last snapshot of a machine that has ended; None where no such machine is kept."""
    table: Any = ArchivedMachine
    found = await connection.scalar(select(table.snapshot).where(table.id == machine, table.terminated))
    return None if found is None else Snapshot.from_json(found)


async def at_rest(connection: AsyncConnection, machine: str) -> Snapshot | None:
    """The last snapshot of a machine that can still change but waits for nothing; None where none is kept.

    If Redis has no such machine it has left to rest; one that awaits something was lost.
    """
    table: Any = ArchivedMachine
    found = await connection.scalar(select(table.snapshot).where(table.id == machine, ~table.terminated))
    snapshot = None if found is None else Snapshot.from_json(found)
    return None if snapshot is None or snapshot.awaiting or snapshot.timers else snapshot


def resting_in(database: AsyncEngine) -> Callable[[str], Awaitable[Snapshot | None]]:
    """`at_rest`, each time on a connection of its own."""

    async def find(machine: str) -> Snapshot | None:
        async with database.connect() as connection:
            return await at_rest(connection, machine)

    return find


async def archived_revisions(connection: AsyncConnection, machines: Sequence[str]) -> dict[str, int]:
    """Those of the machines that are kept, with the revision of their snapshot."""
    table: Any = ArchivedMachine
    rows = await connection.execute(select(table.id, table.revision).where(table.id.in_(machines)))
    return {str(machine): int(revision) for machine, revision in rows}


async def finished_archived(connection: AsyncConnection, machines: Sequence[str]) -> list[str]:
    """Those of the machines whose last snapshot is kept, in the given order."""
    table: Any = ArchivedMachine
    rows = await connection.execute(select(table.id).where(table.id.in_(machines), table.terminated))
    kept = set(rows.scalars())
    return [machine for machine in machines if machine in kept]


async def finished_page(
    connection: AsyncConnection, topic: str, before: Before | None, limit: int
) -> list[Snapshot]:
    """Machines of a topic that have ended and that Postgres has, the latest change first.

    Those of one time are ordered by id, downwards and byte by byte, as Redis orders them: a page
    may go on where the finished machines of `MachineStore.read_topic` end.

    Args:
        before: Of the last machine on the page before; None for the first page.
    """
    table: Any = ArchivedMachine
    by_bytes = collate(table.id, "C")
    wanted = select(table.snapshot).where(table.topic == topic, table.terminated)
    if before is not None:
        at, machine = before
        wanted = wanted.where(tuple_(table.updated_at, by_bytes) < tuple_(literal(at), literal(machine)))
    rows = await connection.execute(wanted.order_by(table.updated_at.desc(), by_bytes.desc()).limit(limit))
    return [Snapshot.from_json(value) for value in rows.scalars()]


async def finished_of(
    store: MachineStore, connection: AsyncConnection, topic: str, before: Before | None, limit: int
) -> list[Snapshot]:
    """Like `finished_page`, with those that ended so lately that Postgres has them not yet.

    Redis is read first: a machine that leaves it in between is in Postgres already. Whoever is in
    both appears once.
    """
    there = await store.finished_in(topic, before, limit)
    kept = await finished_page(connection, topic, before, limit)
    found = {snapshot.id: snapshot for snapshot in (*kept, *there)}
    return sorted(found.values(), key=place, reverse=True)[:limit]


def place(snapshot: Snapshot) -> Before:
    """Where a machine stands among the finished ones of its topic."""
    return snapshot.updated_at, snapshot.id
