"""Which arrows of a chart an entry has gone along: the event's own, then those that follow by themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cache

from machines.outline import Move, Node, ancestors, moves, nodes, outline
from machines.step import chart_of

Arrow = tuple[str, str]
"""Source and target of a drawn transition."""


def taken(kind: str, event: str, before: Collection[str], now: Collection[str]) -> list[Arrow]:
    """The arrows that lead from one configuration to the next, in order, each once.

    An entry names the event and both configurations; guards are not asked again. Where two ways lead
    to the same configuration, the shorter counts, then the first in the chart. Empty where only
    actions ran, or where the entry is of an older definition that the chart does not explain.

    Raises:
        UnknownKind: No such chart.
    """
    return _Ways(*_plan(kind), frozenset(before), frozenset(now)).find(event)


@cache
def _plan(kind: str) -> tuple[dict[str, Node], dict[str, tuple[str, ...]], tuple[Move, ...], tuple[str, ...]]:
    tops = outline(chart_of(kind))
    first = tuple(node.id for node in tops if node.initial)
    return {node.id: node for node in nodes(tops)}, ancestors(tops), tuple(moves(tops)), first


class _Ways:
    def __init__(
        self,
        known: dict[str, Node],
        above: dict[str, tuple[str, ...]],
        every: tuple[Move, ...],
        first: tuple[str, ...],
        before: frozenset[str],
        now: frozenset[str],
    ) -> None:
        self._known = known
        self._above = above
        self._every = every
        self._first = first
        self._before = before
        self._now = now

    def find(self, event: str) -> list[Arrow]:
        if not self._before:
            return _once(arrow for state in self._first for arrow in self._on(state, frozenset()) or ())
        ways: dict[str, list[Arrow]] = {}
        for move in self._every:
            if event not in move.event.split() or move.source not in self._before:
                continue
            way = self._along(move, frozenset())
            moved = move.source not in self._now or set(move.targets) - self._before or len(way) > 1
            best = ways.get(move.source)
            if way and moved and (best is None or len(way) < len(best)):
                ways[move.source] = way
        return _once(arrow for way in ways.values() for arrow in way)

    def _along(self, move: Move, seen: frozenset[str]) -> list[Arrow]:
        """The arrow of a transition with what follows; empty where it does not lead to where we are."""
        found: list[Arrow] = []
        for target in move.targets:
            way = self._on(target, seen)
            if way is None:
                return []
            found += [(move.source, target), *way]
        return found

    def _on(self, state: str, seen: frozenset[str]) -> list[Arrow] | None:
        """What follows after a state was entered; None if that cannot have led to where we are."""
        if state in seen or state not in self._known:
            return None
        node = self._known[state]
        if node.is_history:
            return []
        if state in self._now:
            inside = node.states if node.kind == "parallel" else ((node.first,) if node.states else ())
            return [arrow for child in inside for arrow in self._on(child.id, seen | {state}) or ()]
        return min(self._leaving(state, seen | {state}), key=len, default=None)

    def _leaving(self, state: str, seen: frozenset[str]) -> Iterator[list[Arrow]]:
        """The ways out of a state that was only passed through."""
        for source in (state, *self._above[state]):
            for move in self._known[source].moves:
                if move.automatic and (way := self._along(move, seen)):
                    yield way
        for child in self._known[state].states:
            if (inner := self._on(child.id, seen)) is not None:
                yield inner


def _once(arrows: Iterable[Arrow]) -> list[Arrow]:
    return list(dict.fromkeys(arrows))
