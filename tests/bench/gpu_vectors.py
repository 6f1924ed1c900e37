"""Vectors: search, maps and clusters against the packages that do one of them."""

from __future__ import annotations

import numpy as np

from gpu import top_k
from tests.bench.racing import Call, Row, race


def bench_top_k() -> list[Row]:
    """The ten best of 100,000 vectors for one query and for 64."""
    vectors = np.random.default_rng(1).standard_normal((100_000, 384), dtype=np.float32)

    def by_numpy(queries: np.ndarray) -> np.ndarray:
        scores = queries @ vectors.T
        best = np.argpartition(-scores, 10, axis=1)[:, :10]
        return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1), 1)

    found = []
    for count in (1, 64):
        queries = vectors[:count] + np.float32(0.5)
        same = np.mean(top_k(queries, vectors, 10)[1] == by_numpy(queries))
        calls: dict[str, Call] = {
            "casewire": lambda queries=queries: top_k(queries, vectors, 10),
            "numpy": lambda queries=queries: by_numpy(queries),
        }
        accuracy = {"casewire": f"{same:.1%} the same", "numpy": "exact"}
        work = f"top 10 of 100,000 × 384, {count} {'query' if count == 1 else 'queries'}"
        found += race(work, "casewire", calls, accuracy, seconds=3.0)
    return found


BENCHES = (bench_top_k,)
