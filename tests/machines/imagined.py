"""A chart in two versions that no release has: a state renamed, a context field new, a region moved."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

from statemachine import State

from machines.chart import Chart, chart_hash, on_each
from machines.effect import Effect
from machines.event import Event, Result
from machines.releases import MIGRATIONS, Migration, with_states_renamed
from machines.snapshot import Snapshot
from machines.step import CHARTS
from machines.work import WORK_EVENTS, WorkChart, WorkContext, broken_to, overrun_to


class ParcelSpawned(Event, name="spawn", source="client", role="viewer"):
    """A parcel is to be sent."""

    address: str


class Loaded(Result, name="loaded"):
    """It is in the van."""

    weight: int


class Stamped(Result, name="stamped"):
    """Its papers have their stamp."""


class Recall(Event, name="recall", source="client"):
    """It stays here after all."""


@dataclass(frozen=True)
class LoadParcel(Effect, queue="cpu", deadline_s=60):
    """Put it into the van. Answered by loaded."""

    address: str


@dataclass(frozen=True)
class StampPapers(Effect, queue="cpu", deadline_s=60):
    """Answered by stamped."""

    address: str


class ParcelContext(WorkContext):
    address: str = ""
    weight: int = 0


class _ParcelChart(WorkChart):
    kind: ClassVar[str] = "parcel"
    context_type = ParcelContext
    spawn_event = ParcelSpawned
    spawn_topics = ("case",)
    event_types = (Loaded, Stamped, Recall, *WORK_EVENTS)

    context: ParcelContext

    def work_for(self, stage: str) -> Effect:
        if stage == "stamping":
            return StampPapers(self.context.address)
        return LoadParcel(self.context.address)

    def note_address(self, data: ParcelSpawned) -> None:
        self.context.address = data.address

    def note_weight(self, data: Loaded, source: State) -> None:
        self.context.weight = data.weight
        self.finish(source, done=1, unit="parcels")

    def note_stamp(self, source: State) -> None:
        self.finish(source, done=1, unit="stamps")


class FirstParcel(_ParcelChart):
    """Version 1: the van is loaded beside the papers."""

    version: ClassVar[int] = 1

    ordered = State(initial=True, enter="note_address")

    class leaving(State.Parallel):
        class carriage(State.Compound):
            loading = State(initial=True, enter="request")
            loaded_well = State(final=True)
            loaded = loading.to(loaded_well, on="note_weight")

        class papers(State.Compound):
            stamping = State(initial=True, enter="request")
            stamped_well = State(final=True)
            stamped = stamping.to(stamped_well, on="note_stamp")

    gone = State(final=True)
    kept = State(final=True)

    ordered.to(leaving)
    done_state_leaving = leaving.to(gone)
    recall = leaving.to(kept)

    _stages: ClassVar[dict[State, State]] = {leaving.carriage.loading: kept, leaving.papers.stamping: kept}
    started = on_each(*_stages, cond="concerns", on="note_started")
    broke = broken_to(_stages)
    deadline = overrun_to(_stages)
    again = on_each(*_stages, cond="concerns", on="ask_again")


class InsuredContext(ParcelContext):
    insured: bool


class SecondParcel(_ParcelChart):
    """Version 2: `loading` is `lifting`, the papers moved into an office, parcels are insured."""

    version: ClassVar[int] = 2
    context_type = InsuredContext
    formerly = {"loading": "lifting"}

    context: InsuredContext

    ordered = State(initial=True, enter="note_address")

    class leaving(State.Parallel):
        class carriage(State.Compound):
            lifting = State(initial=True, enter="request")
            loaded_well = State(final=True)
            loaded = lifting.to(loaded_well, on="note_weight")

        class office(State.Compound):
            class papers(State.Compound):
                stamping = State(initial=True, enter="request")
                stamped_well = State(final=True)
                stamped = stamping.to(stamped_well, on="note_stamp")

            filed = State(final=True)
            done_state_papers = papers.to(filed)

    gone = State(final=True)
    kept = State(final=True)

    ordered.to(leaving)
    done_state_leaving = leaving.to(gone)
    recall = leaving.to(kept)

    _stages: ClassVar[dict[State, State]] = {
        leaving.carriage.lifting: kept,
        leaving.office.papers.stamping: kept,
    }
    started = on_each(*_stages, cond="concerns", on="note_started")
    broke = broken_to(_stages)
    deadline = overrun_to(_stages)
    again = on_each(*_stages, cond="concerns", on="ask_again")


def to_second(old: Snapshot) -> Snapshot:
    """What a release with `SecondParcel` would write beside it."""
    renamed = with_states_renamed(old, {"loading": "lifting"})
    states: list[str] = []
    for state in renamed.configuration:
        states += ["office", state] if state == "papers" else [state]
    if "stamped_well" in states:  # the office is done with papers that have their stamp
        states = [s for s in states if s not in ("papers", "stamped_well")] + ["filed"]
    return replace(renamed, configuration=states, context=renamed.context | {"insured": False})


MIGRATION = Migration(chart_hash(SecondParcel), 2, to_second)
FIRST = ("parcel", chart_hash(FirstParcel))


@contextmanager
def release(chart: type[Chart], *, migrating: bool = True) -> Iterator[None]:
    """Be the release that has this chart, in this process."""
    before = dict(CHARTS)
    CHARTS[chart.kind] = chart
    if migrating:
        MIGRATIONS[FIRST] = MIGRATION
    _forget_charts()
    try:
        yield
    finally:
        CHARTS.clear()
        CHARTS.update(before)
        MIGRATIONS.pop(FIRST, None)
        _forget_charts()


def _forget_charts() -> None:
    """What `machines` remembers of charts by their kind."""
    for name, module in list(sys.modules.items()):
        if name.startswith("machines."):
            for value in list(vars(module).values()):  # others import meanwhile
                if callable(clear := getattr(value, "cache_clear", None)):
                    clear()
