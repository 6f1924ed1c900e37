"""A change is pushed along the links until what is left at every node is below its share."""

from __future__ import annotations

import numpy as np

from gpu.arrays import Floats, Integers
from gpu.compiling import kernel

RESIDUAL, SCORE, LINKS, MARK = range(4)
"""The columns of the table of nodes: a push reads all of a node at once, so they lie side by side."""

WAITING, LEADING = 1.0, 2.0
"""What a node's mark is the sum of."""


@kernel
def push_until(
    indptr: Integers,
    targets: Integers,
    probabilities: Floats,
    table: Floats,
    changed: Integers,
    damping: float,
    eps: float,
    leaders: Integers,
    leading: int,
    floor: float,
) -> tuple[int, int]:
    """Push nodes in the order they came to exceed their share, until none does.

    A push moves (1 - damping) of a residual into the score and the rest along the links, so the
    residual's L1 norm falls by (1 - damping) of what was pushed, or by more where signs cancel.
    A node whose score rises above `floor` joins the leaders.

    Args:
        indptr, targets, probabilities: The links by the node they leave.
        table: Shape (n, 4), float64: residual, score, links (at least one), mark.
        changed: The nodes whose residual was changed.
        leaders: Room for the leaders, the first `leading` of which are there.

    Returns:
        How many nodes were pushed, and how many lead; -1 if there was no more room.
    """
    queue: Integers = np.empty(16, dtype=np.int64)
    head, size, pushes = 0, 0, 0
    for i in range(len(changed)):
        node = changed[i]
        if abs(table[node, RESIDUAL]) > eps * table[node, LINKS] and table[node, MARK] % 2.0 == 0.0:
            if size == len(queue):
                queue, head = _longer(queue, head), 0
            queue[size] = node
            size += 1
            table[node, MARK] += WAITING
    while size > 0:
        node = queue[head]
        head = (head + 1) & (len(queue) - 1)
        size -= 1
        table[node, MARK] -= WAITING
        moved = table[node, RESIDUAL]
        if abs(moved) <= eps * table[node, LINKS]:
            continue  # what came after it was queued cancelled it
        pushes += 1
        score = table[node, SCORE] + (1.0 - damping) * moved
        table[node, SCORE] = score
        table[node, RESIDUAL] = 0.0
        if score > floor and table[node, MARK] < LEADING:
            if leading == len(leaders):
                leading = -1
            if leading >= 0:
                leaders[leading] = node
                leading += 1
                table[node, MARK] += LEADING
        moved *= damping
        for link in range(indptr[node], indptr[node + 1]):
            target = targets[link]
            residual = table[target, RESIDUAL] + moved * probabilities[link]
            table[target, RESIDUAL] = residual
            if abs(residual) > eps * table[target, LINKS] and table[target, MARK] % 2.0 == 0.0:
                if size == len(queue):
                    queue, head = _longer(queue, head), 0
                queue[(head + size) & (len(queue) - 1)] = target
                size += 1
                table[target, MARK] += WAITING
    return pushes, leading


@kernel
def _longer(queue: Integers, head: int) -> Integers:
    """A full ring, from its head on, in one of twice the length."""
    longer = np.empty(2 * len(queue), dtype=np.int64)
    for i in range(len(queue)):
        longer[i] = queue[(head + i) & (len(queue) - 1)]
    return longer


@kernel
def probabilities_of(indptr: Integers, weights: Floats) -> Floats:
    """Each link's weight over the total of its node's links; 0 where that is zero."""
    probabilities = np.zeros(len(weights))
    for node in range(len(indptr) - 1):
        weigh_row(indptr, weights, probabilities, node)
    return probabilities


@kernel
def weigh_row(indptr: Integers, weights: Floats, probabilities: Floats, node: int) -> None:
    """`probabilities_of` for the links of one node."""
    total = 0.0
    for link in range(indptr[node], indptr[node + 1]):
        total += weights[link]
    for link in range(indptr[node], indptr[node + 1]):
        probabilities[link] = weights[link] / total if total > 0.0 else 0.0


@kernel
def reweigh(
    indptr: Integers,
    targets: Integers,
    weights: Floats,
    probabilities: Floats,
    table: Floats,
    node: int,
    link: int,
    weight: float,
    damping: float,
) -> Integers:
    """Give a link of `node` another weight and move the residuals to match; return who was changed.

    With x = (1 - damping) (I - damping Pᵀ)⁻¹ reset the residual is
    reset - (I - damping Pᵀ) x / (1 - damping), so it changes by damping / (1 - damping) ΔPᵀ x.
    """
    first, last = indptr[node], indptr[node + 1]
    passed = table[node, SCORE] * damping / (1.0 - damping)
    for i in range(first, last):
        table[targets[i], RESIDUAL] -= passed * probabilities[i]
    weights[link] = weight
    weigh_row(indptr, weights, probabilities, node)
    changed = np.empty(last - first, np.int64)
    for i in range(first, last):
        table[targets[i], RESIDUAL] += passed * probabilities[i]
        changed[i - first] = targets[i]
    return changed
