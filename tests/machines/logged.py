"""A chart without states whose callbacks log each call with what they were given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from statemachine import State
from statemachine.orderedset import OrderedSet
from statemachine.transition import Transition

from machines.chart import Chart, Context
from machines.effect import Effect
from machines.event import Event, Result

KIND = "generated"


class Boom(Exception):
    """Raised by a callback on demand."""


class Spawned(Event, name="spawn", source="handler"):
    n: int = 0


class A(Event, name="a", source="handler"):
    n: int = 0


class B(Event, name="b", source="handler"):
    n: int = 0


class C(Event, name="c", source="handler"):
    n: int = 0


class Answered(Result, name="answered"):
    n: int = 0


@dataclass(frozen=True)
class Ping(Effect, queue="inline"):
    """An effect that is awaited by the state that emitted it."""

    n: int


class Logged(Context):
    """What callbacks read and write; `calls` counts them over the machine's whole life."""

    log: list[str] = []
    calls: int = 0
    bits: int = 0
    fuel: int = 5
    nested: dict[str, list[int]] = {}


def shown(value: Any) -> str:
    """An argument as it is logged."""
    if isinstance(value, State):
        return value.id
    if isinstance(value, OrderedSet):
        return "+".join(state.id for state in value)
    if isinstance(value, Transition):
        return f"{value.source.id}→{'+'.join(target.id for target in value.targets)}"
    if isinstance(value, Event):
        return f"{value.name}:{getattr(value, 'n', '')}"
    return str(value)


def told(machine: Any, source: State, event: Any = None) -> None:
    """A callback outside the chart."""
    machine.log("told", source, event)


class LoggedChart(Chart):
    """The callbacks; states and transitions are added by `build`."""

    kind: ClassVar[str] = KIND
    context_type = Logged
    spawn_event = Spawned
    spawn_topics = ("case",)
    event_types = (A, B, C, Answered)
    validate_disconnected_states = False
    validate_trap_states = False

    context: Logged

    def log(self, name: str, *values: Any) -> None:
        """Count a call, which fails if its number is the actor's."""
        self.context.calls += 1
        if self.actor == f"fails at {self.context.calls}":
            self.context.bits = 99
            raise Boom(f"{name} at {self.context.calls}")
        self.context.log.append(f"{name}({', '.join(map(shown, values))})")

    def nothing(self) -> None:
        self.log("nothing")

    def data_only(self, data: Event) -> None:
        self.log("data_only", data)

    def data_or_not(self, data: Event | None = None) -> None:
        self.log("data_or_not", data)

    def data_and_state(self, state: State, data: Event | None = None) -> None:
        self.log("data_and_state", data, state)

    def ends(self, source: State, target: State) -> None:
        self.log("ends", source, target)

    def all_of_it(self, event: Any, state: State, source: State, target: State, *, transition: Any) -> None:
        self.log("all_of_it", event, state, source, target, transition)

    def configurations(
        self, previous_configuration: Any = None, new_configuration: Any = None, *rest: Any
    ) -> None:
        self.log("configurations", previous_configuration, new_configuration, rest)

    def machine_and_state(self, machine: Any, state: State) -> None:
        machine.log("machine_and_state", state, machine is self)

    def many(self, *given: Any, event: Any = None, colour: str = "red") -> None:
        self.log("many", given, event, colour)

    def coloured(self, colour: str = "red", data: Any = None) -> None:
        self.log("coloured", colour, data)

    @staticmethod
    def alone(machine: Any, source: State) -> None:
        machine.log("alone", source)

    def emits(self, state: State) -> None:
        self.log("emits", state)
        self.emit(Ping(self.context.calls), state)

    def sets(self, state: State) -> None:
        self.log("sets", state)
        self.set_timer(f"t.{state.id}", "a", 5.0, {}, state)

    def flips(self) -> None:
        self.log("flips")
        self.context.bits = (self.context.bits + self.context.calls) % 4

    def nests(self, state: State) -> None:
        self.log("nests", state)
        self.context.nested.setdefault(state.id, []).append(self.context.calls)

    def gives_named(self) -> dict[str, Any]:
        self.log("gives_named")
        return {"colour": "blue", "state": "ignored"}

    def gives_one(self) -> str:
        self.log("gives_one")
        return "one"

    def burns(self) -> None:
        self.context.fuel -= 1
        self.log("burns")

    def refuels(self, data: Any = None) -> None:
        if isinstance(data, Event):
            self.context.fuel = data.n + 2
        self.log("refuels")

    def has_fuel(self) -> bool:
        return self.context.fuel > 0

    def bit0(self) -> bool:
        self.log("bit0")
        return bool(self.context.bits & 1)

    def bit1(self, source: State, data: Any = None) -> int:
        self.log("bit1", source, data)
        return self.context.bits & 2

    def odd_time(self) -> bool:
        """What was refused at rest may be granted at the next event."""
        return int(self.at) % 2 == 1

    @property
    def bits(self) -> int:
        return self.context.bits
