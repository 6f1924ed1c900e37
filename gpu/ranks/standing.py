"""The standing of every node follows a change of the reset vector by pushing only that change."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gpu.arrays import Array, Floats, Integers, array_namespace
from gpu.compiling import kernel
from gpu.ranks.graph import CSR
from gpu.ranks.ranking import checked_reset, solve

ROUNDING = 1e-12
"""A reset weight this far below zero, for a weight of 1, is taken for the rounding of a sum."""


@dataclass(eq=False)
class PushState:
    """Unnormalised Personalized PageRank, kept up to date; made by `push_state`.

    The scores are linear in the reset vector: they are not divided by their sum, so votes add up
    and cancel. At every moment `scores + M @ residual == M @ reset`, M being the exact solution
    operator, whose columns sum to at most 1: the L1 error of the scores is at most that of the
    residual.

    Args:
        graph: The links, NumPy.
        damping: Probability of following a link, in [0, 1).
        reset: Shape (n,), float64, not negative; written by `push`.
        scores: Shape (n,), float64; written by `push` and `refresh`.
        residual: Shape (n,), float64, signed; what is not yet in the scores.
    """

    graph: CSR
    damping: float
    reset: Floats
    scores: Floats
    residual: Floats
    _waiting: Integers = field(init=False, repr=False)
    _links: tuple[Integers, Integers, Floats] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._waiting = np.zeros(self.graph.nodes, dtype=np.uint8)
        self._links = _leaving(self.graph)


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
    zero = np.zeros(graph.nodes)
    state = PushState(graph, damping, checked_reset(reset, graph.nodes), zero, zero.copy())
    refresh(state, tol=tol)
    return state


def push(state: PushState, node: int, change: float, *, eps: float) -> int:
    """Add `change`, of either sign, to a node's reset weight and bring the scores near the new ones.

    Afterwards every node's residual is at most `eps` times its number of links (at least one), so
    the L1 error is at most `eps * (links + nodes)`; the work is at most the change over
    `eps * (1 - damping)` links, whatever the size of the graph. Nodes far away may be off by
    that error: the top of the list is right at once, `refresh` makes the rest exact.

    Args:
        node: In [0, n).
        change: Finite; the reset weight must not turn negative (clamp before; a sum that misses
            zero by rounding counts as zero).
        eps: Positive, in the unit of the reset vector.

    Returns:
        The number of nodes pushed.

    Raises:
        IndexError: No such node.
        ValueError: A change that is not finite or makes the weight negative, or `eps` not positive.

    Source: Andersen, Chung & Lang 2006, FOCS; for changes of either sign Zhang, Lofgren & Goel
    2016, KDD.
    """
    if not 0 <= node < state.graph.nodes:
        raise IndexError(f"node must lie in [0, {state.graph.nodes}), got {node}.")
    if not np.isfinite(change):
        raise ValueError(f"change must be finite, got {change}.")
    if not eps > 0.0:
        raise ValueError(f"eps must be positive, got {eps}.")
    before = float(state.reset[node])
    after = before + change
    if after < 0.0:
        if after < -ROUNDING * max(1.0, before):
            raise ValueError(f"The reset weight {before} of node {node} cannot fall by {-change}.")
        after = 0.0
    state.reset[node] = after
    state.residual[node] += after - before
    return _push_until(*state._links, state.scores, state.residual, state._waiting, node, state.damping, eps)


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
    size = float(target.sum())
    scores = np.zeros_like(target)
    if size > 0.0:
        scores[...] = solve(state.graph, target, damping=state.damping, tol=tol, max_iter=10_000).scores
    state.reset[...] = target
    state.scores[...] = scores
    state.residual[...] = 0.0


def _leaving(graph: CSR) -> tuple[Integers, Integers, Floats]:
    """The links by the node they leave, with their probabilities, in one layout and dtype."""
    indptr, indices = np.array(graph.indptr, np.int64), np.array(graph.indices, np.int64)
    return indptr, indices, _probabilities(indptr, np.array(graph.weights, np.float64))


@kernel
def _probabilities(indptr: Integers, weights: Floats) -> Floats:
    for node in range(len(indptr) - 1):
        total = 0.0
        for link in range(indptr[node], indptr[node + 1]):
            total += weights[link]
        for link in range(indptr[node], indptr[node + 1]):
            weights[link] = weights[link] / total if total > 0.0 else 0.0
    return weights


@kernel
def _push_until(
    indptr: Integers,
    targets: Integers,
    probabilities: Floats,
    scores: Floats,
    residual: Floats,
    waiting: Integers,
    node: int,
    damping: float,
    eps: float,
) -> int:
    """Push nodes in the order they came to exceed their share, until none does.

    A push moves (1 - damping) of a residual into the score and the rest along the links, so the
    residual's L1 norm falls by (1 - damping) of what was pushed, or by more where signs cancel.
    """
    queue = np.empty(16, dtype=np.int64)
    head, size, pushes = 0, 0, 0
    if abs(residual[node]) > eps * max(1, indptr[node + 1] - indptr[node]):
        queue[0], size = node, 1
        waiting[node] = 1
    while size > 0:
        node = queue[head]
        head = (head + 1) % len(queue)
        size -= 1
        waiting[node] = 0
        moved = residual[node]
        first, last = indptr[node], indptr[node + 1]
        if abs(moved) <= eps * max(1, last - first):
            continue  # what came after it was queued cancelled it
        pushes += 1
        scores[node] += (1.0 - damping) * moved
        residual[node] = 0.0
        for link in range(first, last):
            target = targets[link]
            residual[target] += damping * moved * probabilities[link]
            if waiting[target] == 0:
                share = eps * max(1, indptr[target + 1] - indptr[target])
                if abs(residual[target]) > share:
                    if size == len(queue):
                        longer = np.empty(2 * size, dtype=np.int64)
                        for i in range(size):
                            longer[i] = queue[(head + i) % size]
                        queue, head = longer, 0
                    queue[(head + size) % len(queue)] = target
                    size += 1
                    waiting[target] = 1
    return pushes
