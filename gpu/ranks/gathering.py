"""Each node adds up what its links bring, in their order, so equal inputs give equal bits."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from gpu.arrays import Array, array_namespace


def gather(indptr: Array, sources: Array, factors: Array, values: Array) -> Array:
    """Return for each row i the sum of `factors[k] * values[sources[k]]` over its links k.

    Args:
        indptr: Shape (n + 1,), int64; row i owns the links from `indptr[i]` to `indptr[i + 1]`.
        sources: Shape (links,), uint32.
        factors: Shape (links,), float64.
        values: Float64, as long as the sources reach.

    Returns:
        Shape (n,), float64.
    """
    xp = array_namespace(indptr, sources, factors, values)
    n = len(indptr) - 1
    if xp is np:
        nodes = np.repeat(np.arange(n), np.diff(indptr))
        return np.bincount(nodes, weights=factors * values[sources], minlength=n)
    return _kernel()(indptr, sources, factors, values, xp.empty(n, dtype=xp.float64))


@cache
def _kernel() -> Any:
    """One GPU thread a row; atomic additions would change their order from run to run."""
    import cupy

    return cupy.ElementwiseKernel(
        "raw int64 indptr, raw uint32 sources, raw float64 factors, raw float64 values",
        "float64 sum",
        """
        double total = 0.0;
        for (long long link = indptr[i]; link < indptr[i + 1]; ++link)
            total += factors[link] * values[sources[link]];
        sum = total;
        """,
        "casewire_gather",
    )
