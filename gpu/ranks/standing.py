"""The standing of every node follows a change of a reset weight or a link by pushing only that change."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gpu.arrays import Array, Floats, Integers, array_namespace
from gpu.ranks.graph import CSR
from gpu.ranks.pushing import (
    LEADING,
    LINKS,
    MARK,
    RESIDUAL,
    SCORE,
    probabilities_of,
    push_until,
    reweigh,
)
from gpu.ranks.ranking import checked_reset, solve

LEADERS = 256
"""Nodes that are kept in view as the best, so that reading the top of the list looks at no others."""


@dataclass(eq=False)
class PushState:
    """Unnormalised Personalized PageRank, kept up to date; made by `push_state`.

    The scores are linear in the reset vector: they are not divided by their sum, so votes add up
    and cancel. At every moment `scores + M @ residual == M @ reset`, M being the exact solution
    operator, whose columns sum to at most 1: the L1 error of the scores is at most that of the
    residual.

    Args:
        graph: The links, NumPy; `push_link` puts another in its place.
        damping: Probability of following a link, in [0, 1).
        reset: Shape (n,), float64, not negative; written by `push`.
    """

    graph: CSR
    damping: float
    reset: Floats
    _table: Floats = field(init=False, repr=False)
    _links: tuple[Integers, Integers, Floats] = field(init=False, repr=False)
    _weights: Floats | None = field(init=False, repr=False, default=None)
    _leaders: Integers = field(init=False, repr=False)
    _leading: int = field(init=False, repr=False, default=-1)
    _floor: float = field(init=False, repr=False, default=np.inf)

    def __post_init__(self) -> None:
        graph = self.graph
        self._table = np.zeros((graph.nodes, 4))
        self._table[:, LINKS] = np.maximum(1, np.diff(graph.indptr))
        indptr, targets = np.array(graph.indptr, np.int64), np.array(graph.indices, np.int32)
        probabilities = probabilities_of(indptr, np.array(graph.weights, np.float64))
        self._links = (indptr, targets, probabilities)
        self._leaders = np.zeros(2 * LEADERS, np.int64)

    @property
    def scores(self) -> Floats:
        """Shape (n,), float64, a view: the scores so far."""
        return self._table[:, SCORE]

    @property
    def residual(self) -> Floats:
        """Shape (n,), float64, signed, a view: what is not yet in the scores."""
        return self._table[:, RESIDUAL]


def push_state(graph: CSR, reset: Array, *, damping: float = 0.5, tol: float = 1e-10) -> PushState:
    """Solve for `reset` and return a state of its own arrays that `push` can change.

    Args:
        graph: The links, NumPy.
        reset: Shape (n,), finite, not negative; all zero gives all zero scores.
        damping: Probability of following a link, in [0, 1).
        tol: Largest L1 residual, for a reset vector that sums to 1.

    Raises:
        NotConverged: The residual stayed above `tol`.
        TypeError: The graph or `reset` is a CuPy array.
        ValueError: A wrong shape or parameter, or a value negative or not finite.
    """
    if array_namespace(graph.indptr, reset) is not np:
        raise TypeError("push works on NumPy arrays only.")
    if not 0.0 <= damping < 1.0:
        raise ValueError(f"damping must lie in [0, 1), got {damping}.")
    state = PushState(graph, damping, checked_reset(reset, graph.nodes))
    refresh(state, tol=tol)
    return state


def push(state: PushState, node: int, change: float, *, eps: float) -> int:
    """Add `change`, of either sign, to a node's reset weight and bring the scores near the new ones.

    The weight falls to zero at most. A vote that was cut off there and is taken back later must
    therefore not be added again: hand in the difference between the weights that the votes give
    before and after, or those weights themselves to `push_reset`.

    Afterwards every node's residual is at most `eps` times its number of links (at least one), so
    the L1 error is at most `eps * (links + nodes)`; the work is at most the change over
    `eps * (1 - damping)` links, whatever the size of the graph. Nodes far away may be off by
    that error: the top of the list is right at once, `refresh` makes the rest exact.

    Args:
        node: In [0, n).
        change: Finite.
        eps: Positive, in the unit of the reset vector.

    Returns:
        The number of nodes pushed.

    Raises:
        IndexError: No such node.
        ValueError: A change that is not finite, or `eps` not positive.

    Source: Andersen, Chung & Lang 2006, FOCS; for changes of either sign Zhang, Lofgren & Goel
    2016, KDD.
    """
    _check_node(state, node)
    return push_reset(state, node, _lowered(float(state.reset[node]), change), eps=eps)


def push_reset(state: PushState, node: int, weight: float, *, eps: float) -> int:
    """Give a node another reset weight; as `push`, which adds to it.

    Weights summed anew from the votes leave no rounding behind when votes are taken back.

    Raises:
        IndexError: No such node.
        ValueError: A weight negative or not finite, or `eps` not positive.
    """
    _check_node(state, node)
    _check_eps(eps)
    if not (weight >= 0.0 and np.isfinite(weight)):
        raise ValueError(f"A reset weight must be finite and not negative, got {weight}.")
    state._table[node, RESIDUAL] += weight - state.reset[node]
    state.reset[node] = weight
    return _push(state, np.array([node]), eps)


def push_link(
    state: PushState, source: int, target: int, change: float, *, eps: float, symmetric: bool = False
) -> int:
    """Add `change`, of either sign, to the weight of a link and bring the scores near the new ones.

    The weight falls to zero at most. What the link's node passes on is shared out anew, so the
    residuals of all its targets change; accuracy and work are then those of `push`.

    Args:
        source, target: A link that the graph has, of whatever weight; of several equal ones the first.
        change: Finite.
        eps: Positive, in the unit of the reset vector.
        symmetric: Change the link from `target` to `source` alike.

    Returns:
        The number of nodes pushed.

    Raises:
        IndexError: No such node.
        KeyError: No such link: a graph with more links is a new one.
        ValueError: A change that is not finite, or `eps` not positive.
    """
    _check_node(state, source)
    _check_node(state, target)
    _check_eps(eps)
    indptr, targets, probabilities = state._links
    ends = [(source, target)]
    if symmetric and source != target:
        ends.append((target, source))
    places = []
    for node, other in ends:
        found = np.flatnonzero(targets[indptr[node] : indptr[node + 1]] == other)
        if not len(found):
            raise KeyError(f"There is no link from node {node} to node {other}.")
        places.append(int(indptr[node] + found[0]))
    weights = np.array(state.graph.weights, np.float64) if state._weights is None else state._weights
    weighed = [_lowered(float(weights[place]), change) for place in places]
    state._weights = weights
    changed = [
        reweigh(*state._links[:2], weights, probabilities, state._table, node, place, weight, state.damping)
        for (node, _), place, weight in zip(ends, places, weighed, strict=True)
    ]
    return _push(state, np.concatenate(changed), eps)


def leaders(state: PushState, k: int) -> tuple[Integers, Floats]:
    """The `k` best nodes, best first, equal ones by their index, with their scores.

    Pushes keep some hundred nodes in view, so this looks at no others; only after a refresh, or
    when many have fallen, are all compared. A score has what waits at its node added.

    Args:
        k: At least 1; of fewer than `k` nodes all are returned.

    Raises:
        ValueError: `k` below 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}.")
    nodes, table = state.graph.nodes, state._table
    if k > LEADERS // 2:
        found: Integers = np.arange(nodes)
    else:
        found = state._leaders[: max(state._leading, 0)]
        if np.count_nonzero(table[found, SCORE] >= state._floor) < min(k, nodes):
            found = _choose_leaders(state)
    scores = table[found, SCORE] + (1.0 - state.damping) * table[found, RESIDUAL]
    best = np.lexsort((found, -scores))[:k]
    return found[best], scores[best]


def refresh(state: PushState, reset: Array | None = None, *, tol: float = 1e-10) -> None:
    """Make the scores exact for the state's reset vector, or for a new one, and clear the residual.

    The solution starts from the reset vector alone, so equal reset vectors give equal bits
    whatever was pushed before. Changes leave rounding in the state's own reset vector: to be
    equal to a cold start to the last bit, hand in the vector summed anew from the votes.

    Args:
        reset: Shape (n,), finite, not negative, NumPy; copied.
        tol: Largest L1 residual, for a reset vector that sums to 1.

    Raises:
        NotConverged: The residual stayed above `tol`; the state is as before.
        ValueError: A wrong shape, or a value negative or not finite.
    """
    target = state.reset if reset is None else checked_reset(reset, state.graph.nodes)
    if state._weights is not None:
        state.graph = CSR(state.graph.indptr, state.graph.indices, state._weights)
        state._weights = None
    scores = np.zeros_like(target)
    if target.any():
        scores = solve(state.graph, target, damping=state.damping, tol=tol, max_iter=10_000).scores
    state.reset[...] = target
    state._table[:, SCORE] = scores
    state._table[:, RESIDUAL] = 0.0
    state._leading, state._floor = -1, np.inf


def _push(state: PushState, changed: Integers, eps: float) -> int:
    pushes, state._leading = push_until(
        *state._links, state._table, changed, state.damping, eps, state._leaders, state._leading, state._floor
    )
    if state._leading < 0:
        state._floor = np.inf
    return pushes


def _choose_leaders(state: PushState) -> Integers:
    table = state._table
    scores = np.ascontiguousarray(table[:, SCORE])
    count = min(LEADERS, len(scores))
    floor = np.partition(scores, len(scores) - count)[len(scores) - count] if count else -np.inf
    above = np.flatnonzero(scores > floor)
    # Of those at the floor the first: equals stand in the order of their indices.
    best = np.concatenate([above, np.flatnonzero(scores == floor)[: count - len(above)]])
    table[:, MARK] = 0.0
    table[best, MARK] = LEADING
    state._leaders[:count] = best
    state._leading = count
    state._floor = float(floor) if count < len(scores) else -np.inf
    return state._leaders[:count]


def _lowered(weight: float, change: float) -> float:
    if not np.isfinite(change):
        raise ValueError(f"change must be finite, got {change}.")
    after = max(weight + change, 0.0)
    if after == np.inf:
        raise ValueError(f"A weight of {weight} cannot rise by {change}: the sum is no finite number.")
    return after


def _check_node(state: PushState, node: int) -> None:
    if not 0 <= node < state.graph.nodes:
        raise IndexError(f"node must lie in [0, {state.graph.nodes}), got {node}.")


def _check_eps(eps: float) -> None:
    if not eps > 0.0:
        raise ValueError(f"eps must be positive, got {eps}.")
