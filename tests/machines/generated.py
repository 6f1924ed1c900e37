"""Charts made at random."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from statemachine import HistoryState, State

from machines.chart import Chart
from tests.machines.logged import LoggedChart, told

ACTIONS = (
    "nothing", "data_only", "data_or_not", "data_and_state", "ends", "all_of_it", "configurations",
    "machine_and_state",
    "many", "coloured", "alone", "emits", "sets", "flips", "nests", "refuels", "gives_named", "gives_one",
)  # fmt: skip
GUARDS = ("bit0", "bit1", "bits", "not bit0", "bit0 and bit1", "bit0 or !bit1", "bits > 1")
HOOKS = (
    "on_enter_state", "on_exit_state", "before_transition", "on_transition", "after_transition",
    "before_a", "on_b", "after_c",
)  # fmt: skip


@dataclass
class StateSpec:
    """A state to build."""

    id: str
    kind: str
    initial: bool = False
    children: list[StateSpec] = field(default_factory=list)
    histories: list[tuple[str, str]] = field(default_factory=list)
    enter: list[Any] = field(default_factory=list)
    exit: list[Any] = field(default_factory=list)

    def walk(self) -> Iterator[StateSpec]:
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass
class TransitionSpec:
    """A transition to build; `event` is "" for an eventless one."""

    source: str
    targets: list[str]
    event: str
    internal: bool
    callbacks: dict[str, list[Any]]


@dataclass
class ChartSpec:
    """A chart to build."""

    states: list[StateSpec]
    transitions: list[TransitionSpec]
    hooks: list[str]
    enters_self: bool


def chart_from(seed: int) -> ChartSpec:
    """Up to some twenty states and thirty transitions."""
    return _Making(Random(seed)).chart()


class _Making:
    """One chart being thought up."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.names = count()
        self.parallels = chance.random() < 0.6

    def once_in(self, number: int) -> bool:
        return self.chance.randrange(number) == 0

    def actions(self) -> list[Any]:
        return self.chance.sample((*ACTIONS, told), self.chance.choice((0, 0, 1, 1, 2)))

    def states(self, depth: int, parent: str) -> list[StateSpec]:
        number = self.chance.randint(1 if parent in ("top", "parallel") else 2, 3)
        made = [self.state(depth, parent) for _ in range(number)]
        if self.once_in(2):
            self.chance.choice(made).initial = True
        return made

    def state(self, depth: int, parent: str) -> StateSpec:
        kinds = ["atomic", "atomic", "final", "final"] if parent != "parallel" else ["atomic"]
        if depth:
            deep = ["compound", "parallel"] if self.parallels else ["compound"]
            kinds += deep * (4 if parent in ("parallel", "top") else 1)
        kind = self.chance.choice(kinds)
        spec = StateSpec(f"s{next(self.names)}", kind, enter=self.actions(), exit=self.actions())
        if kind in ("compound", "parallel"):
            spec.children = self.states(depth - 1, kind)
            remembers = self.chance.choice(((), (), ("shallow",), ("deep",), ("shallow", "deep")))
            spec.histories = [(f"h{next(self.names)}", each) for each in remembers]
        return spec

    def chart(self) -> ChartSpec:
        tops = self.states(self.chance.randint(1, 3), "top")
        if all(spec.kind == "final" for spec in tops):
            tops.append(StateSpec("last", "atomic"))
        self.every = [spec for top in tops for spec in top.walk()]
        ended = {spec.id for spec in tops if spec.kind == "final"}
        self.ids = [spec.id for spec in self.every]
        self.histories = [name for spec in self.every for name, _ in spec.histories]
        self.sources = [name for name in self.ids if name not in ended]
        self.below = {spec.id: [each.id for each in spec.walk()] for spec in self.every}
        transitions = [each for spec in self.every for each in self.into_history(spec)]
        transitions += [self.transition() for _ in range(self.chance.randint(3, 14))]
        transitions += [each for spec in self.every for each in self.through(spec)]
        hooks = self.chance.sample(HOOKS, self.chance.choice((0, 0, 1, 2)))
        if self.once_in(2):
            verb = self.chance.choice(("enter", "exit"))
            hooks.append(f"on_{verb}_{self.chance.choice(self.ids)}")
        return ChartSpec(tops, transitions, hooks, not self.once_in(6))

    def into_history(self, spec: StateSpec) -> Iterator[TransitionSpec]:
        """Ways out of the parent of a history and back."""
        for name, _ in spec.histories:
            outside = [each for each in self.sources if each not in self.below[spec.id]]
            for source in (self.chance.choice(outside or [spec.id]), spec.id):
                on = {"on": self.actions()}
                yield TransitionSpec(source, [name], self.chance.choice("abc"), False, on)
            target = self.chance.choice(outside or self.ids)
            yield TransitionSpec(spec.id, [target], self.chance.choice("abc"), False, {})
            if not self.once_in(10):
                inside = self.chance.choice(self.below[spec.id][1:])
                yield TransitionSpec(name, [inside], "", False, {"on": self.actions()})

    def through(self, spec: StateSpec) -> Iterator[TransitionSpec]:
        """A way to its end, and what the end leads to."""
        ends = [child for child in spec.children if child.kind == "final"]
        others = [child.id for child in spec.children if child.kind != "final"]
        if ends and others and not self.once_in(4):
            source, target = self.chance.choice(others), self.chance.choice(ends).id
            yield TransitionSpec(source, [target], self.chance.choice("aab"), False, {"on": self.actions()})
        if spec.children and not self.once_in(3):
            source = spec.id if not self.once_in(4) else self.chance.choice(self.sources)
            target = self.chance.choice([*self.ids, *self.histories, ""])
            callbacks = {"on": self.actions(), "after": self.actions()}
            targets = [target] if target else []
            yield TransitionSpec(source, targets, f"done_state_{spec.id}", False, callbacks)

    def transition(self) -> TransitionSpec:
        chance = self.chance
        source = chance.choice(self.sources)
        anywhere = [*self.ids, *self.histories]
        targets = chance.choice(
            (
                [chance.choice(anywhere)],
                [chance.choice(anywhere)],
                [],
                [source],
                [chance.choice(self.below[source])],
                list(dict.fromkeys(chance.choices(anywhere, k=2))),
            )
        )
        callbacks = {each: self.actions() for each in ("before", "on", "after") if self.once_in(2)}
        for each in ("cond", "unless"):
            if self.once_in(6):
                asked = f"In('{chance.choice(self.ids)}')"
                callbacks[each] = [chance.choice((*GUARDS, asked)) for _ in range(chance.randint(1, 2))]
        event = chance.choice((*"aaaabbbbcc", "a b", "answered", "", "", "*"))
        if not event and self.once_in(2):
            callbacks["cond"] = ["odd_time", *callbacks.get("cond", [])]
        if not targets and self.once_in(2):
            callbacks["after"] = ["configurations"]
        internal = bool(targets) and targets[0] in self.below[source] and self.once_in(2)
        return TransitionSpec(source, targets, event, internal, callbacks)


def build(spec: ChartSpec) -> type[LoggedChart]:
    """The chart class of a description."""
    made: dict[str, State] = {}

    def state_of(each: StateSpec) -> State:
        children = [state_of(child) for child in each.children]
        histories = []
        for name, remembers in each.histories:
            made[name] = HistoryState(type=remembers)._set_id(name)
            histories.append(made[name])
        state = State(
            initial=each.initial,
            final=each.kind == "final",
            parallel=each.kind == "parallel",
            states=children,
            history=histories,
            enter=each.enter,
            exit=each.exit,
        )
        made[each.id] = state._set_id(each.id)
        return state

    body: dict[str, Any] = {each.id: state_of(each) for each in spec.states}
    for each in spec.transitions:
        callbacks = dict(each.callbacks)
        by_itself = each.event in ("", "*") or each.event.startswith("done")
        if by_itself and each.source.startswith(("s", "l")):
            callbacks["cond"] = ["has_fuel", *callbacks.get("cond", [])]
            callbacks["on"] = ["burns", *callbacks.get("on", [])]
        targets = [made[name] for name in each.targets]
        target = None if not targets else targets[0] if len(targets) == 1 else targets
        drawn = made[each.source].to(target, internal=each.internal, **callbacks)
        if each.event.startswith("done"):
            body[each.event] = body[each.event] | drawn if each.event in body else drawn
        elif each.event:
            for name in each.event.split():
                drawn.add_event(name)
    # Every event is known, wherever it leads.
    first = made[next(each.id for each in spec.states if each.kind != "final")]
    for name in ("a", "b", "c", "answered"):
        first.to(None, event=name, cond="bit0")
    for name in spec.hooks:
        body[name] = hook(name)
    body["enable_self_transition_entries"] = spec.enters_self
    body["__module__"] = __name__
    return type(LoggedChart)("Made", (LoggedChart,), body)


def hook(name: str) -> Any:
    """A method that the library finds by its name."""

    def hooked(self: LoggedChart, state: State, source: State, target: State, event: Any) -> None:
        self.log(name, state, source, target, event)
        if name == "on_exit_state":
            Chart.on_exit_state(self, state)

    return hooked
