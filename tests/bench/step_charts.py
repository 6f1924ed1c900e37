"""Two charts to be timed, as our charts and as `transitions` takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from statemachine import State
from transitions import Machine
from transitions.extensions.nesting import HierarchicalMachine

from machines.chart import Chart, Context
from machines.effect import Effect
from machines.event import Event

RING = [f"s{number}" for number in range(8)]
REGIONS = {"left": [f"l{n}" for n in range(4)], "right": [f"r{n}" for n in range(4)]}


class BenchSpawned(Event, name="spawn", source="handler"):
    """It begins."""


class Go(Event, name="go", source="handler"):
    """One state further, in one of the regions."""

    amount: int
    region: str = "left"


@dataclass(frozen=True)
class Ask(Effect, queue="inline"):
    """Work of a state."""

    state: str
    count: int


class Counted(Context):
    """What guards read and actions write."""

    count: int = 0
    limit: int = 1_000_000_000
    last: str = ""
    by_state: dict[str, int] = {}


class Benched(Chart):
    """Guards and actions of both charts."""

    context_type = Counted
    spawn_event = BenchSpawned
    spawn_topics = ("case",)
    event_types = (Go,)

    context: Counted

    def may_go(self, data: Go) -> bool:
        """Whether there is room."""
        return self.context.count + data.amount <= self.context.limit

    def is_left(self, data: Go) -> bool:
        """Meant for the left region."""
        return data.region == "left"

    def is_right(self, data: Go) -> bool:
        """Meant for the right region."""
        return data.region == "right"

    def note(self, data: Go, source: State) -> None:
        """Count it."""
        self.context.count += data.amount
        self.context.last = source.id

    def ask(self, state: State) -> None:
        """Emit the state's effect."""
        self.emit(Ask(state.id, self.context.count), state)


class FlatChart(Benched):
    """Eight states in a ring."""

    kind: ClassVar[str] = "flat"
    s0 = State(initial=True, enter="ask")
    s1, s2, s3, s4, s5, s6, s7 = (State(enter="ask") for _ in range(7))
    _ring: ClassVar[tuple[State, ...]] = (s0, s1, s2, s3, s4, s5, s6, s7)
    go = s0.to(s1, cond="may_go", on="note")
    for _here, _next in zip(_ring[1:], (*_ring[2:], s0), strict=True):
        go |= _here.to(_next, cond="may_go", on="note")
    del _here, _next


class ParallelChart(Benched):
    """Two regions of four states in a ring."""

    kind: ClassVar[str] = "parallel"

    class both(State.Parallel):
        class left(State.Compound):
            l0 = State(initial=True, enter="ask")
            l1, l2, l3 = (State(enter="ask") for _ in range(3))

        class right(State.Compound):
            r0 = State(initial=True, enter="ask")
            r1, r2, r3 = (State(enter="ask") for _ in range(3))

    _left: ClassVar[tuple[State, ...]] = tuple(both.left.states)
    _right: ClassVar[tuple[State, ...]] = tuple(both.right.states)
    go = _left[0].to(_left[1], cond=["is_left", "may_go"], on="note")
    for _here, _next in zip(_left[1:], (*_left[2:], _left[0]), strict=True):
        go |= _here.to(_next, cond=["is_left", "may_go"], on="note")
    for _here, _next in zip(_right, (*_right[1:], _right[0]), strict=True):
        go |= _here.to(_next, cond=["is_right", "may_go"], on="note")
    del _here, _next


class Model:
    """What `transitions` moves; its callbacks are found by name."""

    def __init__(self, state: Any, context: Counted) -> None:
        self.state = state
        self.context = context
        self.emitted: list[tuple[Ask, str]] = []
        self.awaiting: dict[str, str] = {}

    def may_go(self, event: Any) -> bool:
        return self.context.count + event.kwargs["data"].amount <= self.context.limit

    def is_left(self, event: Any) -> bool:
        return event.kwargs["data"].region == "left"

    def is_right(self, event: Any) -> bool:
        return event.kwargs["data"].region == "right"

    def note(self, event: Any) -> None:
        self.context.count += event.kwargs["data"].amount
        self.context.last = event.transition.source.rpartition("_")[2]

    def ask(self, event: Any) -> None:
        name = event.transition.dest.rpartition("_")[2]
        self.emitted.append((Ask(name, self.context.count), name))

    def end(self, event: Any) -> None:
        left = event.transition.source.rpartition("_")[2]
        self.awaiting = {key: owner for key, owner in self.awaiting.items() if owner != left}


def ring_of(states: list[str], prefix: str, guards: list[str]) -> list[dict[str, Any]]:
    ends = zip(states, states[1:] + states[:1], strict=True)
    return [
        {"trigger": "go", "source": prefix + a, "dest": prefix + b, "conditions": guards, "before": "note"}
        for a, b in ends
    ]


def peer_machine(kind: str) -> tuple[Any, Any]:
    """The chart as `transitions` takes it, and its initial state."""

    def asking(names: list[str]) -> list[dict[str, Any]]:
        return [{"name": name, "on_enter": "ask", "on_exit": "end"} for name in names]

    common: dict[str, Any] = {"model": None, "auto_transitions": False, "send_event": True}
    if kind == "flat":
        moves = ring_of(RING, "", ["may_go"])
        return Machine(states=asking(RING), transitions=moves, initial="s0", **common), "s0"
    regions = [
        {"name": name, "initial": names[0], "children": asking(names)} for name, names in REGIONS.items()
    ]
    moves = [
        move
        for name, names in REGIONS.items()
        for move in ring_of(names, f"both_{name}_", [f"is_{name}", "may_go"])
    ]
    whole = [{"name": "both", "parallel": regions}]
    return HierarchicalMachine(
        states=whole, transitions=moves, initial="both", **common
    ), ["both_left_l0", "both_right_r0"]  # fmt: skip
