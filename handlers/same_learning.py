"""How much each kind of reason weighs in a case, learnt from what its people have judged.

A logistic regression with a normal prior around what holds where nobody has judged yet. It is solved
anew from all verdicts, so that their order does not matter and a verdict that is taken back leaves
nothing behind.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from handlers.same_names import KINDS

Floats = NDArray[np.float64]

PRIOR = {
    "alias": 4.0,
    "reversed": 3.5,
    "nickname": 3.0,
    "initial": 2.5,
    "similar": 3.5,
    "part": 1.0,
    "address": 3.5,
    "shaped": 2.5,
    "context": 1.5,
    "rivals": -3.0,
    "together": -1.0,
}
"""What each kind of reason weighs before anybody has judged."""
BIAS = -1.5
SPREAD = 1.0
"""Standard deviation of the prior of a weight: how readily verdicts change it."""
BIAS_SPREAD = 0.25
ROUNDS = 50


def prior() -> Floats:
    """Shape (1 + reasons,): the bias, then a weight for each of `KINDS`."""
    return np.array([BIAS, *(PRIOR[kind] for kind in KINDS)])


def fitted(strengths: Sequence[Sequence[float]], same: Sequence[bool]) -> Floats:
    """The weights by what was judged, as `prior` has them.

    Args:
        strengths: Of each verdict, the strength of each of `KINDS`; rows of another length, which an
            earlier release has kept, are left out.
        same: Of each verdict, whether it was `same` and not `different`.
    """
    start = prior()
    kept = [i for i, row in enumerate(strengths) if len(row) == len(KINDS)]
    if not kept:
        return start
    x = np.column_stack([np.ones(len(kept)), np.array([strengths[i] for i in kept])])
    y = np.array([float(same[i]) for i in kept])
    precision = np.array([BIAS_SPREAD**-2, *[SPREAD**-2] * len(KINDS)])
    weights = start.copy()
    for _ in range(ROUNDS):
        likely = _sigmoid(x @ weights)
        slope = x.T @ (y - likely) - precision * (weights - start)
        curve = (x * (likely * (1 - likely))[:, None]).T @ x + np.diag(precision)
        step = np.linalg.solve(curve, slope)
        # Newton's step, never so long that it leaps over the top.
        weights = weights + step / max(1.0, float(np.abs(step).max()))
        if float(np.abs(step).max()) < 1e-10:
            break
    return weights


def scores(strengths: Floats, weights: Floats) -> Floats:
    """How likely each pair is the same, 0 to 1.

    Args:
        strengths: Shape (n, reasons).
        weights: As `prior` has them.
    """
    return _sigmoid(weights[0] + strengths @ weights[1:])


def _sigmoid(values: Floats) -> Floats:
    told: Floats = 1.0 / (1.0 + np.exp(-np.clip(values, -60.0, 60.0)))
    return told
