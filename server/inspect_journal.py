"""The journal of one machine, as far back as it goes: every transition and what it changed.

PostgreSQL has every entry but those of the last second, which are taken from the end of the topic's
log. A page is folded from the machine's first entry on, so it may begin at most `FURTHEST` entries in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from machines.errors import UnknownKind
from machines.history import ABSENT, BEGINNING, Change, Past, changes, fold
from machines.path import taken
from machines.snapshot import Snapshot
from server.inspect_models import Asked, Base, ContextChange, JournalEntry, MachineJournal, Taken
from storage.machine_journal import MachineJournals
from storage.machine_search import MachineSearch
from storage.machine_store import MachineStore

FURTHEST = 20_000
LOG_TAIL = 500
"""How many entries of the topic's log, which holds those of its other machines, too, are looked at."""


class Journals:
    """Journals from both places, with the names of who acted."""

    def __init__(self, store: MachineStore, journals: MachineJournals, search: MachineSearch) -> None:
        self._store = store
        self._journals = journals
        self._search = search

    async def page(self, snapshot: Snapshot, *, after: int, limit: int) -> MachineJournal:
        """Up to `limit` entries of a machine after its `after` first ones.

        Raises:
            Unavailable: Redis does not answer.
        """
        kept = await self._journals.entries(snapshot.topic, snapshot.id, most=after + limit + 1)
        reached = kept[-1]["revision"] if kept else 0
        if len(kept) <= after + limit and reached != snapshot.revision:
            kept += _following(kept, await self._fresh(snapshot))
        page = await asyncio.to_thread(_page, snapshot, kept, after, limit)
        names = await self._search.names({entry.actor for entry in page.entries})
        for entry in page.entries:
            entry.actor_name = names.get(entry.actor, "")
        return page

    async def spawner(self, snapshot: Snapshot) -> tuple[str, str]:
        """Id and name of who spawned a machine: the actor of its first entry, a user or `system`."""
        kept = await self._journals.entries(snapshot.topic, snapshot.id, most=1)
        first = next((e for e in kept or await self._fresh(snapshot) if e["revision"] == 1), None)
        actor = "" if first is None else str(first["actor"])
        return actor, (await self._search.names({actor})).get(actor, "")

    async def _fresh(self, snapshot: Snapshot) -> list[dict[str, Any]]:
        epoch, offset = await self._store.position(snapshot.topic)
        log = await self._store.read_log(snapshot.topic, epoch, max(0, offset - LOG_TAIL))
        entries = [] if log is None else log.entries
        return [entry for entry in entries if entry["machine"] == snapshot.id and not entry["gone"]]


def _following(kept: Sequence[Mapping[str, Any]], fresh: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fresh entries that go on where the kept ones end; none where something is missing between."""
    known = {_identity(entry) for entry in kept}
    new = [entry for entry in fresh if _identity(entry) not in known]
    reached = kept[-1]["revision"] if kept else 0
    return new if new and new[0]["revision"] <= reached + 1 else []


def _identity(entry: Mapping[str, Any]) -> tuple[int, float, str]:
    return entry["revision"], entry["at"], entry["event"]


def _page(snapshot: Snapshot, entries: Sequence[Mapping[str, Any]], after: int, limit: int) -> MachineJournal:
    steps = fold(entries[: after + limit])
    base = steps[after - 1][1] if 0 < after <= len(steps) else BEGINNING
    if steps and after < len(steps):
        base = steps[after][0]
    told = [
        _entry(snapshot.kind, number, entry, before, now)
        for number, (entry, (before, now)) in enumerate(zip(entries, steps, strict=False), start=1)
        if number > after
    ]
    more = len(entries) > after + limit and after + limit < FURTHEST
    return MachineJournal(
        machine=snapshot.id,
        kind=snapshot.kind,
        topic=snapshot.topic,
        revision=snapshot.revision,
        base=Base(revision=base.revision, configuration=list(base.configuration), context=dict(base.context)),
        entries=told,
        next=after + limit if more else None,
    )


def _entry(kind: str, number: int, entry: Mapping[str, Any], before: Past, now: Past) -> JournalEntry:
    at = now.at
    left = set(before.configuration) - set(now.configuration)
    values = {
        "number": number,
        "revision": now.revision,
        "event": entry["event"],
        "actor": entry["actor"],
        "actor_name": "",
        "at": at,
        "from": entry["from"],
        "to": now.configuration,
        "terminated": now.terminated,
        "changes": [_change(change) for change in changes(before.context, now.context)],
        "taken": _taken(kind, entry["event"], before, now),
        "asked": _asked(entry, now),
        "after_s": max(0.0, at - before.at) if before.revision else 0.0,
        "left": {state: max(0.0, at - since) for state, since in before.entered.items() if state in left},
    }
    return JournalEntry.model_validate(values)


def _change(change: Change) -> ContextChange:
    what: Literal["added", "removed", "changed"] = (
        "added" if change.old is ABSENT else "removed" if change.new is ABSENT else "changed"
    )
    return ContextChange(
        path=list(change.path),
        what=what,
        old=None if change.old is ABSENT else change.old,
        new=None if change.new is ABSENT else change.new,
    )


def _taken(kind: str, event: str, before: Past, now: Past) -> list[Taken]:
    try:
        arrows = taken(kind, event, before.configuration, now.configuration)
    except UnknownKind:
        return []  # of a chart that this release has no more: there is no drawing either
    return [Taken(source=source, target=target) for source, target in arrows]


def _asked(entry: Mapping[str, Any], now: Past) -> list[Asked]:
    """Work whose effect has an id of this revision, `machine:revision:index`."""
    work: Mapping[str, Mapping[str, Any]] = now.context.get("work", {})
    begins = f"{entry['machine']}:{now.revision}:"
    return [
        Asked(stage=stage, effect=str(w["effect"]), queue=str(w.get("queue", "")))
        for stage, w in work.items()
        if str(w.get("effect", "")).startswith(begins)
    ]
