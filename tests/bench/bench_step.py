"""Microseconds of one event: by table, by python-statemachine, by `transitions`.

Run with `python -m tests.bench.bench_step`; prints Markdown tables, in processor time, since nothing
here waits. All ways take turns in one run and do the same work on the same charts: guards that read
the event and the context, an action that changes it, and on every entry an effect that the state
awaits until it is left.

- ours: `machines.step.step`, whole: snapshot in, rights and data checked, context validated, dumped
  and compared, snapshot out.
- restored, pooled: the same by the library (`tests/machines/oracle.py`, which checks no rights and
  no configuration), with an instance built for each event or used again.
- `transitions`: one machine for all, a light model for each event, whose context is validated
  before and dumped after, as it must be at rest; its ids, timers and comparison of contexts are
  left out. The nested chart takes its `HierarchicalMachine`.
- bare: only the event, on a machine that is there: context and data are ready, nothing is dumped.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from machines.chart import Chart
from machines.interpret import apply
from machines.snapshot import Snapshot
from machines.step import CHARTS, Incoming, Step, spawn, step
from machines.tables import tables_of
from tests.bench.step_charts import Counted, FlatChart, Go, Model, ParallelChart, peer_machine
from tests.machines import oracle
from tests.machines.walk import Walk, extracted_upload

ROUNDS = 40
EVENTS = 48
"""Of each way in one round: a whole number of turns around the ring."""


def incomings(kind: str) -> list[Incoming]:
    """The events of one round."""
    regions = ["left", "right"] if kind == "parallel" else ["left"]
    return [
        Incoming("go", {"amount": 1, "region": regions[n % len(regions)]}, "handler", 1001.0 + n)
        for n in range(EVENTS)
    ]


def us_each(act: Callable[[], object], count: int) -> float:
    """Microseconds of processor time, divided among `count` events."""
    before = time.process_time()
    act()
    return 1e6 * (time.process_time() - before) / count


@dataclass
class Times:
    """Medians over the rounds, µs an event."""

    ours: float
    restored: float
    pooled: float
    peer: float
    bare: float
    bare_pooled: float
    bare_peer: float


def measured(kind: str) -> Times:
    """One chart driven in every way, in turns."""
    chart = CHARTS[kind]
    tables = tables_of(chart)
    events = incomings(kind)
    payloads = [Go.model_validate(incoming.data) for incoming in events]
    first = spawn(kind, f"{kind}-0-a", "case:c", Incoming("spawn", {}, "handler", 1000.0)).snapshot
    machine, at_first = peer_machine(kind)

    def whole(act: Callable[[Snapshot, Incoming], Step]) -> Callable[[], None]:
        def run() -> None:
            snapshot = first
            for incoming in events:
                snapshot = act(snapshot, incoming).snapshot
            assert snapshot.context["count"] == EVENTS

        return run

    def trigger(model: Model, data: Go) -> None:
        if kind == "flat":
            machine.events["go"].trigger(model, data=data)
        else:
            machine.trigger_event(model, "go", data=data)

    def peer() -> None:
        state, context, awaiting = at_first, first.context, {}
        for incoming in events:
            data = Go.model_validate(dict(incoming.data))
            model = Model(state, Counted.model_validate(context))
            model.awaiting = awaiting
            trigger(model, data)
            state, context = model.state, model.context.model_dump(mode="json")
            awaiting = model.awaiting | {f"m:1:{n}": to for n, (_, to) in enumerate(model.emitted)}
        assert context["count"] == EVENTS

    def bare() -> None:
        body = oracle_body(chart)
        configuration: tuple[str, ...] = tuple(first.configuration)
        for data in payloads:
            configuration, _ = apply(tables, body, configuration, (), "go", data)
            body.emitted.clear()
        assert body.context.count == EVENTS

    def bare_pooled() -> None:
        instance = oracle.library_instance(
            chart,
            first.configuration,
            history={},
            way="pooled",
            context=Counted(),
            machine="m",
            topic="case:c",
            at=0.0,
            actor="u",
            awaiting={},
            timers={},
        )
        for data in payloads:
            instance.send("go", data=data)
            instance.emitted.clear()
        oracle.give_back(instance)

    def bare_peer() -> None:
        model = Model(at_first, Counted())
        for data in payloads:
            trigger(model, data)
            model.emitted.clear()
        assert model.context.count == EVENTS

    ways: list[Callable[[], None]] = [
        whole(step),
        whole(lambda snapshot, incoming: oracle.step(chart, snapshot, incoming)),
        whole(lambda snapshot, incoming: oracle.step(chart, snapshot, incoming, way="pooled")),
        peer,
        bare,
        bare_pooled,
        bare_peer,
    ]
    return Times(*in_turns(ways, ROUNDS, EVENTS))


def oracle_body(chart: type[Chart]) -> Any:
    """A machine without the library's engine."""
    body = object.__new__(chart)
    body.become(Counted(), "m", "case:c", 0.0, "u", {}, {})
    return body


def in_turns(ways: list[Callable[[], None]], rounds: int, count: int) -> list[float]:
    """Median µs of an event of each way."""
    taken: list[list[float]] = [[] for _ in ways]
    for way in ways:
        way()
    for _ in range(rounds):
        for way, times in zip(ways, taken, strict=True):
            times.append(us_each(way, count))
    return [statistics.median(times) for times in taken]


def real_events() -> dict[str, tuple[Snapshot, Incoming]]:
    """One event of each real chart, named by what it does."""
    upload = extracted_upload()
    query = Walk("query", question="Who?")
    tagged = {"effect": upload.effect("TagEvidence"), "tags": ["a"]}
    started = {"effect": query.effect("SearchWords"), "stage": "by_words"}
    return {
        "case, rename": (
            Walk("case", title="A").last.snapshot,
            Incoming("rename", {"title": "B"}, "client", 2000.0, "u1", "owner"),
        ),
        "upload, bytes arriving": (
            Walk("upload", filename="a.pdf").last.snapshot,
            Incoming("receiving_on", {"received": 1}, "handler", 2000.0),
        ),
        "upload, one of four regions ends": (
            upload.last.snapshot,
            Incoming("tagged", tagged, "handler", 2000.0),
        ),
        "query, one of three regions starts": (
            query.last.snapshot,
            Incoming("started", started, "handler", 2000.0),
        ),
        "query, cancelled": (query.last.snapshot, Incoming("cancel", {}, "client", 2000.0, "u1", "owner")),
    }


def real_rows() -> list[list[str]]:
    rows = []
    for name, (snapshot, incoming) in real_events().items():
        chart = CHARTS[snapshot.kind]

        def repeated(act: Callable[[Snapshot, Incoming], Step], given: Any = (snapshot, incoming)) -> Any:
            return lambda: [act(*given) for _ in range(20)]

        ours, restored, pooled = in_turns(
            [
                repeated(step),
                repeated(lambda s, i, chart=chart: oracle.step(chart, s, i)),
                repeated(lambda s, i, chart=chart: oracle.step(chart, s, i, way="pooled")),
            ],
            ROUNDS // 2,
            20,
        )
        rows.append([name, *numbers(ours, restored, pooled)])
    return rows


def numbers(ours: float, *others: float) -> list[str]:
    """Times in µs, then what each of the others takes of ours."""
    return [f"{ours:.1f}", *(f"{o:.0f}" for o in others), *(f"{o / ours:.1f} ×" for o in others)]


def main() -> None:
    CHARTS.update(flat=FlatChart, parallel=ParallelChart)
    names = {"flat": "8 states, flat", "parallel": "2 × 4 states, parallel"}
    times = {kind: measured(kind) for kind in names}
    for title, columns in (
        ("one event, whole, µs", ("ours", "restored", "pooled", "peer")),
        ("one event, bare, µs", ("bare", "bare_pooled", "bare_peer")),
    ):
        shown = {"bare_pooled": "pooled", "bare_peer": "transitions", "peer": "transitions", "bare": "ours"}
        heads = [shown.get(column, column) for column in columns]
        rows = [
            [name, *numbers(*(getattr(times[kind], column) for column in columns))]
            for kind, name in names.items()
        ]
        print_table([title, *heads, *(f"{head} / ours" for head in heads[1:])], rows)
    heads = ["one event, whole, µs", "ours", "restored", "pooled", "restored / ours", "pooled / ours"]
    print_table(heads, real_rows())


def print_table(heads: list[str], rows: list[list[str]]) -> None:
    print(f"| {' | '.join(heads)} |")
    print("|" + "---|" * len(heads))
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


if __name__ == "__main__":
    main()
