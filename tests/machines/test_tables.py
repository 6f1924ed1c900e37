"""Charts of every shape go the same way by table and by the library."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from statemachine.exceptions import TransitionNotAllowed

from machines import step as stepping
from machines.chart import Chart
from machines.errors import BrokenSnapshot, NotAllowed, Stale
from machines.plan import without_conflicts
from machines.snapshot import Snapshot
from machines.step import Incoming, Step
from machines.tables import EVENTLESS, Tables, tables_of
from tests.machines import oracle
from tests.machines.generated import build, chart_from
from tests.machines.logged import KIND, Boom


def outcome(act: Callable[[], Step]) -> Step | tuple[type[Exception], str]:
    """What was done, or which error was raised; the words of a refusal are those of `step` alone."""
    try:
        return act()
    except (NotAllowed, Stale) as error:
        return type(error), ""
    except (Boom, TypeError, TransitionNotAllowed) as error:
        return type(error), str(error)


def walk(chart: type[Chart], chance: Random, seen: Counter[str]) -> None:
    """A machine led by table and by library, which must agree after every event."""
    spawned = Incoming("spawn", {"n": chance.randint(0, 3)}, "handler", 1000.0, "u1")
    first = outcome(lambda: stepping.spawn(KIND, f"{KIND}-0-a", "case:c", spawned))
    assert first == outcome(lambda: oracle.spawn(chart, f"{KIND}-0-a", "case:c", spawned))
    if not isinstance(first, Step):
        seen["spawn failed"] += 1
        return
    snapshot = first.snapshot
    for number in range(chance.randint(1, 12)):
        awaiting = sorted(snapshot.awaiting)
        taken = [name for name in stepping.allowed_from(snapshot, "handler") if name != "answered"]
        names = ["a", "b", "c"] + 3 * taken + 3 * ["answered"] * bool(awaiting)
        name = chance.choice(names)
        data: dict[str, Any] = {"n": chance.randint(0, 3)}
        if name == "answered":
            data["effect"] = chance.choice(awaiting)
        fails = chance.randrange(6) == 0
        calls = snapshot.context["calls"]
        actor = f"fails at {calls + chance.randint(1, 8)}" if fails else "u1"
        incoming = Incoming(name, data, "handler", 1001.0 + number, actor)
        text = json.dumps(snapshot.to_json())
        rested = Snapshot.from_json(json.loads(text))
        try:
            stepping.check_configuration(rested)
        except BrokenSnapshot:
            seen["illegal configuration"] += 1
            return
        by_table = outcome(lambda rested=rested, incoming=incoming: stepping.step(rested, incoming))
        assert json.dumps(rested.to_json()) == text
        way: oracle.Way = "restored" if chance.randrange(6) == 0 else "pooled"
        by_library = outcome(
            lambda rested=rested, incoming=incoming, way=way: oracle.step(chart, rested, incoming, way=way)
        )
        assert by_table == by_library
        if isinstance(by_table, Step):
            assert isinstance(by_library, Step)
            assert list(by_table.effects) == list(by_library.effects)
            snapshot = by_table.snapshot
            seen["step"] += 1
            seen["terminated"] += snapshot.terminated
            seen["awaited effect settled"] += bool(by_table.settled)
            seen["timer set"] += bool(by_table.timers)
        else:
            seen[f"{by_table[0].__name__} raised"] += 1


def note_plans(tables: Tables, seen: Counter[str]) -> None:
    """Count the interesting cases among the microsteps that were taken."""
    names = list(tables.histories)
    for (trigger, enabled, configuration, history), plan in tables.plans.items():
        remembered = dict(zip(names, history, strict=True))
        for edge in enabled:
            for target in edge.targets:
                if target.history:
                    known = "restored" if remembered[target.id] is not None else "by default"
                    seen[f"{target.history} history {known}"] += 1
                if edge.source is not None and target.parent is not edge.source.parent:
                    seen["across levels"] += 1
            seen["internal"] += edge.transition.internal
            seen["targetless"] += not edge.targets
            seen["several targets"] += len(edge.targets) > 1
        active = [tables.nodes[name] for name in configuration]
        known_states = {
            name: tuple(tables.nodes[each] for each in ids)
            for name, ids in remembered.items()
            if ids is not None
        }
        kept = without_conflicts(enabled, active, known_states)
        seen["several transitions"] += len(kept) > 1
        seen["conflict removed"] += len(kept) < len(enabled)
        seen["eventless"] += trigger is EVENTLESS
        seen["done event taken"] += str(trigger.event).startswith("done.state")
        seen["done data"] += trigger.payload == "done"
        seen["history recorded"] += plan.history != history
        seen["parallel done"] += any(len(entered.done) > 1 for entered in plan.entered)
        seen["top parallel done"] += any(entered.finished is not None for entered in plan.entered)


EVERY_RULE = (
    "Boom raised", "NotAllowed raised", "TypeError raised", "across levels", "awaited effect settled",
    "conflict removed", "deep history by default", "deep history restored", "done data",
    "done event taken", "eventless", "history recorded", "internal", "parallel done", "several targets",
    "several transitions", "shallow history by default", "shallow history restored", "step",
    "targetless", "terminated", "timer set", "top parallel done",
)  # fmt: skip


def compare(seed: int, chance: Random, seen: Counter[str]) -> None:
    """One chart, three machines."""
    chart = build(chart_from(seed))
    stepping.CHARTS[KIND] = chart
    try:
        for _ in range(3):
            walk(chart, chance, seen)
        note_plans(tables_of(chart), seen)
    finally:
        del stepping.CHARTS[KIND]
        tables_of.cache_clear()
        oracle.forget(chart)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), chance=st.randoms(use_true_random=False))
def test_any_chart_goes_the_same_way_by_table_and_by_the_library(seed: int, chance: Random) -> None:
    compare(seed, chance, Counter())


@pytest.mark.parametrize("charts", [90, pytest.param(600, marks=pytest.mark.slow)])
def test_many_charts_go_the_same_way_and_reach_every_rule(charts: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(charts):
        try:
            compare(seed, Random(seed), seen)
        except Exception as error:
            error.add_note(f"the chart of seed {seed}")
            raise
    missing = [what for what in EVERY_RULE if seen[what] < 3]
    assert missing == [], f"too rare: {missing} among {dict(seen)}"
