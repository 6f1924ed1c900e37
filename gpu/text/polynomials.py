"""A function of one number becomes a polynomial, which runs in the processor's registers.

The C library's functions are called for one number at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.polynomial import chebyshev


def polynomial(function: Callable[[float], float], degree: int) -> list[float]:
    """Coefficients, lowest first, of the polynomial that meets `function` on [-1, 1] at the
    Chebyshev points."""
    points = chebyshev.chebpts1(degree + 1)
    values = np.array([function(float(point)) for point in points])
    return [float(c) for c in chebyshev.cheb2poly(chebyshev.chebfit(points, values, degree))]
