"""Machines of an earlier release brought to the present definition of their chart.

A release that changes a chart adds one line to `MIGRATIONS` for each definition that machines may
still be in; `as_it_is` where nothing has to change. A definition without one is never loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from machines.errors import WrongChart
from machines.snapshot import Snapshot


@dataclass(frozen=True)
class Migration:
    """The way from one definition of a chart to a later one.

    Attributes:
        to: Hash of the later definition.
        version: Its declared version.
        change: Gives the snapshot its new configuration, context, history, awaited effects and
            timers; id, topic, kind and revision stay.
    """

    to: str
    version: int
    change: Callable[[Snapshot], Snapshot]


def as_it_is(snapshot: Snapshot) -> Snapshot:
    """For a definition that only gained: events, states, context fields with a default."""
    return snapshot


def with_states_renamed(snapshot: Snapshot, names: Mapping[str, str]) -> Snapshot:
    """The snapshot with states called otherwise (earlier → present), wherever it names them.

    A chart whose stages are renamed also says so in `formerly`, for work that is under way.
    """

    def now(state: str) -> str:
        return names.get(state, state)

    context = dict(snapshot.context)
    if "work" in context:
        context["work"] = {now(stage): work for stage, work in context["work"].items()}
    return replace(
        snapshot,
        configuration=[now(state) for state in snapshot.configuration],
        history={now(key): [now(state) for state in states] for key, states in snapshot.history.items()},
        context=context,
        awaiting={effect: now(state) for effect, state in snapshot.awaiting.items()},
        # The keys stay: the durable timers are kept under them.
        timers={key: now(state) for key, state in snapshot.timers.items()},
    )


MIGRATIONS: dict[tuple[str, str], Migration] = {
    # Version 2 refuses votes on nodes that the query has not found.
    ("query", "75b29a2c07e8baf2"): Migration("b19dbf638c38837a", 2, as_it_is),
    # Version 3 forgets what rests on evidence that was deleted.
    ("query", "b19dbf638c38837a"): Migration("94d578c69f14a275", 3, as_it_is),
    # Version 4 understands follow-ups and may look outside the case.
    ("query", "94d578c69f14a275"): Migration("5d2d5fae58a5b79d", 4, as_it_is),
    # Version 2 can be removed, with a time of grace.
    ("case", "83bf63b43d45f8f4"): Migration("10cf8c01471068f4", 2, as_it_is),
    # Version 2 assembles what came in parts, deletes with a time of grace, and expects anew what never came.
    ("upload", "9e25363520152df6"): Migration("e15f149e2297c8e4", 2, as_it_is),
    # Version 3 tells what a language model could not read.
    ("upload", "e15f149e2297c8e4"): Migration("17c41c7f07e0224a", 3, as_it_is),
}
"""By kind and hash of the earlier definition."""


def leads(kind: str, chart_hash: str, present: str) -> bool:
    """Whether migrations lead from one definition of a chart to the definition `present`."""
    seen: set[str] = set()
    while chart_hash != present:
        migration = MIGRATIONS.get((kind, chart_hash))
        if migration is None or chart_hash in seen:
            return False
        seen.add(chart_hash)
        chart_hash = migration.to
    return True


def brought_up(snapshot: Snapshot, present: str) -> Snapshot:
    """The snapshot in the definition `present` (a hash), over as many releases as it takes.

    Raises:
        WrongChart: No migration leads there.
    """
    if snapshot.chart_hash == present:
        return snapshot
    if not leads(snapshot.kind, snapshot.chart_hash, present):
        raise WrongChart(
            f"{snapshot.id} was written by version {snapshot.chart_version} ({snapshot.chart_hash}) of "
            f"the {snapshot.kind} chart; this release has {present}, and no migration leads there",
            kind=snapshot.kind,
            version=snapshot.chart_version,
            chart_hash=snapshot.chart_hash,
        )
    while snapshot.chart_hash != present:
        migration = MIGRATIONS[(snapshot.kind, snapshot.chart_hash)]
        changed = migration.change(snapshot)
        snapshot = replace(
            changed,
            id=snapshot.id,
            kind=snapshot.kind,
            topic=snapshot.topic,
            revision=snapshot.revision,
            chart_hash=migration.to,
            chart_version=migration.version,
        )
    return snapshot
