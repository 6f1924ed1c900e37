"""Machines found for a visitor: the archive in PostgreSQL, overlaid with what Redis knows better.

The archive follows within about a second, so the `FRESH` machines that changed last within
`FRESH_S` are read from Redis and take the place of their archived rows.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from machines.phases import live_stages
from machines.snapshot import Snapshot
from server.inspect_models import MachineCounts, MachinePage, MachineRow, Stage, StateCount, Trouble
from server.inspect_trouble import OVERDUE_S, troubles_of
from server.inspect_usual import UsualTimes
from storage.archive import title_of
from storage.machine_search import MOST_COUNTED, Criteria, FoundMachine, MachineSearch
from storage.machine_store import DueTimer, MachineStore

FRESH = 50
FRESH_S = 15.0
_OVERDUE_TIMERS = 500

Cursor = tuple[float, str]
"""Time and id of the last machine of a page."""


@dataclass(frozen=True)
class Wanted:
    """`Criteria`, and whether only machines in trouble are wanted: slow or stuck, or stuck alone."""

    criteria: Criteria
    troubled: bool = False
    stuck: bool = False


class Inspector:
    """Finds machines and says what is wrong with them."""

    def __init__(self, store: MachineStore, search: MachineSearch, usual: UsualTimes) -> None:
        self._store = store
        self._search = search
        self._usual = usual

    async def find(
        self, topics: Sequence[str], wanted: Wanted, *, after: Cursor | None, limit: int
    ) -> MachinePage:
        """One page of the machines on `topics`.

        Raises:
            TooWide: More would have to be read than a request may.
            Unavailable: Redis does not answer.
        """
        criteria = wanted.criteria
        if wanted.troubled:
            rows = [row for row in await self._troubled(topics, criteria) if _goes_on(row, after)]
            if wanted.stuck:
                rows = [row for row in rows if any(t.level == "stuck" for t in row.troubles)]
            rows = rows[: limit + 1]
        else:
            found = await self._found(topics, criteria, after, limit + 1)
            rows = await self._told(found)
        more = len(rows) > limit
        rows = rows[:limit]
        return MachinePage(machines=rows, next=_cursor(rows[-1]) if more else None)

    async def counts(self, topics: Sequence[str]) -> MachineCounts:
        """The overview of everything on `topics`."""
        (counts, counted), troubled = await asyncio.gather(
            self._search.counts(topics), self._troubled(topics, Criteria())
        )
        stuck = sum(any(t.level == "stuck" for t in row.troubles) for row in troubled)
        return MachineCounts(
            states=[StateCount(**vars(count)) for count in counts],
            counted=counted,
            capped=counted >= MOST_COUNTED,
            slow=len(troubled) - stuck,
            stuck=stuck,
        )

    async def troubles(self, snapshot: Snapshot) -> list[Trouble]:
        """What is slow or stuck about one machine."""
        return (await self._told([_of_snapshot(snapshot)]))[0].troubles

    async def _told(self, found: Sequence[FoundMachine]) -> list[MachineRow]:
        """Rows with what is wrong with each machine."""
        now = time.time()
        running = [
            str(work["effect"])
            for machine in found
            for work in live_stages(machine.states, {"work": machine.work}).values()
            if work["status"] == "running" and work.get("effect")
        ]
        usual, due, leases = await asyncio.gather(
            self._usual.get(),
            self._store.due_timers(now - OVERDUE_S, limit=_OVERDUE_TIMERS),
            self._store.leases(running),
        )
        held = {effect for effect, is_held in zip(running, leases, strict=True) if is_held}
        overdue: dict[str, list[DueTimer]] = {}
        for timer in due:
            overdue.setdefault(timer.machine, []).append(timer)
        return [
            _row(
                machine,
                troubles_of(
                    machine.kind,
                    machine.states,
                    {"work": machine.work},
                    now=now,
                    usual=usual,
                    held=held,
                    overdue=overdue.get(machine.id, ()),
                ),
            )
            for machine in found
        ]

    async def _found(
        self, topics: Sequence[str], criteria: Criteria, after: Cursor | None, limit: int
    ) -> list[FoundMachine]:
        newest = await self._store.changed_lately(topics, after=time.time() - FRESH_S, limit=FRESH)
        fresh = {s.id: _of_snapshot(s) for s in newest if criteria.kind in (None, s.kind)}
        archived, known = await asyncio.gather(
            self._search.page(topics, criteria, before=after, without=list(fresh), limit=limit),
            self._search.spawners(list(fresh)),
        )
        fitting = [
            machine
            for machine in (_with_spawner(machine, known) for machine in fresh.values())
            if _fits(machine, criteria) and _follows(machine.updated_at, machine.id, after)
        ]
        return sorted([*archived, *fitting], key=lambda m: (m.updated_at, m.id), reverse=True)[:limit]

    async def _troubled(self, topics: Sequence[str], criteria: Criteria) -> list[MachineRow]:
        """Those of the machines that have waited longest which are in trouble, newest change first."""
        now = time.time()
        busy, due = await asyncio.gather(
            self._search.busy(topics, before=now),
            self._store.due_timers(now - OVERDUE_S, limit=_OVERDUE_TIMERS),
        )
        suspects = list(dict.fromkeys([*busy, *(timer.machine for timer in due)]))
        if not suspects:
            return []
        found = await self._found(topics, replace(criteria, machines=suspects), None, limit=len(suspects))
        return [row for row in await self._told(found) if row.troubles]


def parse_cursor(text: str) -> Cursor:
    """A cursor as a page told it.

    Raises:
        ValueError: It is none.
    """
    at, separator, machine = text.partition("~")
    if not separator or not math.isfinite(float(at)):
        raise ValueError("not a cursor")
    return float(at), machine


def _cursor(row: MachineRow) -> str:
    return f"{row.updated_at!r}~{row.machine}"


def _follows(at: float, machine: str, after: Cursor | None) -> bool:
    return after is None or (at, machine) < after


def _goes_on(row: MachineRow, after: Cursor | None) -> bool:
    return _follows(row.updated_at, row.machine, after)


def _fits(machine: FoundMachine, wanted: Criteria) -> bool:
    """What the query asks of archived rows, asked of a machine from Redis."""
    asked = (wanted.text or "").lower()
    return (
        wanted.kind in (None, machine.kind)
        and (wanted.state is None or wanted.state in machine.states)
        and wanted.finished in (None, machine.terminated)
        and wanted.changed_after <= machine.updated_at < wanted.changed_before
        and (
            wanted.owner is None
            or wanted.owner == machine.spawned_by
            or machine.topic == f"user:{wanted.owner}"
        )
        and (machine.id.lower().startswith(asked) or asked in machine.title.lower())
        and (wanted.machines is None or machine.id in wanted.machines)
    )


def _of_snapshot(snapshot: Snapshot) -> FoundMachine:
    work: dict[str, dict[str, Any]] = snapshot.context.get("work", {})
    return FoundMachine(
        id=snapshot.id,
        topic=snapshot.topic,
        kind=snapshot.kind,
        revision=snapshot.revision,
        states=snapshot.configuration,
        updated_at=snapshot.updated_at,
        terminated=snapshot.terminated,
        title=title_of(snapshot.context),
        spawned_by="",
        spawned_by_name="",
        work=work,
    )


def _with_spawner(machine: FoundMachine, known: Mapping[str, tuple[str, str]]) -> FoundMachine:
    user, name = known.get(machine.id, ("", ""))
    return replace(machine, spawned_by=user, spawned_by_name=name)


def _row(machine: FoundMachine, troubles: list[Trouble]) -> MachineRow:
    return MachineRow(
        machine=machine.id,
        kind=machine.kind,
        topic=machine.topic,
        title=machine.title,
        revision=machine.revision,
        configuration=machine.states,
        updated_at=machine.updated_at,
        terminated=machine.terminated,
        spawned_by=machine.spawned_by,
        spawned_by_name=machine.spawned_by_name,
        work={stage: Stage.model_validate(work) for stage, work in machine.work.items()},
        troubles=troubles,
    )
