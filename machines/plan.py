"""One microstep worked out: what is left, remembered, entered and called, as the library would.

Follows python-statemachine 3.2, also where it departs from SCXML: states of one document order
keep the order of the configuration, an internal transition to an atomic self enters it again, a
transition into a history runs its `on` actions once more when the history's parent is entered.
"""

from __future__ import annotations

from collections.abc import Iterable

from statemachine import State

from machines.calls import Call, Callback, Moment, Trigger
from machines.tables import Edge, Entered, Node, Plan, Tables

Remembered = dict[str, tuple[Node, ...]]
"""History state id → the states it stands for; absent while nothing was recorded."""


def plan_for(
    tables: Tables,
    trigger: Trigger,
    enabled: tuple[Edge, ...],
    configuration: tuple[str, ...],
    history: tuple[tuple[str, ...] | None, ...],
) -> Plan:
    """What taking the `enabled` transitions, in order of selection, does.

    Args:
        history: For each history state of `tables`, the ids it remembers.
    """
    before = [tables.nodes[name] for name in configuration]
    remembered = {
        name: tuple(tables.nodes[each] for each in ids)
        for name, ids in zip(tables.histories, history, strict=True)
        if ids is not None
    }
    taken = without_conflicts(enabled, before, remembered)
    left = sorted(_exits(taken, before, remembered).items(), key=lambda item: item[0].order, reverse=True)
    for node, _ in left:
        for each in node.histories:
            remembered[each.id] = tuple(
                active
                for active in before
                if (active.within(node) if each.history == "deep" else active.parent is node)
            )
    entry = _Entry(tables, remembered)
    entry.take(taken)
    entered = sorted(entry.states.items(), key=lambda item: item[0].order)
    gone = {node for node, _ in left}
    after = list(dict.fromkeys([*(n for n in before if n not in gone), *(n for n, _ in entered)]))
    both = (tuple(n.state for n in before), tuple(n.state for n in after))
    arrivals = [_arrival(trigger, node, edge, entry, both, after) for node, edge in entered]
    return Plan(
        leave=tuple(_departures(trigger, taken, left, both)),
        entered=tuple(each for each in arrivals if each.enter or each.then or each.done or each.ends),
        after=tuple(_afterwards(trigger, taken, both)),
        configuration=tuple(node.id for node in after),
        history=tuple(
            tuple(node.id for node in remembered[name]) if name in remembered else None
            for name in tables.histories
        ),
    )


def ended(node: Node, active: Iterable[Node]) -> bool:
    """Whether a compound rests in a final child, or each region of a parallel state does."""
    if node.parallel:
        return all(ended(child, active) for child in node.children)
    return any(child.final and child in active for child in node.children)


def _effective(edge: Edge, remembered: Remembered) -> dict[Node, None]:
    """Its targets, histories replaced by what they stand for."""
    found: dict[Node, None] = {}
    for target in edge.targets:
        if not target.history:
            found[target] = None
        elif target.id in remembered:
            found.update(dict.fromkeys(remembered[target.id]))
        else:
            for default in target.edges:
                found.update(_effective(default, remembered))
    return found


def _domain(edge: Edge, remembered: Remembered) -> Node | None:
    """The compound within which everything happens; None for the whole machine."""
    targets = _effective(edge, remembered)
    source, transition = edge.source, edge.transition
    if not targets or source is None:
        return None
    if transition.internal:
        if source.compound and all(node.within(source) for node in targets):
            return source
        if transition.is_self and not source.children:
            return source
    common = (node for node in source.above if node.compound and all(t.within(node) for t in targets))
    return next(common, None)


def _exits(edges: Iterable[Edge], active: list[Node], remembered: Remembered) -> dict[Node, Edge]:
    """The states to leave, each with the first transition that leaves it."""
    found: dict[Node, Edge] = {}
    for edge in edges:
        if edge.targets:
            domain = _domain(edge, remembered)
            for node in active:
                if domain is None or node.within(domain):
                    found.setdefault(node, edge)
    return found


def without_conflicts(
    enabled: tuple[Edge, ...], active: list[Node], remembered: Remembered
) -> tuple[Edge, ...]:
    """Of two that leave the same state, the deeper one, else the one selected first."""
    if len(enabled) < 2:
        return enabled
    exits = {edge: _exits([edge], active, remembered).keys() for edge in enabled}
    kept: dict[Edge, None] = {}
    for edge in enabled:
        beaten: list[Edge] = []
        for other in kept:
            if exits[edge] & exits[other]:
                assert edge.source is not None
                assert other.source is not None
                if not edge.source.within(other.source):
                    break
                beaten.append(other)
        else:
            for other in beaten:
                del kept[other]
            kept[edge] = None
    return tuple(kept)


class _Entry:
    """The states to enter, each with the transition that its callbacks are told of.

    Attributes:
        defaults: States that are entered by their initial transition.
        by_history: Parent of a history → transitions whose `on` runs when it is entered.
    """

    def __init__(self, tables: Tables, remembered: Remembered) -> None:
        self.states: dict[Node, Edge] = {}
        self.defaults: set[Node] = set()
        self.by_history: dict[Node, list[Edge]] = {}
        self._remembered = remembered
        self._enters_self = tables.chart.enable_self_transition_entries

    def take(self, edges: Iterable[Edge]) -> None:
        """Add what the transitions enter."""
        for edge in edges:
            for target in edge.targets:
                self._down(target, edge)
            domain = _domain(edge, self._remembered)
            for target in _effective(edge, self._remembered):
                self._up(target, edge, domain)

    def _down(self, node: Node, edge: Edge) -> None:
        if node.history:
            self._history(node, edge)
            return
        if self._enters(edge):
            self.states.setdefault(node, edge)
        if node.parallel:
            self._regions(node, edge)
        elif node.children:
            self.defaults.add(node)
            initial = next(each for each in node.edges if each.transition.initial)
            for target in initial.targets:
                self._down(target, initial)
            for target in initial.targets:
                self._up(target, initial, node)

    def _enters(self, edge: Edge) -> bool:
        transition, target = edge.transition, edge.target
        return (
            self._enters_self
            or not transition.internal
            or not (transition.is_self or (target is not None and edge.source in target.above))
        )

    def _regions(self, node: Node, edge: Edge) -> None:
        for child in node.children:
            if not any(state.within(child) for state in self.states):
                self._down(child, edge)

    def _history(self, node: Node, edge: Edge) -> None:
        parent = node.above[0]
        runs = self.by_history[parent] = [edge]
        if node.id in self._remembered:
            for state in self._remembered[node.id]:
                if node.history == "deep":
                    self.states.setdefault(state, edge)
                else:
                    self._down(state, edge)
            for state in self._remembered[node.id]:
                self._up(state, edge, parent)
            return
        for default in node.edges:
            runs.append(default)
            self._down(default.targets[0], default)
        for default in node.edges:
            self._up(default.targets[0], default, parent)

    def _up(self, node: Node, edge: Edge, until: Node | None) -> None:
        for state in node.above:
            if state is until:
                break
            self.states.setdefault(state, edge)
            if state.parallel:
                self._regions(state, edge)


Both = tuple[tuple[State, ...], tuple[State, ...]]
"""The configurations before and after the microstep."""


def _moment(
    trigger: Trigger,
    edge: Edge,
    *,
    leaving: Node | None = None,
    entering: State | None = None,
    both: Both | None = None,
) -> Moment:
    """What a callback is told: of its transition's own ends, or of the one state left or entered."""
    transition = edge.transition
    source = leaving.state if leaving is not None else transition.source
    target = entering if entering is not None else transition.target
    return Moment(trigger, transition, entering or source, source, target, both)


def _calls(callbacks: Iterable[Callback], moment: Moment) -> list[Call]:
    return [callback.bind(moment) for callback in callbacks if callback.concerns(moment.trigger)]


def _departures(
    trigger: Trigger, taken: Iterable[Edge], left: Iterable[tuple[Node, Edge]], both: Both
) -> list[Call]:
    before = [call for edge in taken for call in _calls(edge.before, _moment(trigger, edge))]
    exits = [call for node, edge in left for call in _calls(node.exit, _moment(trigger, edge, leaving=node))]
    on = [call for edge in taken for call in _calls(edge.on, _moment(trigger, edge, both=both))]
    return before + exits + on


def _arrival(
    trigger: Trigger, node: Node, edge: Edge, entry: _Entry, both: Both, active: list[Node]
) -> Entered:
    moment = _moment(trigger, edge, entering=node.state)
    then: list[Call] = []
    if node in entry.defaults:
        initial = [each for each in node.edges if each.transition.initial]
        if len(initial) == 1:
            then += _calls(initial[0].on, moment)
    for each in entry.by_history.get(node, ()):
        then += _calls(each.on, _moment(trigger, each, both=both))
    done, finished = _done(node, active) if node.final else ((), None)
    ends = node.final and node.parent is None
    return Entered(tuple(_calls(node.enter, moment)), tuple(then), done, finished, ends)


def _done(node: Node, active: list[Node]) -> tuple[tuple[str, ...], Node | None]:
    """The parents that a final state ends, and the top parallel state if it ended that."""
    if node.parent is None:
        return (), None
    parent, *above = node.above
    if not above or not above[0].parallel or not ended(above[0], active):
        return (parent.id,), None
    return (parent.id, above[0].id), None if above[0].above else above[0]


def _afterwards(trigger: Trigger, taken: Iterable[Edge], both: Both) -> list[Call]:
    """A transition without a target is also told of the configurations, as by the library."""
    return [
        call
        for edge in taken
        for call in _calls(
            edge.after,
            _moment(trigger, edge, entering=edge.transition.target, both=None if edge.targets else both),
        )
    ]
